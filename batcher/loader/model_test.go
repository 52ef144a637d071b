//go:build cgo

package loader

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/wire"
)

// model commits at random while loaders are killed and started, two at times,
// and statements fail at random; it knows what the warehouse must hold in the end.
type model struct {
	*kit
	rng    *rand.Rand
	places map[string]map[string]string // by table: (partition, offset) of each row, and its id
	cells  map[string]map[string]string // and its values
	ids    []string
	orders map[string]string
	want   map[string]int64 // position by "target|part"
}

func TestKillLoaderModel(t *testing.T) {
	t.Parallel()
	seeds := 4
	if os.Getenv("MILLSTREAM_TEST_LONG") != "" {
		seeds = 100
	}
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newModel(setupWith(t, isolations[seed%2]), seed).run()
		})
	}
}

func (m *model) run() {
	running := map[int]func(){}
	defer func() {
		for _, kill := range running {
			kill()
		}
	}()
	for range 25 {
		switch m.rng.IntN(6) {
		case 0, 1, 2:
			m.commitSome()
		case 3:
			if slot := m.rng.IntN(2); running[slot] == nil {
				running[slot] = m.startMortal()
			} else {
				running[slot]()
				delete(running, slot)
			}
		case 4:
			m.fault()
		case 5: // loaders reach another statement meanwhile; the outcome does not depend on it
			<-time.After(time.Duration(m.rng.IntN(60)) * time.Millisecond)
		}
	}
	m.server.Faults().Clear()
	if len(running) == 0 {
		running[0] = m.startMortal()
	}
	m.settled()
	m.compare()
}

