//go:build cgo

package loader

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/warehouse"
)

var isolations = []string{redshift.IsolationSnapshot, redshift.IsolationSerializable}

func TestTwoLoaders(t *testing.T) {
	t.Parallel()
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			k := setupWith(t, isolation)
			stop := [2]func(){k.start(k.loader(k.client)), k.start(k.loader(k.client))}
			rows := 0
			for i := range 6 {
				k.commit(int32(i%2), table{name: "app.tracks", columns: eventColumns(), rows: events(10)})
				rows += 10
				k.eventually("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks", fmt.Sprintf("%d|%[1]d", rows))
				if i == 2 {
					stop[0]() // whichever works, the other takes over
				}
				if i == 3 {
					stop[0] = k.start(k.loader(k.client))
					stop[1]()
				}
			}
			if got := k.one("SELECT COUNT(*) FROM (SELECT load_id FROM millstream.loads GROUP BY 1 HAVING COUNT(*) > 1) x"); got != "0" {
				t.Errorf("%s loads are in the history twice", got)
			}
		})
	}
}

func TestZombieLoader(t *testing.T) {
	t.Parallel()
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			k := setupWith(t, isolation)
			zombie, heir := k.loader(k.client), k.loader(k.client)
			zombie.holder, heir.holder = "zombie", "zombie" // so that the heir need not wait for the lease
			k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(4)})
			w := k.tenure(zombie)
			w.lowWritten = time.Now() // no transaction but the load's
			waits := make(chan struct{})
			zombieClient := k.open()
			zombieClient.Trace = func(s string) {
				if s == "LOCK TABLE millstream.gate" {
					<-waits // it has planned and staged, and sleeps before the gate
				}
			}
			w.warehouse = zombieClient
			result := make(chan error, 1)
			go func() {
				failures, err := w.once(t.Context(), t.Context())
				result <- errors.Join(append(failures, err)...)
			}()
			k.wave(k.tenure(heir))
			close(waits)
			if err := <-result; !errors.Is(err, warehouse.ErrLeaseTaken) {
				t.Errorf("the zombie's wave ended with %v, want a lost lease", err)
			}
			if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks"); got != "4|4" {
				t.Errorf("tracks: %s, want 4|4", got)
			}
		})
	}
}

func TestSilentLoadersLeasePassesOn(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	if _, err := w.conn.TakeLease(t.Context(), "other", time.Minute); !errors.Is(err, warehouse.ErrLeaseTaken) {
		t.Fatalf("a lease that another holds was given: %v", err)
	}
	if err := w.conn.RenewLease(t.Context(), w.fence, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the lease ends by the server's clock", func() error {
		fence, err := w.conn.TakeLease(t.Context(), "other", time.Minute)
		if err == nil && fence != w.fence+1 {
			t.Errorf("fence %d, want %d", fence, w.fence+1)
		}
		return err
	})
	if err := w.conn.RenewLease(t.Context(), w.fence, time.Minute); !errors.Is(err, warehouse.ErrLeaseTaken) {
		t.Errorf("a lost lease was extended: %v", err)
	}
}
