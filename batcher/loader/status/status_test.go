//go:build cgo

package status

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/batcher/loader/care"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/testkit/golden"
	"github.com/millstream-data/millstream/internal/testkit/warehousetest"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

const topic = "millstream.events"

// kit is a lake of commits and a warehouse with a ledger.
type kit struct {
	t      *testing.T
	lake   *lake.Lake
	server *redshift.Server
	conn   *warehouse.Conn
	deps   Deps
}

func setup(t *testing.T) *kit {
	t.Helper()
	_, l := testkit.Lake(t)
	k := &kit{t: t, lake: l, server: warehousetest.Server(t, l.Store, nil)}
	client := warehousetest.Client(t, k.server)
	keeper, err := care.New(care.DefaultConfig(), care.Deps{Warehouse: client, Lake: l, LedgerKeep: time.Hour, Log: testkit.Log(t), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	k.deps = Deps{Warehouse: client, Lake: l, User: "loader", Keeper: keeper, Enabled: true}
	if k.conn, err = client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.conn.Close)
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

func (k *kit) ledger() {
	k.t.Helper()
	if err := k.conn.EnsureLedger(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// commit puts a commit of offsets [first, next) with a file of each table.
func (k *kit) commit(part int32, first, next int64, tables ...string) {
	k.t.Helper()
	columns := wire.Columns{{Name: "id", Type: wire.String}}
	c := lake.Commit{
		V: 1, Kind: lake.KindData, Topic: topic, Partition: part, First: first, Next: next, Cut: "age", CreatedAt: lake.Time{Time: time.Now().Add(-time.Minute)},
		Schemas:    map[string]lake.CommitSchema{},
		Accounting: []lake.Accounting{{Source: "app", DT: "2026-11-21", Records: next - first, Primary: next - first}},
	}
	if first > 0 {
		prev := first - 10
		c.Prev = &prev
	}
	for i, table := range tables {
		// A schema of its own for each table: a commit keeps them by fingerprint.
		cols := append(wire.Columns{}, columns...)
		for range i {
			cols = append(cols, wire.Column{Name: fmt.Sprintf("c%d", len(cols)), Type: wire.String})
		}
		fp := cols.Fingerprint()
		at := lake.Time{Time: time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)}
		f := lake.File{
			Table: table, DT: "2026-11-21", HH: "06", Schema: wire.Schema8(fp), First: first, Next: next, Rows: next - first, Bytes: 10,
			MinReceivedAt: at, MaxReceivedAt: at, MaxBytes: map[string]int{}, SHA256: strings.Repeat("0", 64), CRC32C: "AAAAAA==",
		}
		schema, name, _ := strings.Cut(table, ".")
		f.Key = k.lake.Paths.Data(schema, name, at.Time, topic, part, first, next, f.Schema)
		c.Files = append(c.Files, f)
		c.Schemas[f.Schema] = lake.CommitSchema{Table: table, Version: 1, Fingerprint: fp, Columns: cols}
	}
	body, err := c.Encode()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := k.lake.Store.Create(k.t.Context(), k.lake.Paths.Commit(topic, part, first), body); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) read() Report {
	k.t.Helper()
	r, err := Read(k.t.Context(), k.deps, time.Now())
	if err != nil {
		k.t.Fatal(err)
	}
	return r
}

func (r Report) find(t *testing.T, target string) Target {
	t.Helper()
	for _, tg := range r.Targets {
		if tg.Target == target {
			return tg
		}
	}
	t.Fatalf("no target %s in %+v", target, r.Targets)
	return Target{}
}

func (r Report) text(t *testing.T, o Options) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDueRowsAreThoseOfCommitsBeyondPositions(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.ledger()
	k.commit(0, 0, 10, "app.tracks", "app.sales")
	k.commit(0, 10, 20, "app.tracks", "app.sales")
	k.commit(1, 0, 10, "app.tracks")
	k.exec(
		"INSERT INTO millstream.positions VALUES ('*', '"+topic+"', 0, 10, '', GETDATE()), ('app.tracks', '"+topic+"', 0, 20, 'x', GETDATE()), ('app.sales', '"+topic+"', 0, 10, 'x', GETDATE())",
		"INSERT INTO millstream.loads (load_id, target, kind, files, rows_inserted, rows_updated, rows_deleted, max_received_at, started_at, committed_at) VALUES"+
			" ('1', 'app.tracks', 'append', 1, 5, 0, 0, DATEADD(hour, -1, GETDATE()), DATEADD(second, -2, GETDATE()), GETDATE()), ('2', 'app.tracks', 'append', 1, 7, 0, 0, DATEADD(minute, -1, GETDATE()), DATEADD(second, -3, GETDATE()), GETDATE())")
	r := k.read()
	tracks, sales := r.find(t, "app.tracks"), r.find(t, "app.sales")
	if tracks.DueRows != 10 || tracks.DueFiles != 1 || tracks.DueSeconds < 60 || sales.DueRows != 10 {
		t.Errorf("due: tracks %+v, sales %+v", tracks, sales)
	}
	if tracks.LastLoadRows != 7 || tracks.LastLoadSeconds != 3 || tracks.AgeSeconds < 59 || tracks.AgeSeconds > 120 {
		t.Errorf("last load: %+v", tracks)
	}
	if r.Wrong() {
		t.Error("due rows are nothing to mend")
	}
}

func TestHeldTargetIsExplainedOnce(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.ledger()
	k.commit(0, 0, 10, "app.sales")
	k.commit(1, 0, 10, "app.sales")
	k.exec("INSERT INTO millstream.positions VALUES ('*', '"+topic+"', 0, 10, '', GETDATE()), ('*', '"+topic+"', 1, 10, '', GETDATE())",
		"INSERT INTO millstream.held VALUES ('app.sales', '"+topic+"', 1, 0, '*', 'behind', '', GETDATE(), 1), ('app.sales', '"+topic+"', 0, 0, '*', 'target', '42501 permission denied for relation sales', DATEADD(hour, -3, GETDATE()), 4)",
		"INSERT INTO millstream.held VALUES ('app.notes', '"+topic+"', 0, 0, 'lake/app/notes/f.parquet', 'count', 'copy: 3 rows, the commits promise 4', GETDATE(), 1), ('app.pages', '', 0, 0, '', 'readers', 'session 71 of ann reads app.pages since 06:00', GETDATE(), 0)")
	r := k.read()
	if len(r.Held) != 3 || !r.Wrong() {
		t.Fatalf("held: %+v", r.Held)
	}
	h := r.Held[0]
	if h.Kind != HeldTarget || h.Chains != 2 || h.Rows != 20 || h.Attempts != 4 || !strings.Contains(h.Mend, `GRANT ALL ON "app"."sales" TO "loader"`) || r.find(t, "app.sales").Held != h.Reason {
		t.Errorf("held target: %+v", h)
	}
	if r.Targets[0].Target != "app.sales" {
		t.Errorf("the held target is not first: %+v", r.Targets)
	}
	text := r.text(t, Options{})
	for _, want := range []string{"may not write the table", "permission denied for relation sales", "millstream loader retry --target app.sales", "lake/app/notes/f.parquet", "session 71 of ann", "pg_terminate_backend"} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

func TestChainGapIsNamed(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.ledger()
	k.commit(0, 0, 10, "app.tracks")
	k.commit(0, 20, 30, "app.tracks")
	r := k.read()
	if len(r.Gaps) != 1 || r.Gaps[0].Chain != topic+"/0" || !r.Wrong() || r.find(t, "app.tracks").DueRows != 10 {
		t.Errorf("gaps %+v, targets %+v", r.Gaps, r.Targets)
	}
	if text := r.text(t, Options{}); !strings.Contains(text, "CHAINS WITH A GAP") || !strings.Contains(text, "want a commit at 10") {
		t.Errorf("page:\n%s", text)
	}
}

func TestMissingViewsAreSaidAndPassedOver(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.ledger()
	k.commit(0, 0, 10, "app.tracks")
	for _, view := range []string{"svv_table_info", "pg_views", "pg_class_info"} {
		k.server.Faults().Inject(redshift.Fault{Match: "from " + view, Action: redshift.FailWith, Code: "42501", Text: "permission denied for relation " + view, Times: 9})
	}
	r := k.read()
	if len(r.Unread) < 2 || r.find(t, "app.tracks").MB != -1 {
		t.Errorf("unread: %v", r.Unread)
	}
	if text := r.text(t, Options{}); !strings.Contains(text, "GRANT SELECT ON svv_table_info TO loader") {
		t.Errorf("page:\n%s", text)
	}
}

func TestWithoutLedger(t *testing.T) {
	t.Parallel()
	k := setup(t)
	if _, err := Read(context.Background(), k.deps, time.Now()); err == nil || !strings.Contains(err.Error(), "no ledger yet") {
		t.Errorf("error %v", err)
	}
	k.ledger()
	if text := k.read().text(t, Options{}); !strings.Contains(text, "No target yet") {
		t.Errorf("page:\n%s", text)
	}
}

func TestMirrorsRetiredColumnsAndBoundViews(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.ledger()
	k.exec("CREATE SCHEMA shop", "CREATE TABLE shop.orders (id BIGINT, total BIGINT, legacy BIGINT)", "CREATE VIEW shop.bound AS SELECT id FROM shop.orders",
		"CREATE VIEW shop.free AS SELECT id FROM shop.orders WITH NO SCHEMA BINDING",
		"INSERT INTO millstream.loads (load_id, target, kind, files, rows_inserted, rows_updated, rows_deleted, started_at, committed_at) VALUES ('1', 'shop.orders', 'mirror', 1, 1, 0, 0, GETDATE(), GETDATE())",
		"INSERT INTO millstream.models (model, built_at, rows, seconds, tests, error) VALUES ('models.a', GETDATE(), 3, 1.5, '[{\"test\":\"unique(id)\",\"failures\":2,\"warn\":true}]', ''), ('models.b', NULL, NULL, NULL, NULL, 'models/b.sql:3: no such table')",
		"INSERT INTO millstream.maintenance VALUES ('shop.orders', 'vacuum_sort', '40 % unsorted', '40 % unsorted', '0 % unsorted', 12.5, '', DATEADD(hour, -2, GETDATE()))")
	if err := k.lake.CreateSchema(t.Context(), lake.Schema{Table: "shop.orders", Version: 1, Kind: lake.SchemaMirror, Key: []string{"id"}, Columns: []lake.SchemaColumn{{Name: "id", Type: wire.Int64}, {Name: "total", Type: wire.Int64}}}); err != nil {
		t.Fatal(err)
	}
	r := k.read()
	if len(r.Retired) != 1 || strings.Join(r.Retired[0].Columns, ",") != "legacy" {
		t.Errorf("retired: %+v", r.Retired)
	}
	if len(r.Views) != 1 || r.Views[0] != (View{"shop.bound", "shop.orders"}) {
		t.Errorf("views: %+v", r.Views)
	}
	if len(r.Models) != 2 || r.Models[0].Warnings != 1 || r.Models[1].Error == "" {
		t.Errorf("models: %+v", r.Models)
	}
	if len(r.Maintenance.Done) != 1 || len(r.Maintenance.Planned) == 0 || r.Maintenance.Planned[0].Act != "trim_ledger" {
		t.Errorf("maintenance: %+v", r.Maintenance)
	}
	if len(r.Unread) != 0 {
		t.Errorf("unread: %v", r.Unread)
	}
}

// big is a report of a thousand targets of which some are held.
func big() Report {
	now := time.Date(2026, 11, 22, 2, 40, 0, 0, time.UTC)
	r := Report{At: now, Maintenance: Maintenance{Enabled: true, Window: "02:00-05:00 UTC", Open: true}}
	for i := range int64(1000) {
		at := now.Add(-time.Duration(i+12) * time.Second)
		r.Targets = append(r.Targets, Target{Target: fmt.Sprintf("app.event_number_%d", i), LoadedThrough: &at, AgeSeconds: i + 12, Rows: i * 98_765, MB: i * 3, Skew: 1.1, Unsorted: float64(i % 40), LastLoadAt: &at, LastLoadSeconds: 2.4, DueRows: i % 7})
	}
	r.Targets[17].Held, r.Targets[17].DueSeconds = "columns", 7200
	long := "app." + strings.Repeat("a_very_long_name_of_an_event_", 4)
	r.Targets[4].Target, r.Targets[4].DueSeconds, r.Targets[4].DueAtLeast = long, 900, true
	c := explain("columns", "")
	h := Held{Target: "app.event_number_17", Kind: HeldTarget, Chains: 3, Reason: "columns", Words: c.words, Said: "column total of app.event_number_17 is BIGINT, which does not hold every float64", Since: now.Add(-2 * time.Hour), Attempts: 4, Rows: 1204}
	h.Mend = c.fill(h, "millstream")
	r.Held = []Held{h}
	r.Maintenance.Done = []Done{{At: now.Add(-time.Hour), Target: "app.tracks", Act: "analyze", Reason: "statistics are 14 % off", Before: "statistics 14 % off", After: "statistics 0 % off", Seconds: 3.2}, {At: now.Add(-time.Hour), Target: "app.pages", Act: "vacuum_sort", Reason: "40 % unsorted, sorting saves 30 %", Error: "55006 VACUUM is running"}}
	r.sort()
	return r
}

func TestPageOfAThousandTargetsFitsATerminal(t *testing.T) {
	t.Parallel()
	r := big()
	page := r.text(t, Options{})
	for line := range strings.SplitSeq(page, "\n") {
		if n := len([]rune(line)); n > width && len(strings.Fields(line)) > 1 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if n := strings.Count(page, "\n"); n > 60 {
		t.Errorf("%d lines for a thousand targets", n)
	}
	golden.Equal(t, filepath.Join("testdata", "page.txt"), []byte(page))
	if n := strings.Count(r.text(t, Options{All: true}), "\n"); n < 1000 {
		t.Errorf("--all shows %d lines", n)
	}
	one := r.text(t, Options{Target: "app.event_number_17"})
	if !strings.Contains(one, "BIGINT") || strings.Contains(one, "event_number_18") || !r.Has("app.event_number_17") || r.Has("app.no") {
		t.Errorf("one target:\n%s", one)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}