// startMortal runs a loader that ends like a killed one: it finishes nothing
// and keeps its lease.
func (m *model) startMortal() (kill func()) {
	l := m.loader(m.client, impatient, func(c *Config) {
		c.DrainTimeout, c.Lease.TTL, c.Lease.Renew = 0, 3*time.Second, 300*time.Millisecond
		c.Wave.Files, c.Group.Targets = 2+m.rng.IntN(6), 2+m.rng.IntN(4)
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx); err != nil {
			m.t.Errorf("run: %v", err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (m *model) fault() {
	actions := []redshift.FaultAction{redshift.CutBefore, redshift.CutAfter, redshift.CutDuring, redshift.FailWith}
	f := redshift.Fault{Action: actions[m.rng.IntN(len(actions))], Skip: m.rng.IntN(40), Code: "XX000", Text: "1023"}
	f.Match = []string{"", "", "commit", "insert into", "copy"}[m.rng.IntN(5)]
	if f.Match != "" {
		f.Skip /= 8
	}
	m.server.Faults().Inject(f)
}

func (m *model) commitSome() {
	part := m.rng.Int32N(3)
	var tables []table
	at := m.next[lake.ChainID{Topic: topic, Partition: part}]
	for _, name := range []string{"app.tracks", "app.identifies", fmt.Sprintf("app.event_%d", m.rng.IntN(4))} {
		if m.rng.IntN(3) == 0 {
			continue
		}
		columns := eventColumns([]wire.Column{col("plan", wire.String), col("total", wire.Float64), col("extra", wire.JSON)}[:m.rng.IntN(4)]...)
		var rows []row
		for range 1 + m.rng.IntN(5) {
			id := fmt.Sprintf("m%d", len(m.ids))
			if len(m.ids) > 0 && m.rng.IntN(12) == 0 {
				id = m.ids[m.rng.IntN(len(m.ids))]
			}
			m.ids = append(m.ids, id)
			r := row{"id": id, "user_id": fmt.Sprint("u", m.rng.IntN(5)), "plan": strings.Repeat("p", 1+m.rng.IntN(120)), "total": float64(m.rng.IntN(99)) + 0.5, "extra": fmt.Sprintf(`{"a":[%d]}`, at), "_offset": at}
			rows = append(rows, r)
			if m.places[name] == nil {
				m.places[name], m.cells[name] = map[string]string{}, map[string]string{}
			}
			place := fmt.Sprintf("%d|%d", part, at)
			m.places[name][place] = id
			for _, c := range columns {
				if v, ok := r[c.Name]; ok && c.Name != "_offset" {
					m.cells[name][place] += fmt.Sprintf("|%v", v)
				}
			}
			at++
		}
		tables = append(tables, table{name: name, columns: columns, rows: rows})
	}
	if m.rng.IntN(2) == 0 {
		id := int64(m.rng.IntN(5))*3 + int64(part)
		r := row{"id": id, "total": float64(at), "_op": []string{"r", "d"}[m.rng.IntN(2)], "_offset": at}
		m.orders[fmt.Sprint(id)] = fmt.Sprintf("%d|%d", id, at)
		if r["_op"] == "d" {
			delete(m.orders, fmt.Sprint(id))
		}
		tables = append(tables, table{name: "shop_public.orders", columns: orderColumns, rows: []row{r}})
	}
	c := m.commit(part, tables...)
	for _, tb := range tables {
		m.want[fmt.Sprintf("%s|%d", tb.name, part)] = c.Next
	}
}

// settled waits until every target stands where its last commit ends.
func (m *model) settled() {
	m.t.Helper()
	m.patiently("all commits are loaded", m.unsettled)
}

// unsettled says what a target lacks.
func (m *model) unsettled() error {
	rows, err := m.ask("SELECT target, part, next_offset FROM millstream.positions WHERE target <> '*'")
	if err != nil && len(m.want) > 0 {
		return err
	}
	got := map[string]int64{}
	for _, r := range rows {
		i := strings.LastIndexByte(r, '|')
		var n int64
		if _, err := fmt.Sscan(r[i+1:], &n); err != nil {
			return err
		}
		got[r[:i]] = n
	}
	if diff := cmp.Diff(m.want, got); diff != "" {
		held, _ := m.ask("SELECT * FROM millstream.held")
		return fmt.Errorf("held %v, positions (-want +got):\n%s", held, diff)
	}
	return nil
}

// patiently polls ok until it returns nil. A slow machine may take minutes for
// what many small waves have to do.
func (m *model) patiently(reason string, ok func() error) {
	m.t.Helper()
	deadline := time.Now().Add(4 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: %v", reason, err)
		}
		<-tick.C
	}
}

// compare wants each row in its table or, being a twin, named among the
// duplicates; each id once; and of mirrors the last change of each key.
func (m *model) compare() {
	for name, places := range m.places {
		got := map[string]string{}
		seen := map[string]bool{}
		for _, r := range m.query(`SELECT id, "_partition", "_offset" FROM ` + name) {
			id, place, _ := strings.Cut(r, "|")
			if seen[id] || got[place] != "" {
				m.t.Errorf("%s: %s is there twice", name, r)
			}
			seen[id], got[place] = true, id
		}
		for _, r := range m.query("SELECT id, part, offset_ FROM millstream.duplicates WHERE target = '" + name + "'") {
			id, place, _ := strings.Cut(r, "|")
			if got[place] != "" || !seen[id] {
				m.t.Errorf("%s: %s is named a duplicate of nothing", name, r)
			}
			got[place] = id
		}
		// The anti-join would hide a load that was done twice; the history does not.
		if got, want := m.one("SELECT SUM(rows_staged) FROM millstream.loads WHERE target = '"+name+"'"), fmt.Sprint(len(places)); got != want {
			m.t.Errorf("%s: %s rows were loaded, want %s", name, got, want)
		}
		if diff := cmp.Diff(places, got); diff != "" {
			m.t.Errorf("%s (-committed +loaded):\n%s", name, diff)
		}
		m.compareCells(name)
	}
	if m.want["shop_public.orders|0"]+m.want["shop_public.orders|1"]+m.want["shop_public.orders|2"] > 0 {
		got := m.query("SELECT id, CAST(total AS BIGINT) FROM shop_public.orders")
		if diff := cmp.Diff(slices.Sorted(maps.Values(m.orders)), slices.Sorted(slices.Values(got))); diff != "" {
			m.t.Errorf("orders (-want +got):\n%s", diff)
		}
	}
	for _, sql := range []string{
		"SELECT load_id FROM millstream.loads GROUP BY 1 HAVING COUNT(*) > 1", "SELECT * FROM millstream.held", "SELECT * FROM millstream.gate",
		"SELECT name FROM millstream.lease GROUP BY 1 HAVING COUNT(*) > 1",
	} {
		if got := m.query(sql); len(got) > 0 {
			m.t.Errorf("%s: %v", sql, got)
		}
	}
}

// compareCells wants the values of each row as its file has them.
func (m *model) compareCells(name string) {
	schema, tb, _ := strings.Cut(name, ".")
	list := []string{`"_partition"`, `"_offset"`, "id", "user_id"}
	for _, c := range m.query(fmt.Sprintf("SELECT column_name FROM svv_columns WHERE table_schema = '%s' AND table_name = '%s' AND column_name IN ('plan', 'total', 'extra') ORDER BY CASE column_name WHEN 'plan' THEN 1 WHEN 'total' THEN 2 ELSE 3 END", schema, tb)) {
		if c == "extra" {
			c = "JSON_SERIALIZE(extra)"
		}
		list = append(list, c)
	}
	for _, r := range m.query("SELECT " + strings.Join(list, ", ") + " FROM " + name) {
		parts := strings.SplitN(r, "|", 3)
		want := m.cells[name][parts[0]+"|"+parts[1]]
		// A file without a column leaves it empty.
		if got := "|" + strings.TrimRight(parts[2], "|"); got != want {
			m.t.Errorf("%s at %s|%s: %s, its file has %s", name, parts[0], parts[1], got, want)
		}
	}
}
