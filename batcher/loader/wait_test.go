//go:build cgo

package loader

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestReadersPutDDLOff(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client, func(c *Config) { c.DDLTimeout = 300 * time.Millisecond }))
	k.commit(0, table{name: "app.notes", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	end := k.busy("SELECT COUNT(*) FROM app.notes")
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1, row{"note": "x"})}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	if got := k.query("SELECT target, COUNT(*) FROM millstream.loads GROUP BY 1 ORDER BY 1"); !slices.Equal(got, []string{"app.notes|1", "app.tracks|1"}) {
		t.Errorf("loads while a reader is there: %v", got)
	}
	w.blockedAfter = 0 // the next wave tells people
	w.tryAgain("app.notes")
	k.wave(w)
	if got := k.query("SELECT target, file_key, reason FROM millstream.held"); !slices.Equal(got, []string{"app.notes||readers"}) {
		t.Errorf("held: %v", got)
	}
	if got, want := w.said.Load().Sentence, "Loading"; !strings.HasPrefix(got, want) {
		t.Errorf("health says %q of what is not held", got)
	}
	end()
	w.tryAgain("app.notes")
	k.wave(w)
	if got := k.one("SELECT COUNT(*), COUNT(note) FROM app.notes"); got != "2|1" {
		t.Errorf("notes: %s, want 2|1", got)
	}
	if got := k.query("SELECT target FROM millstream.held"); len(got) != 0 {
		t.Errorf("held: %v", got)
	}
}

