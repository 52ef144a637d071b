//go:build integration

package cdc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

// rulesOrigin is an origin on a database of its own, with rules broken.
func rulesOrigin(t *testing.T, db *pgTorture, f faults, edit func(*SourceConfig)) *pgOrigin {
	t.Helper()
	src := db.sourceOf([]StrategyConfig{{Kind: kindXmin, Name: kindXmin}})
	if edit != nil {
		edit(&src)
	}
	o, err := newPostgres("shop", src)
	if err != nil {
		t.Fatal(err)
	}
	o.faults = f
	t.Cleanup(o.close)
	return o
}

func (db *pgTorture) plan(t *testing.T, o *pgOrigin) *plan {
	t.Helper()
	rel, err := o.describe(t.Context(), "public", "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan("shop", kindPostgres, "public.orders", o.cfg.Tables["public.orders"], rel)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// readDuringRewrite reads a page while a rewrite holds the table, and returns
// how many rows it had: through an older snapshot a rewritten table is empty.
func readDuringRewrite(t *testing.T, rewrite string, f faults) (int, error) {
	t.Helper()
	db := newPGTorture(t, tortureTable+"; INSERT INTO orders (counter) SELECT 1 FROM generate_series(1, 50)")
	o := rulesOrigin(t, db, f, func(c *SourceConfig) { c.Timeouts.Lock = 20 * time.Second })
	p := db.plan(t, o)
	db.sqlOn(db.conn, "BEGIN; "+rewrite)
	var (
		pg  *page
		err error
		wg  sync.WaitGroup
	)
	wg.Go(func() { pg, err = o.read(t.Context(), p, query{kind: queryLoad, limit: 1000}) })
	watch := db.connect(db.dsn)
	defer closeConn(watch)
	testkit.Eventually(t, "the page waits for the rewrite", func() error {
		rows, err := pgQuery(t.Context(), watch, "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass")
		if err == nil && len(rows) == 0 {
			err = errors.New("nobody waits")
		}
		return err
	})
	db.sqlOn(db.conn, "COMMIT")
	wg.Wait()
	if err != nil {
		return 0, err
	}
	return len(pg.rows), nil
}

func TestRewriteIsNeverAnEmptyTable(t *testing.T) {
	t.Parallel()
	for _, rewrite := range []string{
		"ALTER TABLE orders ALTER COLUMN counter TYPE numeric", "TRUNCATE orders; INSERT INTO orders (counter) SELECT 1 FROM generate_series(1, 50)",
		"CLUSTER orders USING orders_pkey", "ALTER TABLE orders ADD COLUMN r float DEFAULT random()",
	} {
		if n, err := readDuringRewrite(t, rewrite, faults{}); !errors.Is(err, errChanged) {
			t.Errorf("%s: got %d rows, %v, want a page that is dropped", rewrite, n, err)
		}
	}
	if n, err := readDuringRewrite(t, "ALTER TABLE orders ALTER COLUMN counter TYPE numeric", faults{unlockedPage: true}); err != nil || n > 0 {
		t.Errorf("without LOCK: got %d rows, %v; the test is too weak to see the empty table", n, err)
	}
}

// heldTx is a transaction with the moment that its stamps have.
type heldTx struct{ stamp, began, ended time.Time }

// heldSample is a look with the moments between which it was taken.
type heldSample struct {
	raw          time.Time
	began, ended time.Time
}

// violations are transactions that were open throughout a look whose raw is
// above their stamps.
func violations(all []heldTx, samples []heldSample) (n int, worst time.Duration) {
	for _, tx := range all {
		for _, s := range samples {
			if s.began.After(tx.began) && s.ended.Before(tx.ended) && s.raw.After(tx.stamp) {
				n, worst = n+1, max(worst, s.raw.Sub(tx.stamp))
			}
		}
	}
	return n, worst
}

// lookAt takes samples as often as it can until ctx ends.
func lookAt(ctx context.Context, t *testing.T, o *pgOrigin, pause time.Duration) []heldSample {
	t.Helper()
	hz := horizon{initial: 24 * time.Hour, faults: o.faults}
	var out []heldSample
	for ctx.Err() == nil {
		s := heldSample{began: time.Now()}
		r, err := o.look(t.Context())
		if err != nil {
			t.Error(err)
			return out
		}
		s.ended, s.raw = time.Now(), hz.observe(r).raw
		out = append(out, s)
		doze(ctx, nil, pause)
	}
	return out
}

// prepared runs transactions that are prepared and live on, under samples.
func prepared(t *testing.T, f faults) (violated int, worst time.Duration) {
	t.Helper()
	db := newPGTorture(t, tortureTable)
	o := rulesOrigin(t, db, f, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		all []heldTx
	)
	for w := range 2 {
		wg.Go(func() {
			s := &pgTortureSession{db: db, c: db.connect(db.dsn)}
			defer s.close()
			for n := 0; ctx.Err() == nil; n++ {
				gid := fmt.Sprintf("%s-%d-%d", db.name, w, n)
				stamp, err := s.begin()
				tx := heldTx{stamp: stamp, began: time.Now()}
				if err = errors.Join(err, s.exec("PREPARE TRANSACTION '"+gid+"'")); err == nil {
					doze(t.Context(), nil, 3*time.Millisecond)
					tx.ended = time.Now()
					err = s.exec("COMMIT PREPARED '" + gid + "'")
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				all = append(all, tx)
				mu.Unlock()
			}
		})
	}
	samples := lookAt(ctx, t, o, 0)
	wg.Wait()
	t.Logf("%d prepared transactions, %d samples", len(all), len(samples))
	return violations(all, samples)
}

func TestPreparedTransactionsHoldTheHorizon(t *testing.T) {
	t.Parallel()
	if n, worst := prepared(t, faults{}); n > 0 {
		t.Errorf("%d times raw was above a prepared transaction's stamp, by up to %s", n, worst)
	}
	for range 10 {
		if n, _ := prepared(t, faults{preparedFirst: true}); n > 0 {
			return
		}
	}
	t.Error("with prepared transactions listed first nothing was missed: the test is too weak")
}

// chained runs COMMIT AND CHAIN whose commits take 300 ms, under samples by the
// method locks: the next transaction's now() is the message's, older than itself.
func chained(t *testing.T, f faults, method string) (violated int, worst time.Duration) {
	t.Helper()
	db := newPGTorture(t, tortureTable+`; CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()`)
	o := rulesOrigin(t, db, f, func(c *SourceConfig) { c.Horizon.Method = method })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var (
		wg  sync.WaitGroup
		all []heldTx
	)
	wg.Go(func() {
		s := &pgTortureSession{db: db, c: db.connect(db.dsn)}
		defer s.close()
		_, err := s.begin()
		for err == nil && ctx.Err() == nil {
			if _, err = s.insert(false); err != nil {
				break
			}
			var stamp time.Time
			if stamp, err = s.chain(); err == nil {
				tx := heldTx{stamp: stamp, began: time.Now()}
				doze(t.Context(), nil, 100*time.Millisecond)
				tx.ended = time.Now()
				all = append(all, tx)
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	samples := lookAt(ctx, t, o, 20*time.Millisecond)
	wg.Wait()
	return violations(all, samples)
}

func TestChainedTransactions(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"locks", "activity"} {
		if n, worst := chained(t, faults{}, method); n > 0 {
			t.Errorf("%s: %d times raw was above a chained transaction's stamp, by up to %s", method, n, worst)
		}
	}
	if n, _ := chained(t, faults{noPredecessor: true}, "locks"); n == 0 {
		t.Error("without the predecessor's bound nothing was missed: the test is too weak")
	}
}

// Ids are compared in the circular order of 32 bits, as the server does it.
func TestXminOrder(t *testing.T) {
	t.Parallel()
	db := newPGTorture(t, tortureTable)
	for _, f := range []faults{{}, {unwrapped: true}} {
		wrong := 0
		for _, from := range []uint64{3, 1 << 31, 1<<32 - 2, 1<<32 + 7, 5<<32 + 3} {
			for _, step := range []int64{-1 << 30, -1, 0, 1, 1 << 30} {
				b := &statement{}
				where := pgDialect{f}.since(b, strconv.FormatUint(from, 10))
				id := (int64(from) + step) & 0xffffffff //nolint:gosec // circular
				sql := fmt.Sprintf("SELECT %s FROM (SELECT %d::text AS xmin) t", strings.ReplaceAll(where, "$1", "$1::bigint"), id)
				rows, err := pgQuery(t.Context(), db.conn, sql, b.values...)
				if err != nil {
					t.Fatal(err)
				}
				if newer := string(rows[0][0]) == "t"; newer != (step >= 0) {
					wrong++
				}
			}
		}
		if (wrong > 0) != f.unwrapped {
			t.Errorf("unwrapped %t: got %d wrong answers", f.unwrapped, wrong)
		}
	}
}

// A role that may only SELECT, in a database whose clock is read with the same
// rights: the self-test finds the method.
func TestSelfTestFindsTheMethod(t *testing.T) {
	t.Parallel()
	db := newPGTorture(t, tortureTable)
	role := "r" + db.name
	db.sqlOn(db.conn, fmt.Sprintf("CREATE ROLE %s LOGIN; GRANT SELECT ON orders TO %s", role, role))
	t.Cleanup(func() { db.sqlOn(db.conn, fmt.Sprintf("DROP OWNED BY %s; DROP ROLE %s", role, role)) })
	admin, err := pgconn.ParseConfig(os.Getenv("MILLSTREAM_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	as := func(user string) func(*SourceConfig) {
		return func(c *SourceConfig) {
			c.DSN = config.Secret(fmt.Sprintf("host=%s port=%d user=%s dbname=%s", admin.Host, admin.Port, user, db.name))
		}
	}
	for user, want := range map[string]basis{role: basisLocks, admin.User: basisActivity} {
		o := rulesOrigin(t, db, faults{}, as(user))
		r, err := o.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.basis != want || r.xid == "" || r.lsn == "" || len(r.timeline) != 8 || r.system == "" {
			t.Errorf("user %s: got %+v, want method %s with xid, lsn, timeline and system", user, r, want)
		}
	}
}

// Users who write none of the tables may sleep in transactions as they like; and
// our own sessions hold nothing.
func TestIgnoredUsers(t *testing.T) {
	t.Parallel()
	db := newPGTorture(t, tortureTable)
	role := "i" + db.name
	db.sqlOn(db.conn, fmt.Sprintf(`CREATE ROLE "%s" LOGIN`, role))
	t.Cleanup(func() { db.sqlOn(db.conn, fmt.Sprintf(`DROP ROLE "%s"`, role)) })
	admin, err := pgconn.ParseConfig(os.Getenv("MILLSTREAM_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	sleeper := db.connect(fmt.Sprintf("host=%s port=%d user=%s dbname=%s", admin.Host, admin.Port, role, db.name))
	t.Cleanup(func() { closeConn(sleeper) })
	own := db.connect(db.dsn + "&application_name=" + appName + "x")
	t.Cleanup(func() { closeConn(own) })
	for _, c := range []*pgconn.PgConn{sleeper, own} {
		db.sqlOn(c, "BEGIN; SELECT 1")
	}
	for ignored, want := range map[string]int{"": 1, role: 0} {
		o := rulesOrigin(t, db, faults{}, func(c *SourceConfig) {
			c.Horizon.IgnoreUsers = slices.DeleteFunc([]string{ignored}, func(s string) bool { return s == "" })
		})
		r, err := o.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(r.open) != want {
			t.Errorf("ignore_users %q: got open transactions %+v, want %d", ignored, r.open, want)
		}
	}
}
