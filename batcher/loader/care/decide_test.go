package care

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/warehouse"
)

const day = 24 * time.Hour

// sound is a table at which nothing is to be done.
func sound(change func(*Table)) Table {
	t := Table{TableInfo: warehouse.TableInfo{
		Name: warehouse.Name{Schema: "app", Table: "tracks"}, MB: 900, AllRows: 500_000, Rows: 500_000, DistStyle: "KEY(id)", Sorted: true, SortBenefit: -1,
	}, DataMB: 800, DistKey: "id"}
	change(&t)
	return t
}

func TestEachActHasItsReason(t *testing.T) {
	t.Parallel()
	nothing := func(*Table) {}
	small := func(t *Table) { t.Small, t.DistStyle, t.DataMB, t.Rows, t.AllRows = true, "ALL", 3, 900, 900 }
	for _, c := range []struct {
		name   string
		change func(*Table)
		past   map[Act]Past
		auto   bool
		want   []string
	}{
		{"a sound table", nothing, nil, false, nil},
		{"15 % dead is borne", func(t *Table) { t.AllRows, t.Rows = 1000, 850 }, nil, false, nil},
		{"more is not", func(t *Table) { t.AllRows, t.Rows = 1000, 840 }, nil, false, []string{"vacuum_delete: 16 % of the rows are deleted ones"}},
		{"unsorted, but sorting saves little", func(t *Table) { t.Unsorted, t.SortBenefit = 90, 10 }, nil, false, nil},
		{"unsorted, and nobody knows what sorting saves", func(t *Table) { t.Unsorted = 90 }, nil, false, nil},
		{"unsorted", func(t *Table) { t.Unsorted, t.SortBenefit = 21, 11 }, nil, false, []string{"vacuum_sort: 21 % unsorted, sorting saves 11 %"}},
		{"statistics a little off", func(t *Table) { t.StatsOff = 10 }, nil, false, nil},
		{"statistics off", func(t *Table) { t.StatsOff = 11 }, nil, false, []string{"analyze: statistics are 11 % off"}},
		{"few rows came", func(t *Table) { t.Changed = 49_999 }, nil, false, nil},
		{"a tenth of the rows came", func(t *Table) { t.Changed = 50_000 }, nil, false, []string{"analyze: 50000 of 500000 rows came or changed since the last time"}},
		{"a small table on all nodes", small, nil, false, nil},
		{"too many rows for all nodes", func(t *Table) { small(t); t.Rows, t.AllRows = 1_000_000, 1_000_000 }, map[Act]Past{Compress: {Done: day, Tried: day}}, false, []string{"diststyle: 1000000 rows and 3 MB outgrew DISTSTYLE ALL"}},
		{"too large for all nodes", func(t *Table) { small(t); t.DataMB = 64 }, nil, false, []string{"diststyle: 900 rows and 64 MB outgrew DISTSTYLE ALL"}},
		{"size unknown", func(t *Table) { small(t); t.DataMB = -1 }, nil, false, nil},
		{"shrunk a little", func(t *Table) { small(t); t.DistStyle, t.Rows, t.AllRows = "KEY(id)", 500_000, 500_000 }, nil, false, nil},
		{"shrunk", func(t *Table) { small(t); t.DistStyle = "KEY(id)" }, nil, false, []string{"diststyle: 900 rows and 3 MB are small enough for DISTSTYLE ALL"}},
		{"shrunk, spread evenly", func(t *Table) { small(t); t.DistStyle = "EVEN" }, nil, false, []string{"diststyle: 900 rows and 3 MB are small enough for DISTSTYLE ALL"}},
		{"Redshift chooses the distribution", func(t *Table) { small(t); t.DistStyle = "AUTO(EVEN)" }, nil, false, nil},
		{"events are never on all nodes", func(t *Table) { small(t); t.Small, t.DistStyle = false, "KEY(id)" }, nil, false, nil},
		{"a million rows", func(t *Table) { t.Rows, t.AllRows = 1_000_000, 1_000_000 }, nil, false, []string{"compression: 1000000 rows, and nobody has looked at its encodings"}},
		{"encodings looked at lately", func(t *Table) { t.Rows, t.AllRows = 1_000_000, 1_000_000 }, map[Act]Past{Compress: {Done: 29 * day, Tried: 29 * day}}, false, nil},
		{"encodings looked at long ago", func(t *Table) { t.Rows, t.AllRows = 1_000_000, 1_000_000 }, map[Act]Past{Compress: {Done: 30 * day, Tried: 30 * day}}, false, []string{"compression: encodings were looked at 30 days ago"}},
		{"looking has only ever failed", func(t *Table) { t.Rows, t.AllRows = 1_000_000, 1_000_000 }, map[Act]Past{Compress: {Done: -1, Tried: day}}, false, []string{"compression: 1000000 rows, and nobody has looked at its encodings"}},
		{"keys are Redshift's", func(t *Table) { small(t); t.DataMB, t.Rows, t.AllRows = 99, 2_000_000, 2_000_000 }, nil, true, nil},
		{"tried in this window already", func(t *Table) { t.StatsOff = 50 }, map[Act]Past{Analyze: {Done: time.Hour, Tried: time.Hour}}, false, nil},
		{"tried in the last window", func(t *Table) { t.StatsOff = 50 }, map[Act]Past{Analyze: {Done: -1, Tried: 4 * time.Hour}}, false, []string{"analyze: statistics are 50 % off"}},
		{"held", func(t *Table) { t.StatsOff, t.Held = 50, true }, nil, false, nil},
		{"empty", func(t *Table) { t.StatsOff, t.AllRows, t.Rows = 50, 0, 0 }, nil, false, nil},
		{"statistics come after what changes them", func(t *Table) {
			t.StatsOff, t.Unsorted, t.SortBenefit, t.AllRows, t.Rows = 50, 50, 50, 500, 300
		}, nil, false, []string{"vacuum_delete: 40 % of the rows are deleted ones", "vacuum_sort: 50 % unsorted, sorting saves 50 %", "analyze: statistics are 50 % off"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := Facts{Tables: []Table{sound(c.change)}, Past: map[string]map[Act]Past{"app.tracks": c.past, LedgerTarget: {Trim: {}}}, Window: 3 * time.Hour, CompressionEvery: 30 * day, Auto: c.auto}
			var got []string
			for _, td := range Decide(f) {
				got = append(got, string(td.Act)+": "+td.Reason)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("acts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLongestUncaredForComesFirst(t *testing.T) {
	t.Parallel()
	f := Facts{Window: 3 * time.Hour, CompressionEvery: 30 * day, Forgotten: []warehouse.Name{{Schema: "app", Table: "tracks__old"}}, Past: map[string]map[Act]Past{
		"app.b": {VacuumSort: {Tried: 9 * day}, Analyze: {Tried: 2 * day, Done: 2 * day}}, "app.c": {Analyze: {Tried: 3 * day}}, LedgerTarget: {Trim: {Tried: day, Done: day}},
	}}
	for _, name := range []string{"a", "b", "c"} {
		f.Tables = append(f.Tables, sound(func(t *Table) { t.Name.Table, t.StatsOff = name, 50 }))
	}
	var got []string
	for _, td := range Decide(f) {
		got = append(got, td.Target)
	}
	if diff := cmp.Diff([]string{"millstream", "app.tracks__old", "app.a", "app.c", "app.b"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestRecodeSavesAFifthAndKeepsColumnsWidenable(t *testing.T) {
	t.Parallel()
	col := func(name, typ, has, gets string, sort int, saves, bytes float64) advice {
		return advice{StoredColumn: warehouse.StoredColumn{Name: name, Type: typ, Encoding: has, SortKey: sort}, Encoding: gets, Saves: saves, Bytes: bytes}
	}
	note := func(gets string, saves float64) advice {
		return col("note", "character varying(64)", "lzo", gets, 0, saves, 80)
	}
	for _, c := range []struct {
		name    string
		columns []advice
		want    []string
	}{
		{"a fifth of the table", []advice{note("zstd", 30), col("n", "bigint", "az64", "az64", 0, 0, 20)}, []string{"note"}},
		{"too little of the table", []advice{note("zstd", 24), col("n", "bigint", "az64", "az64", 0, 0, 20)}, nil},
		{"too little of the column", []advice{note("zstd", 19)}, nil},
		{"only those that save", []advice{note("zstd", 60), col("n", "bigint", "az64", "delta", 0, 5, 20)}, []string{"note"}},
		{"a dictionary on a VARCHAR", []advice{note("text255", 90)}, nil},
		{"bytedict on a VARCHAR", []advice{note("bytedict", 90)}, nil},
		{"runlength on a VARCHAR", []advice{note("runlength", 90)}, nil},
		{"bytedict on a number", []advice{col("n", "bigint", "az64", "bytedict", 0, 90, 8)}, []string{"n"}},
		{"the first sort column", []advice{col("received_at", "timestamp without time zone", "none", "az64", 1, 90, 8)}, nil},
		{"the second sort column", []advice{col("m", "bigint", "raw", "az64", 2, 90, 8)}, []string{"m"}},
		{"the same encoding", []advice{note("lzo", 90)}, nil},
		{"SUPER", []advice{col("j", "super", "zstd", "lzo", 0, 90, 80)}, nil},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, a := range recode(c.columns) {
				got = append(got, a.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDataIsWhatBlocksHoldBeyondTheLeast(t *testing.T) {
	t.Parallel()
	cluster := warehouse.Cluster{Nodes: 4, Slices: 16}
	for _, c := range []struct {
		name    string
		mb      int64
		style   string
		sorted  bool
		columns int
		want    int64
	}{
		{"one row, spread", 16 * 2 * 33, "KEY(id)", true, 30, 0},
		{"one row, no sort key", 16 * 33, "EVEN", false, 30, 0},
		{"one row on each node", 4 * 2 * 33, "ALL", true, 30, 0},
		{"fewer slices are filled", 40, "KEY(id)", true, 30, 0},
		{"data beyond", 16*2*33 + 100, "KEY(id)", true, 30, 100},
		{"four copies", 4*2*33 + 400, "ALL", true, 30, 100},
		{"Redshift's copies", 4*2*33 + 401, "AUTO(ALL)", true, 30, 101},
	} {
		info := warehouse.TableInfo{MB: c.mb, DistStyle: c.style, Sorted: c.sorted}
		if got := info.DataMB(c.columns, cluster); got != c.want {
			t.Errorf("%s: %d MB, want %d", c.name, got, c.want)
		}
	}
}
