//go:build cgo

package loader

import (
	"errors"
	"fmt"
	"sync"
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
			stop := [2]func(){k.start(k.loader(k.client, impatient)), k.start(k.loader(k.client, impatient))}
			rows := 0
			for i := range 6 {
				k.commit(int32(i%2), table{name: "app.tracks", columns: eventColumns(), rows: events(10)})
				rows += 10
				k.eventually("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks", fmt.Sprintf("%d|%[1]d", rows))
				if i == 2 {
					stop[0]() // whichever works, the other takes over
				}
				if i == 3 {
					stop[0] = k.start(k.loader(k.client, impatient))
					stop[1]()
				}
			}
			if got := k.one("SELECT COUNT(*) FROM (SELECT load_id FROM millstream.loads GROUP BY 1 HAVING COUNT(*) > 1) x"); got != "0" {
				t.Errorf("%s loads are in the history twice", got)
			}
		})
	}
}

// asleep makes a wave of w that sleeps before the gate, staged and planned,
// until the returned function is called, which returns the wave's outcome.
func (k *kit) asleep(w *waves) (wake func() error) {
	k.t.Helper()
	w.lowWritten = time.Now() // no transaction but the load's
	reached, waits := make(chan struct{}), make(chan struct{})
	client := k.open()
	sleep := sync.OnceFunc(func() { close(reached); <-waits })
	client.Trace = func(s string) {
		if s == "LOCK TABLE millstream.gate" {
			sleep()
		}
	}
	l := k.loader(client)
	l.holder, w.Loader = w.holder, l
	result := make(chan error, 1)
	go func() {
		failures, err := w.once(k.t.Context(), k.t.Context())
		result <- errors.Join(append(failures, err)...)
	}()
	<-reached
	return func() error { close(waits); return <-result }
}

func TestZombieLoader(t *testing.T) {
	t.Parallel()
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			k := setupWith(t, isolation)
			zombie, heir := k.loader(k.client), k.loader(k.client)
			heir.holder = zombie.holder // so that the heir need not wait for the lease
			k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(4)})
			wake := k.asleep(k.tenure(zombie))
			k.wave(k.tenure(heir))
			if err := wake(); !errors.Is(err, warehouse.ErrLeaseTaken) {
				t.Errorf("the zombie's wave ended with %v, want a lost lease", err)
			}
			if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks"); got != "4|4" {
				t.Errorf("tracks: %s, want 4|4", got)
			}
		})
	}
}

// A session whose COMMIT had no answer may still do it after its loader has
// planned the same rows again, under the same fence.
func TestEarlierSessionCommitsLate(t *testing.T) {
	t.Parallel()
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			k := setupWith(t, isolation)
			k.mirrorSchema("shop_public.orders", []string{"id"}, orderColumns)
			k.commit(0, table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(1), "total": 1.0, "_op": "r"}}})
			w := k.tenure(k.loader(k.client))
			k.wave(w)
			k.commit(0, table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(1), "total": 2.0, "_op": "r"}}})
			again := &waves{Loader: w.Loader, conn: k.tenure(w.Loader).conn, fence: w.fence + 1, seen: catalogue{lake: k.lake}}
			w.fence++ // tenure took the lease once more
			wake := k.asleep(w)
			k.wave(again)
			k.commit(0, table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(1), "total": 3.0, "_op": "r"}}})
			k.wave(again)
			if err := wake(); !errors.Is(err, errRaced) {
				t.Errorf("the late session ended with %v, want one that sees that it was overtaken", err)
			}
			if got := k.one("SELECT CAST(total AS INT) FROM shop_public.orders"); got != "3" {
				t.Errorf("total %s, want 3: an older change came last", got)
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
