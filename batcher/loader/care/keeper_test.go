//go:build cgo

package care

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/testkit/golden"
	"github.com/millstream-data/millstream/internal/testkit/warehousetest"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// kit is a warehouse with a ledger, and a keeper at work on it.
type kit struct {
	t      *testing.T
	server *redshift.Server
	client *warehouse.Client
	keeper *Keeper
	conn   *warehouse.Conn
	gate   warehouse.Gate

	mu   sync.Mutex
	sent []string
}

func setup(t *testing.T) *kit {
	t.Helper()
	_, l := testkit.Lake(t)
	k := &kit{t: t, server: warehousetest.Server(t, l.Store, nil)}
	k.gate.Timeout, k.gate.Statement = time.Minute, time.Minute
	k.client = warehousetest.Client(t, k.server)
	k.client.Trace = func(s string) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.sent = append(k.sent, s)
	}
	cfg := DefaultConfig()
	cfg.Window = "00:00-24:00"
	var err error
	if k.keeper, err = New(cfg, Deps{Warehouse: k.client, Lake: l, LedgerKeep: 24 * time.Hour, Log: testkit.Log(t), Registry: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	if k.conn, err = warehousetest.Client(t, k.server).Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.conn.Close)
	if err := k.conn.EnsureLedger(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.exec("CREATE SCHEMA app", "CREATE SCHEMA shop")
	return k
}

func (k *kit) exec(statements ...string) {
	k.t.Helper()
	for _, s := range statements {
		if _, err := k.conn.Exec(k.t.Context(), s); err != nil {
			k.t.Fatal(err)
		}
	}
}

func (k *kit) query(sql string) []string {
	k.t.Helper()
	res, err := k.conn.Exec(k.t.Context(), sql)
	if err != nil {
		k.t.Fatal(err)
	}
	out := []string{}
	for _, row := range res.Rows {
		out = append(out, strings.Join(row, "|"))
	}
	return out
}

// target makes a table with rows that the ledger knows.
func (k *kit) target(name, columns string, rows int) {
	k.t.Helper()
	k.exec("CREATE TABLE "+name+" "+columns, fmt.Sprintf("INSERT INTO millstream.positions VALUES ('%s', 'millstream.events', 0, 1, 'x', GETDATE())", name))
	for i := range rows {
		k.exec(fmt.Sprintf("INSERT INTO %s (id) VALUES ('%d')", name, i))
	}
	k.exec(fmt.Sprintf("INSERT INTO millstream.loads (load_id, target, files, rows_inserted, rows_updated, rows_deleted, committed_at) VALUES ('l1-%s', '%s', 1, %d, 0, 0, GETDATE())", name, name, rows))
}

// Gated lets the kit be a tenure without a lease.
func (k *kit) Gated(ctx context.Context, c *warehouse.Conn, do func() error) error {
	return k.gate.Do(ctx, c, warehouse.AnyFence, do)
}

func (k *kit) round() error {
	k.mu.Lock()
	k.sent = nil
	k.mu.Unlock()
	return k.keeper.Round(k.t.Context(), k, time.Now())
}

func (k *kit) mustRound() {
	k.t.Helper()
	if err := k.round(); err != nil {
		k.t.Fatal(err)
	}
}

// acts are the statements sent that change tables other than the ledger's.
func (k *kit) acts() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, s := range k.sent {
		for _, verb := range []string{"VACUUM", "ANALYZE", "ALTER", "DROP TABLE \""} {
			if strings.HasPrefix(s, verb) {
				out = append(out, s)
			}
		}
	}
	return out
}

const plain = "(id VARCHAR(256) ENCODE zstd, n BIGINT ENCODE az64) DISTKEY (id) SORTKEY (id)"

func TestActsAreDoneOnceAWindowAndNoted(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.tracks", plain, 3)
	k.mustRound()
	if diff := cmp.Diff([]string{`ANALYZE "app"."tracks" PREDICATE COLUMNS`}, k.acts()); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}
	want := []string{"app.tracks|analyze|3 of 3 rows came or changed since the last time|statistics 0 % off|statistics 0 % off|", "millstream|trim_ledger|daily||0 loads, 0 duplicates, 0 maintenance removed|"}
	if diff := cmp.Diff(want, k.query("SELECT target, act, reason, before, after, error FROM millstream.maintenance ORDER BY 1")); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	k.mustRound()
	if got := k.acts(); len(got) != 0 {
		t.Errorf("again in the same window: %v", got)
	}
}

