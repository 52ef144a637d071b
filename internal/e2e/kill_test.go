package e2e

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the application's database
)

// rounds is how often the process is killed; the long form is run by make integration.
func rounds(tb testing.TB, short int) int {
	tb.Helper()
	text := os.Getenv("MILLSTREAM_TEST_KILLS")
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatalf("MILLSTREAM_TEST_KILLS: %v", err)
	}
	return n
}

func TestKillLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.db")
	app := openApp(t, file)
	sys := newDev(t, "--config", cdcConfig(t, file))
	killOften(t, sys, app, rounds(t, 4))
}

// killOften kills sys at random moments while an application sends events and
// changes rows, and then compares both ends.
func killOften(t *testing.T, sys *system, app *application, kills int) {
	t.Helper()
	send := &sender{sys: sys, name: "a"}
	stop := make(chan struct{})
	sys.start()
	var wg sync.WaitGroup
	wg.Go(func() { send.run(stop) })
	wg.Go(func() { app.run(stop) })
	for range kills {
		pause := time.NewTimer(300*time.Millisecond + rand.N(4*time.Second))
		<-pause.C
		sys.kill()
		sys.start()
	}
	<-time.NewTimer(time.Second).C // some traffic after the last start
	close(stop)
	wg.Wait()
	events, orders, cents := send.sent()
	t.Logf("%d kills, %d events acknowledged, %d orders, %d changes of rows", kills, events, orders, app.changes)
	sys.eventually("the warehouse has every acknowledged event once", 2*time.Minute, func() error {
		return sameCounts(sys, "SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks", strconv.Itoa(events), strconv.Itoa(events))
	})
	sys.eventually("the order table has every order once, in typed columns", time.Minute, func() error {
		return sameCounts(sys, "SELECT COUNT(*), COUNT(DISTINCT order_id), CAST(ROUND(SUM(total) * 100) AS BIGINT) FROM app.order_completed",
			strconv.Itoa(orders), strconv.Itoa(orders), strconv.FormatInt(cents, 10))
	})
	sys.eventually("the wallboard has every order once", time.Minute, func() error { return sys.sameMetric("metric=orders&range=2d", strconv.Itoa(orders)) })
	sys.eventually("the wallboard has the revenue to the cent", time.Minute, func() error {
		return sys.sameMetric("metric=revenue&range=2d", fmt.Sprintf("%d.%02d", cents/100, cents%100))
	})
	sys.eventually("the mirror is the application's table", time.Minute, func() error { return sys.sameRows(app) })
	sys.stop()
}

func sameCounts(sys *system, sql string, want ...string) error {
	got, err := sys.query(sql)
	if err != nil {
		return err
	}
	if len(got) != 1 || !slices.Equal(got[0], want) {
		return fmt.Errorf("%s: want %v, got %v", sql, want, got)
	}
	return nil
}

func (s *system) sameMetric(query, want string) error {
	got, err := s.metric(query)
	if err != nil {
		return err
	}
	if len(got) != 1 || len(got[0]) == 0 || got[0][len(got[0])-1] != want {
		return fmt.Errorf("%s: want %s, got %v", query, want, got)
	}
	return nil
}

func (s *system) sameRows(app *application) error {
	want := app.rows()
	got, err := s.query("SELECT id, name, amount, updated_at FROM " + app.mirror + " ORDER BY id")
	if err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("the mirror has %d rows, the table %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g[0] != w[0] || g[1] != w[1] || g[2] != w[2] {
			return fmt.Errorf("row %s: want %v, got %v", w[0], w, g)
		}
	}
	return nil
}

// application changes rows of a database all the time.
type application struct {
	tb      testing.TB
	db      *sql.DB
	changes int
	mirror  string                  // its table in the warehouse
	bind    func(sql string) string // from ? to what the database takes
}

func openApp(tb testing.TB, file string) *application {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { db.Close() })
	a := &application{tb: tb, db: db, mirror: "appdb_main.things", bind: func(sql string) string { return sql }}
	a.exec(`CREATE TABLE things (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, amount DECIMAL(10,2), updated_at DATETIME)`)
	a.exec(`CREATE INDEX things_updated ON things (updated_at, id)`)
	for i := range 500 { // what was there before Millstream came
		a.insert(i)
	}
	return a
}

func (a *application) exec(sql string, args ...any) {
	if _, err := a.db.ExecContext(a.tb.Context(), a.bind(sql), args...); err != nil {
		a.tb.Errorf("%s: %v", sql, err)
	}
}

func (a *application) insert(n int) {
	a.exec(`INSERT INTO things (name, amount, updated_at) VALUES (?, ?, ?)`, fmt.Sprintf("thing %d", n), fmt.Sprintf("%d.%02d", n, n%100), now())
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

func (a *application) run(stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 1000; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		a.changes++
		if n%3 > 0 {
			a.insert(n)
			continue
		}
		a.exec(`UPDATE things SET name = ?, updated_at = ? WHERE id = (SELECT id FROM things ORDER BY random() LIMIT 1)`, fmt.Sprintf("renamed %d", n), now())
	}
}

func (a *application) rows() [][]string {
	rows, err := a.db.QueryContext(a.tb.Context(), `SELECT id, name, amount FROM things ORDER BY id`)
	if err != nil {
		a.tb.Fatal(err)
	}
	defer rows.Close()
	var out [][]string
	for rows.Next() {
		var (
			r      = make([]string, 3)
			amount float64 // of two decimals
		)
		if err := rows.Scan(&r[0], &r[1], &amount); err != nil {
			a.tb.Fatal(err)
		}
		r[2] = strconv.FormatFloat(amount, 'f', 2, 64)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		a.tb.Fatal(err)
	}
	return out
}

func cdcConfig(tb testing.TB, file string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "millstream.yaml")
	text := strings.ReplaceAll(`cdc:
  sources:
    appdb:
      kind: sqlite
      dsn: "file:FILE"
      tables:
        main.things:
          strategies: [{kind: incremental, timestamp: updated_at, every: 1s}]
`, "FILE", file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
