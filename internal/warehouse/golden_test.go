package warehouse

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/wire"
)

// golden compares got with testdata/name, and writes it when make golden
// asks for that.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("MILLSTREAM_TEST_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); make golden writes it anew:\n%s", path, diff)
	}
}

func script(statements ...string) string { return strings.Join(statements, ";\n") + ";\n" }

// lakeTypes are all of them, one column each.
var lakeTypes = wire.Columns{
	{Name: "id", Type: wire.String},
	{Name: "received_at", Type: wire.Timestamp},
	{Name: "note", Type: wire.String},
	{Name: "yes", Type: wire.Bool},
	{Name: "i16", Type: wire.Int16},
	{Name: "i32", Type: wire.Int32},
	{Name: "i64", Type: wire.Int64},
	{Name: "f32", Type: wire.Float32},
	{Name: "f64", Type: wire.Float64},
	{Name: "price", Type: wire.Decimal(18, 2)},
	{Name: "day", Type: wire.Date},
	{Name: "doc", Type: wire.JSON},
	{Name: "raw", Type: wire.Bytes},
	{Name: "_partition", Type: wire.Int64},
	{Name: "_offset", Type: wire.Int64},
}

func columns(cs wire.Columns) []Column {
	out := make([]Column, len(cs))
	for i, c := range cs {
		out[i] = Column{Name: c.Name, Lake: c.Type, Longest: 40}
		out[i].Type = TargetType(c.Name, c.Type, out[i].Longest)
	}
	return out
}

func TestDDLGolden(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Grants = []string{"analysts"}
	n := Name{"app", "order_completed"}
	cols := columns(lakeTypes)
	statements := append(cfg.CreateSchema("app"), cfg.CreateTable(n, cols, EventLayout()))
	statements = append(statements, cfg.GrantTable(n)...)
	statements = append(statements, cfg.AddColumn(n, Column{Name: `odd "name"`, Type: Type{Kind: Varchar, Width: 256}}),
		Widen(n, "note", Type{Kind: Varchar, Width: 4096}),
		cfg.CreateTable(Name{"shop_public", "orders"}, cols[:3], MirrorLayout([]string{"id"}, "received_at")),
		cfg.CreateTable(Name{"shop_public", "lines"}, cols[:3], MirrorLayout([]string{"id", "note"}, "")),
		cfg.CreateTable(Name{"app", "users"}, cols[:3], LatestLayout()))
	auto := cfg
	auto.Keys = KeysAuto
	statements = append(statements, auto.CreateTable(n, cols[:2], EventLayout()), auto.AddColumn(n, cols[2]))
	golden(t, "ddl.sql", script(statements...))
	golden(t, "ledger.sql", script(append(LedgerDDL(), FreshnessView)...))
}