func TestLatestStateIsSpreadWhenItOutgrowsAllNodes(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.identifies", plain, 1)
	k.exec("CREATE TABLE app.users (id VARCHAR(256), n BIGINT) DISTSTYLE ALL SORTKEY (id)")
	k.exec("INSERT INTO app.users (id, n) VALUES ('a', 1)")
	for range 10 {
		k.exec("INSERT INTO app.users SELECT id, n FROM app.users")
	}
	k.exec("INSERT INTO app.users SELECT a.id, a.n FROM app.users a CROSS JOIN app.users b") // 2^20 rows
	k.mustRound()
	if got, want := k.acts(), `ALTER TABLE "app"."users" ALTER DISTSTYLE KEY DISTKEY "id"`; !slices.Contains(got, want) {
		t.Errorf("acts %v lack %s", got, want)
	}
	if got := k.query("SELECT act, before FROM millstream.maintenance WHERE target = 'app.users' AND act IN ('diststyle', 'compression') ORDER BY 1"); len(got) != 2 || got[1] != "diststyle|ALL" {
		t.Errorf("notes: %v", got)
	}
}

func TestMirrorIsSpreadByItsKey(t *testing.T) {
	t.Parallel()
	k := setup(t)
	if err := k.keeper.lake.CreateSchema(t.Context(), lake.Schema{Table: "shop.orders", Version: 1, Kind: lake.SchemaMirror, Key: []string{"n"}}); err != nil {
		t.Fatal(err)
	}
	k.target("shop.orders", "(id VARCHAR(256), n BIGINT) DISTKEY (n)", 1)
	k.mustRound()
	if got, want := k.acts(), `ALTER TABLE "shop"."orders" ALTER DISTSTYLE ALL`; !slices.Contains(got, want) {
		t.Errorf("acts %v lack %s", got, want)
	}
	info := warehouse.TableInfo{Name: warehouse.Name{Schema: "shop", Table: "orders"}, DistStyle: "ALL", Rows: 1}
	table := Table{TableInfo: info}
	if err := k.keeper.distribution(t.Context(), k.conn, &table, warehouse.Cluster{}, false); err != nil {
		t.Fatal(err)
	}
	if got, want := statement(Todo{Act: Distribute, Name: info.Name, Table: table}), `ALTER TABLE "shop"."orders" ALTER DISTSTYLE KEY DISTKEY "n"`; got != want {
		t.Errorf("statement %s, want %s", got, want)
	}
}

func TestHeldTargetIsLeftAlone(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.tracks", plain, 3)
	k.target("app.sales", plain, 3)
	k.exec("INSERT INTO millstream.held VALUES ('app.sales', 'millstream.events', 0, 0, '*', 'columns', '', GETDATE(), 1)")
	k.mustRound()
	if diff := cmp.Diff([]string{`ANALYZE "app"."tracks" PREDICATE COLUMNS`}, k.acts()); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}
	// One that is held between decision and act is asked for again.
	td := Todo{Target: "app.sales", Name: warehouse.Name{Schema: "app", Table: "sales"}, Act: Analyze}
	k.sent = nil
	if err := k.keeper.one(t.Context(), k.conn, k, td, time.Minute); err != nil || len(k.query("SELECT 1 FROM millstream.maintenance WHERE target = 'app.sales'")) != 0 {
		t.Errorf("an act on a held target: %v", err)
	}
}

func TestFailedActIsNotedAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.orders", plain, 3)
	k.target("app.tracks", plain, 3)
	k.server.Faults().Inject(redshift.Fault{Match: `analyze "app"."orders"`, Action: redshift.FailWith, Code: "42501", Text: "must be owner of relation orders", Times: 1})
	k.mustRound()
	want := []string{"app.orders|42501 must be owner of relation orders", "app.tracks|"}
	if diff := cmp.Diff(want, k.query("SELECT target, error FROM millstream.maintenance WHERE act = 'analyze' ORDER BY 1")); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestActsSurviveAKill(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.tracks", plain, 3)
	for _, at := range []string{"analyze", "insert into millstream.maintenance"} {
		k.server.Faults().Inject(redshift.Fault{Match: at, Action: redshift.CutBefore, Times: 1})
		if err := k.round(); warehouse.Classify(err) != warehouse.ClassUnknown {
			t.Fatalf("cut at %s: %v", at, err)
		}
	}
	k.mustRound()
	if got := k.query("SELECT act, COUNT(*) FROM millstream.maintenance GROUP BY 1 ORDER BY 1"); !slices.Equal(got, []string{"analyze|1", "trim_ledger|1"}) {
		t.Errorf("notes: %v", got)
	}
}