// busy begins a transaction of somebody else's that holds the locks of a
// statement until end is called.
func (k *kit) busy(statement string) (end func()) {
	k.t.Helper()
	conn, err := k.open().Connect(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(conn.Close)
	for _, s := range []string{"BEGIN", statement} {
		if _, err := conn.Exec(k.t.Context(), s); err != nil {
			k.t.Fatal(err)
		}
	}
	return conn.Close
}

// tryAgain has the next wave try a target that is put off.
func (w *waves) tryAgain(target string) {
	w.patience.mu.Lock()
	defer w.patience.mu.Unlock()
	w.patience.putOff[target].until = time.Time{}
}

// One session that reads a table, or locks it, costs the others one short wait
// and then nothing, until the target is tried again.
func TestLockedTargetOthersGoOn(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{"read": "SELECT COUNT(*) FROM app.notes", "written": "UPDATE app.notes SET user_id = 'x'", "locked": "LOCK TABLE app.notes"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			client, notes := k.open(), 0
			client.Trace = func(s string) {
				if strings.HasPrefix(s, "ALTER") || strings.HasPrefix(s, `INSERT INTO "app"."notes"`) {
					notes++
				}
			}
			w := k.tenure(k.loader(client, func(c *Config) { c.DDLTimeout = 300 * time.Millisecond }))
			columns := eventColumns()
			if name == "read" {
				columns = noteColumns // readers are in the way of a new column only
			} else {
				w.patience.tooSlow("app.notes")
			}
			both := func(columns wire.Columns) {
				k.commit(0, table{name: "app.notes", columns: columns, rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
				k.wave(w)
			}
			both(eventColumns())
			notes = 0
			end := k.busy(statement)
			start := time.Now()
			for range 4 {
				both(columns)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("four waves took %s", took)
			}
			if notes > 1 {
				t.Errorf("the locked table was tried %d times in four waves", notes)
			}
			if got := k.one("SELECT COUNT(*) FROM app.tracks"); got != "5" {
				t.Errorf("%s tracks, want 5", got)
			}
			if got := k.query("SELECT target FROM millstream.held"); len(got) != 0 {
				t.Errorf("held: %v", got)
			}
			end()
			w.tryAgain("app.notes")
			k.wave(w)
			if got := k.one("SELECT COUNT(*) FROM app.notes"); got != "5" {
				t.Errorf("%s notes, want 5", got)
			}
		})
	}
}

// The first INSERT that waits for a lock ends in time and not after 45 minutes.
func TestFirstWaitForALockIsBounded(t *testing.T) {
	t.Parallel()
	k := setup(t)
	client, bounded := k.open(), ""
	client.Trace = func(s string) {
		if strings.HasPrefix(s, "SET statement_timeout") {
			bounded = s
		}
		if strings.HasPrefix(s, `INSERT INTO "app"`) && bounded != "SET statement_timeout TO 30000" || strings.HasPrefix(s, "INSERT INTO millstream.loads") && bounded != "SET statement_timeout TO 2700000" {
			t.Errorf("%.40s runs under %s", s, bounded)
		}
	}
	w := k.tenure(k.loader(client))
	k.commit(0, table{name: "app.notes", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	k.commit(0, table{name: "app.notes", columns: eventColumns(), rows: events(1)})
	k.server.Faults().Inject(redshift.Fault{Match: `insert into "app"`, Action: redshift.FailWith, Code: "57014", Text: "statement timeout"})
	k.wave(w)
	if !w.patience.waits("app.notes", time.Now()) || w.patience.waits("app.notes", time.Now().Add(putOffMin)) {
		t.Errorf("notes are not put off for %s", putOffMin)
	}
	if got := k.query("SELECT target FROM millstream.held"); len(got) != 0 {
		t.Errorf("held: %v", got)
	}
	w.tryAgain("app.notes")
	bounded = ""
	client.Trace = nil
	k.wave(w)
	if got := k.one("SELECT COUNT(*) FROM app.notes"); got != "2" {
		t.Errorf("%s notes, want 2", got)
	}
}

// A target that is put off gives way when it keeps its chain from going on.
func TestPutOffTargetIsHeldBeforeItsChainIsFull(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.notes", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	w.patience.blocked("app.notes", time.Now())
	k.commit(0, table{name: "app.notes", columns: eventColumns(), rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	w.seen.bytes.Add(bytesInMemory / 2)
	k.wave(w)
	if got := k.query("SELECT target, file_key, reason, attempts FROM millstream.held"); !slices.Equal(got, []string{"app.notes|*|readers|1"}) {
		t.Errorf("held: %v", got)
	}
	w.lowWritten = time.Time{}
	k.wave(w)
	if got := k.one("SELECT next_offset FROM millstream.positions WHERE target = '*'"); got != "3" {
		t.Errorf("low water is %s, want 3", got)
	}
	k.exec("UPDATE millstream.held SET attempts = 0")
	k.wave(w)
	if got := k.one("SELECT COUNT(*) FROM app.notes"); got != "2" {
		t.Errorf("%s notes, want 2", got)
	}
}

func TestStoreAwayIsRetried(t *testing.T) {
	t.Parallel()
	server, l := testkit.Lake(t)
	k := setupOn(t, l, "snapshot")
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(2)})
	server.SetIntercept(func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	failures, err := w.once(t.Context(), t.Context())
	if err != nil || len(failures) != 1 || classOf(failures[0]) != classStore {
		t.Errorf("want one failure of the store, got %v, %v", failures, err)
	}
	if got := k.query("SELECT * FROM millstream.held"); len(got) != 0 {
		t.Errorf("held: %v", got)
	}
	server.SetIntercept(nil)
	k.wave(w)
	if got := k.one("SELECT COUNT(*) FROM app.tracks"); got != "2" {
		t.Errorf("tracks: %s, want 2", got)
	}
}

func TestSchemaObjectThatDoesNotDecodeHoldsItsTargetOnly(t *testing.T) {
	t.Parallel()
	k := setup(t)
	cols := eventColumns(col("x", wire.String))
	if err := k.lake.Store.Put(t.Context(), k.lake.Paths.Schema("app", "notes", len(cols)), []byte("{")); err != nil {
		t.Fatal(err)
	}
	k.commit(0, table{name: "app.notes", columns: cols, rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.wave(k.tenure(k.loader(k.client)))
	if got := k.query("SELECT target FROM millstream.held"); !slices.Equal(got, []string{"app.notes"}) {
		t.Errorf("held: %v", got)
	}
	if got := k.one("SELECT COUNT(*) FROM app.tracks"); got != "1" {
		t.Errorf("tracks: %s", got)
	}
}

func TestPositionsObjectHoldsBackGarbageCollection(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(2)})
	k.wave(w)
	body, err := k.lake.Store.Get(t.Context(), k.lake.Paths.Positions())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), `"low_water":[{"topic":"millstream.events","part":0,"next":0}]`) {
		t.Errorf("before the first load: %s", body)
	}
	if err := k.lake.Store.Delete(t.Context(), k.lake.Paths.Positions()); err != nil {
		t.Fatal(err)
	}
	w.lowWritten = w.lowWritten.Add(-lowWaterEvery)
	k.wave(w)
	if body, err = k.lake.Store.Get(t.Context(), k.lake.Paths.Positions()); err != nil || !strings.Contains(string(body), `"next":2`) {
		t.Errorf("after it: %s, %v", body, err)
	}
}

func TestSourceNamedLikeTheLedgerCannotTouchIt(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.commit(0, table{name: "millstream.positions", columns: eventColumns(), rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.wave(k.tenure(k.loader(k.client)))
	if got := k.query("SELECT target, reason FROM millstream.held"); !slices.Equal(got, []string{"millstream.positions|ledger"}) {
		t.Errorf("held: %v", got)
	}
	if got := k.query("SELECT target FROM millstream.positions WHERE target <> '*'"); !slices.Equal(got, []string{"app.tracks"}) {
		t.Errorf("positions: %v", got)
	}
}

func TestCompanionsWorkUnderTheLeaseOnly(t *testing.T) {
	t.Parallel()
	k := setup(t)
	began := make(chan string, 2)
	gone := make(chan error, 2)
	start := func(name string) (stop func()) {
		l, err := New(testConfig(), Deps{
			Warehouse: k.client, Lake: k.lake, Dedup: dedup.DefaultConfig(), Log: testkit.Log(t), Registry: prometheus.NewRegistry(),
			Beside: []Companion{{Name: "probe", Run: func(ctx context.Context, tn Tenure) error {
				conn, err := k.client.Connect(ctx)
				if err != nil {
					return err
				}
				defer conn.Close()
				if err := tn.Gated(ctx, conn, func() error { return nil }); err != nil {
					return err
				}
				began <- name
				<-ctx.Done()
				other, err := k.client.Connect(t.Context())
				if err != nil {
					return err
				}
				defer other.Close()
				gone <- tn.Gated(t.Context(), other, func() error { return nil })
				return nil
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = l.Run(ctx); close(done) }()
		return func() { cancel(); <-done }
	}
	stop := start("first")
	if got := <-began; got != "first" {
		t.Fatalf("%s began first", got)
	}
	stopSecond := start("second")
	select {
	case got := <-began:
		t.Fatalf("%s began while the first had the lease", got)
	default:
	}
	stop()
	if err := <-gone; err != nil {
		t.Errorf("a companion that ends with its loader is refused at the gate: %v", err)
	}
	if got := <-began; got != "second" {
		t.Fatalf("%s began after the first had gone", got)
	}
	stopSecond()
}