func TestLoadGolden(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.CopyRole = "arn:aws:iam::123456789012:role/millstream-load"
	at := time.Date(2026, 11, 21, 6, 15, 2, 113_000_000, time.UTC)
	st := Staging{Name: "stg_01jd3x9k_51d0e3aa", Columns: columns(lakeTypes), Dist: []string{"id"}, Sort: []string{"received_at"}}
	copied, err := cfg.Copy(st.Name, "lake", "millstream/_loads/app.order_completed/01jd3x9k-51d0e3aa.manifest")
	if err != nil {
		t.Fatal(err)
	}
	in := Insert{Target: Name{"app", "order_completed"}, Staging: st, Since: at, Window: 24 * time.Hour}
	all := in
	all.Window = 0
	golden(t, "append.sql", script(st.Create(), copied, LastCopyCount, in.SQL(), in.Duplicates("01jd3x9k2m7q8r5t6v0w1y2z3a"), all.SQL(), st.Drop()))

	identifies := wire.Columns{
		{Name: "id", Type: wire.String},
		{Name: "received_at", Type: wire.Timestamp},
		{Name: "user_id", Type: wire.String},
		{Name: "_unmapped", Type: wire.JSON},
		{Name: "_partition", Type: wire.Int64},
		{Name: "_offset", Type: wire.Int64},
		{Name: "email", Type: wire.String},
	}
	older := Staging{Name: "stg_a", Columns: columns(identifies)}
	newer := Staging{Name: "stg_b", Columns: columns(append(identifies[:7:7], wire.Column{Name: "plan", Type: wire.JSON}))}
	latest := Latest{Target: Name{"app", "users"}, From: Name{"app", "identifies"}, Key: "user_id", Temp: "new_1", Staged: []Staging{older, newer}, Since: at}
	golden(t, "latest.sql", script(latest.Gather(), latest.Merge()))

	change := append(wire.Columns{{Name: "id", Type: wire.Int64}, {Name: "total", Type: wire.Decimal(10, 2)}, {Name: "seen", Type: wire.Timestamp}},
		wire.Column{Name: "_op", Type: wire.String}, wire.Column{Name: "_pass", Type: wire.Int64}, wire.Column{Name: "_page", Type: wire.Int64}, wire.Column{Name: "_strategy", Type: wire.String},
		wire.Column{Name: "_poll", Type: wire.String}, wire.Column{Name: "_read_at", Type: wire.Timestamp}, wire.Column{Name: "_partition", Type: wire.Int64}, wire.Column{Name: "_offset", Type: wire.Int64})
	cols := columns(change)
	cols[2].Type = Type{Kind: TimestampTZ}
	own, _ := OriginColumns(cols)
	added := append([]Column{{Name: "amount", Lake: wire.Decimal(10, 2)}, {Name: "note", Lake: wire.String, Type: Type{Kind: Varchar, Width: 256}}}, cols[len(own):]...)
	added = append([]Column{cols[0]}, added...)
	changes := Changes{
		Temp: "chg_1", Key: []string{"id"}, Staged: []Staging{{Name: "stg_1", Columns: cols}, {Name: "stg_2", Columns: added}}, Columns: append(own, added[2]),
		Renamed: map[string]string{"amount": "total"},
	}
	orders := Name{"shop_public", "orders"}
	golden(t, "mirror.sql", script(changes.Gather(), changes.Look(), changes.Delete(orders, nil), changes.Insert(orders, nil), changes.Deleted()))
	after := After{0: 812, 1: 77}
	refresh, keys := orders.Beside("__refresh"), Name{WorkSchema, "01jd3x9k2m7q8r5t6v0w1y2z3a"}
	keyless := changes
	keyless.Key = nil
	golden(t, "refresh.sql", script(changes.Delete(refresh, after), changes.Insert(refresh, after), keyless.Append(refresh, keys.Table, after),
		strings.Join(changes.CreateKeys(keys), ";\n"), changes.Collect(keys, after),
		DeleteRange(orders, "seen", "1", "2", keys, []string{"id"}), DeleteRange(orders, "id", "1", "2", keys, nil),
		DropTable(refresh), RenameTable(refresh, "orders"), RenameColumn(orders, "amount", "total")))
}

func TestLedgerGolden(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 6, 15, 2, 113_000_000, time.UTC)
	chain := Chain{"millstream.events", 3}
	var statements []string
	statements = append(statements, ReplacePositions([]string{"app.tracks"}, []Position{{Target: "app.tracks", Chain: chain, Next: 124480, LoadID: "01jd"}})...)
	statements = append(statements, SetLowWater(chain, 124480)...)
	statements = append(statements, InsertLoads([]Load{{
		ID: "01jd", Wave: "01jc", Target: "app.tracks", Kind: "append", Fence: 7, Commits: 2, Files: 3, Bytes: 4, Staged: 5, Inserted: 4, Duplicates: 1,
		Ranges: []Range{{"millstream.events", 3, 123456, 124480}}, MinReceivedAt: at, MaxReceivedAt: at, StartedAt: at,
	}}))
	poll := Poll{
		Target: "shop_public.orders", ID: "01jb", Strategy: "incremental", Kind: "incremental", Publish: "upsert", Part: 0, Parts: 1, Started: -1, Completed: 812, Rows: 9,
		CompleteThrough: time.Date(2026, 11, 21, 6, 15, 1, 102_345_000, time.UTC), Basis: "activity", State: PollDone,
	}
	statements = append(statements, ReplacePolls(poll.Target, []Poll{poll})...)
	statements = append(statements, InsertHeld([]Held{{Target: "app.tracks", Chain: chain, First: 123456, FileKey: "a/b'c", Reason: "file", Error: `it's \ odd`, Attempts: 1}}),
		ReleaseTarget("app.tracks"), ReleaseFile("app.tracks", "k"), RetriedTarget("app.tracks", "target", "42501 no"), RetriedFile("app.tracks", "k", "w"))
	golden(t, "bookkeeping.sql", script(statements...))
}