func TestWindowEndsAnAct(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.tracks", plain, 3)
	k.exec("BEGIN", "LOCK TABLE app.tracks")
	other, err := k.client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	td := Todo{Target: "app.tracks__old", Name: warehouse.Name{Schema: "app", Table: "tracks"}, Act: Drop, Reason: "a test"}
	if err := k.keeper.one(t.Context(), other, k, td, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	k.exec("ROLLBACK")
	if got := k.query("SELECT target, error FROM millstream.maintenance"); len(got) != 1 || !strings.Contains(got[0], "readers were in the way, or the window ended") {
		t.Errorf("notes: %v", got)
	}
}

func TestNothingIsDoneOutsideTheWindow(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.tracks", plain, 3)
	now := time.Now().UTC()
	k.keeper.window = window(t, now.Add(2*time.Hour).Format("15:04")+"-"+now.Add(3*time.Hour).Format("15:04"), "UTC")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := k.keeper.Run(ctx, k); err != nil {
		t.Fatal(err)
	}
	if got := k.query("SELECT act FROM millstream.maintenance"); len(got) != 0 {
		t.Errorf("done: %v", got)
	}
}

func TestWithoutTableInfo(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.tracks", plain, 3)
	k.server.Faults().Inject(redshift.Fault{Match: "from svv_table_info", Action: redshift.FailWith, Code: "42501", Text: "permission denied for relation svv_table_info", Times: 1})
	k.mustRound()
	if got := k.query("SELECT act FROM millstream.maintenance"); !slices.Equal(got, []string{"trim_ledger"}) {
		t.Errorf("done: %v", got)
	}
}

func TestLedgerIsTrimmedButForTheNewestLoads(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.exec(`INSERT INTO millstream.loads (load_id, target, files, rows_inserted, rows_updated, rows_deleted, committed_at) VALUES
		('1', 'app.a', 1, 1, 0, 0, DATEADD(day, -9, GETDATE())), ('2', 'app.a', 1, 1, 0, 0, DATEADD(day, -8, GETDATE())), ('3', 'app.a', 0, 0, 0, 0, DATEADD(day, -7, GETDATE())),
		('4', 'app.b', 1, 1, 0, 0, DATEADD(day, -9, GETDATE())), ('5', 'app.b', 1, 1, 0, 0, GETDATE())`)
	k.exec(`INSERT INTO millstream.duplicates (target, id, received_at) VALUES ('app.a', 'old', DATEADD(day, -2, GETDATE())), ('app.a', 'new', GETDATE())`)
	k.exec(`INSERT INTO millstream.maintenance (target, act, error, seconds, done_at) VALUES ('millstream', 'trim_ledger', '', 0, DATEADD(day, -2, GETDATE()))`)
	k.mustRound()
	if got := k.query("SELECT load_id FROM millstream.loads ORDER BY 1"); !slices.Equal(got, []string{"2", "5"}) {
		t.Errorf("loads: %v, want the newest of each target with files, and what is young", got)
	}
	if got := k.query("SELECT id FROM millstream.duplicates"); !slices.Equal(got, []string{"new"}) {
		t.Errorf("duplicates: %v", got)
	}
	if got := k.query("SELECT after FROM millstream.maintenance"); !slices.Equal(got, []string{"3 loads, 1 duplicates, 1 maintenance removed"}) {
		t.Errorf("maintenance: %v", got)
	}
}

func TestOnlyForgottenTablesAreDropped(t *testing.T) {
	t.Parallel()
	left := func(name string, hours int) warehouse.Leftover {
		schema, table, _ := strings.Cut(name, ".")
		return warehouse.Leftover{Name: warehouse.Name{Schema: schema, Table: table}, Age: time.Duration(hours) * time.Hour}
	}
	names := []warehouse.Name{{Schema: "app", Table: "tracks"}, {Schema: "shop", Table: "orders"}, {Schema: "shop", Table: "a__old"}, {Schema: "shop", Table: strings.Repeat("x", 120)}}
	used := []string{"shop.orders__refresh", "millstream_work.01poll"}
	for _, c := range []struct {
		left warehouse.Leftover
		gone bool
	}{
		{left("app.tracks__old", 24), true},
		{left("app.tracks__old", 23), false},
		{left("app.tracks__new", 24), true},
		{left("app.tracks__refresh", 24), true},
		{left("app.tracks__reload", 24), false},
		{left("app.tracks__reload", 72), true},
		{left("app.mine__old", 999), false},    // an analyst's
		{left("app.tracks__2025", 999), false}, // so is this
		{left("app.__old", 999), false},
		{left("shop.a__old", 999), false},          // a target whose name ends so
		{left("shop.a__old__old", 999), true},      // and what a swap left of it
		{left("shop.orders__refresh", 999), false}, // its poll goes on
		{left("shop.orders__refresh_2", 24), true},
		{left("shop.orders__old", 999), true},
		{left("shop.orders__old_01m80pfjr0f1dm4d554sv89pdn", 24), true}, // of a swap
		{left("shop.orders__old_mine", 999), false},
		{left("shop.orders__old_01m80pfjr0f1dm4d554sv89pdn", 23), false},
		{left("shop.orders__new_01m80pfjr0f1dm4d554sv89pdn", 24), true},     // of a model or an upload
		{left("shop.orders__refresh_01m80pfjr0f1dm4d554sv89pdn", 24), true}, // of a poll that was given up
		{left("shop.orders__new_an_analysts_own_table_name", 999), false},
		{left("shop.mine__new_01m80pfjr0f1dm4d554sv89pdn", 999), false},
		{left("shop."+strings.Repeat("x", 127-32)+"__new_01m80pfjr0f1dm4d554sv89pdn", 24), true}, // whose name was shortened
		{left("millstream_work.01poll", 999), false},
		{left("millstream_work.01gone", 24), true},
		{left("millstream_work.01gone", 23), false},
	} {
		if got := len(forgottenOf([]warehouse.Leftover{c.left}, names, used)) == 1; got != c.gone {
			t.Errorf("%s, %v old: dropped %v, want %v", c.left.Name, c.left.Age, got, c.gone)
		}
	}
}

func TestForgottenTableIsDropped(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.tracks", plain, 1)
	k.exec("CREATE TABLE app.tracks__old (n INT)", "CREATE TABLE app.mine__old (n INT)", "CREATE SCHEMA millstream_work", "CREATE TABLE millstream_work.p1 (n INT)")
	left, err := k.conn.Leftovers(t.Context(), []string{"app"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range left {
		got = append(got, l.Name.String())
		if l.Age < 0 || l.Age > time.Minute {
			t.Errorf("%s is %v old", l.Name, l.Age)
		}
	}
	if diff := cmp.Diff([]string{"app.mine__old", "app.tracks__old", "millstream_work.p1"}, got); diff != "" {
		t.Errorf("side tables (-want +got):\n%s", diff)
	}
	td := Todo{Target: "app.tracks__old", Name: warehouse.Name{Schema: "app", Table: "tracks__old"}, Act: Drop, Reason: "a test"}
	if err := k.keeper.one(t.Context(), k.conn, k, td, time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := k.query("SELECT tablename FROM pg_tables WHERE schemaname = 'app' ORDER BY 1"); !slices.Equal(got, []string{"mine__old", "tracks"}) {
		t.Errorf("tables: %v", got)
	}
}

// What was made by uploads and models is known by the ledger.
func TestForgottenTablesOfModelsAndUploadsAreDropped(t *testing.T) {
	t.Parallel()
	k := setup(t)
	const id = "_01m80pfjr0f1dm4d554sv89pdn"
	k.exec("CREATE SCHEMA uploads", "CREATE SCHEMA models", warehouse.InsertLoads([]warehouse.Load{{ID: "l", Target: "uploads.spend", Kind: "upload"}}),
		"INSERT INTO millstream.models (model) VALUES ('models.daily')")
	for _, table := range []string{"uploads.spend", "uploads.spend__new" + id, "uploads.mine__new" + id, "models.daily", "models.daily__old" + id, "models.daily__mine"} {
		k.exec("CREATE TABLE " + table + " (n INT)")
	}
	targets, err := k.conn.Targets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names, _ := tableNames(targets)
	if young, err := k.keeper.forgotten(t.Context(), k.conn, names); err != nil || len(young) > 0 {
		t.Errorf("tables of this minute: %v, %v", young, err)
	}
	left, err := k.conn.Leftovers(t.Context(), []string{"uploads", "models"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i].Age = 24 * time.Hour
	}
	old := forgottenOf(left, append(names, warehouse.Name{Schema: "models", Table: "daily"}), nil)
	for _, n := range old {
		if err := k.keeper.one(t.Context(), k.conn, k, Todo{Target: n.String(), Name: n, Act: Drop, Reason: "a test"}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	got := k.query("SELECT tablename FROM pg_tables WHERE schemaname IN ('uploads', 'models') ORDER BY 1")
	if want := []string{"daily", "daily__mine", "mine__new" + id, "spend"}; !slices.Equal(got, want) {
		t.Errorf("tables: %v, want %v", got, want)
	}
}

func TestNewRefusesWhatIsOdd(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Window, cfg.CompressionEvery = "2-5", 0
	_, err := New(cfg, Deps{Registry: prometheus.NewRegistry()})
	for _, want := range []string{"loader.maintenance.window", "loader.maintenance.compression_every", "loader.ledger_keep"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

func TestTranscriptGolden(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.target("app.tracks", plain, 3)
	k.mustRound()
	text := strings.Join(k.sent, ";\n") + ";\n"
	text = regexp.MustCompile(`removed', [0-9.]+,|off', [0-9.]+,`).ReplaceAllStringFunc(text, func(s string) string {
		head, _, _ := strings.Cut(s, "',")
		return head + "', 0.4,"
	})
	text = regexp.MustCompile(`statement_timeout TO [0-9]{8,}`).ReplaceAllString(text, "statement_timeout TO 10800000")
	golden.Equal(t, filepath.Join("..", "testdata", "transcripts", "maintenance.sql"), []byte(text))
}
