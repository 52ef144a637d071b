package batcher

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/config"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestCutPolicy(t *testing.T) {
	t.Parallel()
	cfg := CutConfig{Age: 20 * time.Second, Bytes: 1000, Rows: 100, Files: 10}
	for name, c := range map[string]struct {
		l    load
		want cut
	}{
		"nothing arrived":             {load{opened: noon.Add(-time.Hour)}, cutNone},
		"young and small":             {load{records: 1, opened: noon}, cutNone},
		"one record, old enough":      {load{records: 1, opened: noon.Add(-20 * time.Second)}, cutAge},
		"a moment too young":          {load{records: 1, opened: noon.Add(-20*time.Second + 1)}, cutNone},
		"bytes":                       {load{records: 1, opened: noon, bytes: 1000}, cutBytes},
		"rows":                        {load{records: 1, opened: noon, rows: 100}, cutRows},
		"files":                       {load{records: 1, opened: noon, files: 10}, cutFiles},
		"size tells more than age":    {load{records: 1, opened: noon.Add(-time.Hour), rows: 100}, cutRows},
		"duplicates alone age as all": {load{records: 5, opened: noon.Add(-time.Minute)}, cutAge},
	} {
		if got := c.l.due(noon, cfg); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// holding is the state of a chain whose open range has records.
func holding(h held) state { return state{open: load{records: 1, held: h}} }

func TestBudgetsAreKept(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	budget := held{chunks: 100 * mib, groups: 100 * mib, disk: 100 * mib}
	chunks := func(all, largest int64) state {
		s := holding(held{chunks: all * mib})
		s.open.chunk = largest * mib
		return s
	}
	groups := func(all, largest int64) state {
		s := holding(held{groups: all * mib})
		s.open.group = largest * mib
		return s
	}
	disk := func(n int64) state { return holding(held{disk: n * mib}) }
	sealed := func(h held) state { return state{sealed: h} }
	waiting, busy, slow := chunks(95, 0), chunks(95, 50), chunks(95, 10)
	waiting.waiting, busy.asked, slow.asked = true, reliefChunk, reliefChunk
	for name, c := range map[string]struct {
		states []state
		full   bool // before
		want   verdict
	}{
		"no chain":                             {nil, true, verdict{}},
		"room":                                 {[]state{chunks(40, 20), chunks(50, 30)}, false, verdict{}},
		"above nine tenths, the largest chunk": {[]state{chunks(40, 20), chunks(51, 30)}, false, verdict{full: true, chain: 1, relief: reliefChunk}},
		"below it, but not below six tenths":   {[]state{chunks(40, 20), chunks(21, 10)}, true, verdict{full: true, chain: 0, relief: reliefChunk}},
		"below six tenths":                     {[]state{chunks(40, 20), chunks(20, 10)}, true, verdict{}},
		"chunks too small to write":            {[]state{chunks(40, 0), chunks(51, 0)}, false, verdict{full: true, chain: 1, relief: reliefMemory}},
		"the largest row group":                {[]state{groups(40, 20), groups(51, 18)}, false, verdict{full: true, chain: 0, relief: reliefGroup}},
		"row groups of too few rows":           {[]state{groups(40, 0), groups(51, 0)}, false, verdict{full: true, chain: 1, relief: reliefMemory}},
		"both: first what is in the way":       {[]state{chunks(95, 30), groups(95, 5)}, false, verdict{full: true, chain: 1, relief: reliefGroup}},
		"the disk":                             {[]state{disk(40), disk(51)}, false, verdict{full: true, disk: true, chain: 1, relief: reliefDisk}},
		"memory before the disk":               {[]state{disk(95), chunks(95, 30)}, false, verdict{full: true, chain: 1, relief: reliefChunk}},
		"a range on its way counts":            {[]state{sealed(held{chunks: 60 * mib}), chunks(31, 20)}, false, verdict{full: true, chain: 1, relief: reliefChunk}},
		"nothing to give but on its way":       {[]state{sealed(held{disk: 95 * mib})}, false, verdict{full: true, disk: true}},
		"one that waits is not cut again":      {[]state{waiting, chunks(1, 0)}, false, verdict{full: true, chain: 1, relief: reliefMemory}},
		"what was asked for is enough":         {[]state{busy, chunks(10, 5)}, false, verdict{full: true, shut: true}},
		"what was asked for is not enough":     {[]state{slow, chunks(10, 5)}, false, verdict{full: true, shut: true, chain: 1, relief: reliefChunk}},
		"beyond the budget itself":             {[]state{chunks(101, 50)}, false, verdict{full: true, shut: true, relief: reliefChunk}},
		"no record, no cut":                    {[]state{{open: load{held: held{chunks: 95 * mib}}}}, false, verdict{full: true}},
	} {
		if got := decide(c.states, budget, c.full); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestAgeGrowsWithSmallFiles(t *testing.T) {
	t.Parallel()
	cfg := CutConfig{Age: 20 * time.Second, MaxAge: 30 * time.Second}
	var got []time.Duration
	age := cfg.Age
	for range 5 {
		age = nextAge(age, cfg, 201, 201*smallFile-1)
		got = append(got, age)
	}
	for _, files := range []int{200, 201, 0, 0, 0} { // too few, too large, and none
		age = nextAge(age, cfg, files, int64(files)*smallFile)
		got = append(got, age)
	}
	want := []time.Duration{22500, 25000, 27500, 30000, 30000, 27500, 25000, 22500, 20000, 20000}
	for i := range want {
		want[i] *= time.Millisecond
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("effective age (-want +got):\n%s", diff)
	}
	if age := nextAge(time.Minute, CutConfig{Age: time.Minute, MaxAge: time.Second}, 300, 0); age != time.Minute {
		t.Errorf("a lower max_age makes it %s", age)
	}
}

func TestTopicsHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Topics = []TopicConfig{
		{Match: "millstream.changes.shop.*", Cut: CutConfig{Age: time.Minute, MaxAge: 2 * time.Minute, Files: 50}},
		{Match: "millstream.changes.*", Cut: CutConfig{Age: time.Hour}},
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	shop, other := cfg.Cut, cfg.Cut
	shop.Age, shop.MaxAge, shop.Files, other.Age = time.Minute, 2*time.Minute, 50, time.Hour
	for topic, want := range map[string]CutConfig{
		"millstream.events":                     cfg.Cut,
		"millstream.changes.shop.public.orders": shop,
		"millstream.changes.crm.public.leads":   other,
	} {
		if diff := cmp.Diff(want, cfg.of(topic)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", topic, diff)
		}
	}
	cfg.Topics = []TopicConfig{{Match: "["}, {}, {Match: "x", Cut: CutConfig{Age: -1}}}
	err := cfg.Validate()
	for _, want := range []string{"batcher.topics[0].match", "batcher.topics[1].match", "batcher.topics[2].cut.age"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
}

// A governor whose clock the test holds.
func testGovernor(t *testing.T, cfg Config) (g *governor, clock *time.Time) {
	t.Helper()
	g = newGovernor(cfg, newMetrics(prometheus.NewRegistry()))
	now := noon
	g.now = func() time.Time { return now }
	return g, &now
}

func TestGovernorAsksAndRemembers(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Memory.Chunks = 10 * config.MiB
	g, _ := testGovernor(t, cfg)
	big, small := &chain{in: newInbox()}, &chain{in: newInbox()}
	g.open(small, load{records: 1, held: held{chunks: 1 << 20}, chunk: 1 << 20}, false)
	g.open(big, load{records: 1, held: held{chunks: 9 << 20}, chunk: 5 << 20}, false)
	if ask, _ := big.in.orders(); !g.full.Load() || ask != reliefChunk {
		t.Fatalf("full %v, asked %v", g.full.Load(), ask)
	}
	g.open(big, load{records: 1, held: held{chunks: 9 << 20}, chunk: 5 << 20}, false)
	if ask, _ := small.in.orders(); ask != reliefNone {
		t.Error("another chain is asked before the first has answered")
	}
	big.in.relieved()
	g.cut(big, held{chunks: 4 << 20})
	g.sealed(big, held{disk: 1 << 20})
	if reason, paused := g.pausedFor(); paused {
		t.Errorf("still paused for %s with %+v", reason, g.holds())
	}
	g.forget(big)
	if h := g.holds(); h != (held{chunks: 1 << 20}) {
		t.Errorf("%+v is left of a chain that has ended", h)
	}
}

func TestRangesShrinkWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Cut.Bytes = 64 * config.MiB
	g, clock := testGovernor(t, cfg)
	g.diskFull(10 << 20)
	if reason, paused := g.pausedFor(); !paused || reason != pauseDisk || !g.shut.Load() {
		t.Fatalf("paused %v for %s", paused, reason)
	}
	g.diskFull(20 << 20) // of another chain, from before
	if got := g.short.Load(); got != 5<<19 {
		t.Errorf("ranges are cut at %d", got)
	}
	*clock = clock.Add(diskPause)
	if _, paused := g.pausedFor(); paused {
		t.Error("pauses for ever")
	}
	var sizes []int64
	for range 5 {
		*clock = clock.Add(diskRest)
		g.pausedFor()
		sizes = append(sizes, g.short.Load()>>20)
	}
	if diff := cmp.Diff([]int64{5, 10, 20, 40, 0}, sizes); diff != "" {
		t.Errorf("sizes in MiB (-want +got):\n%s", diff)
	}
	for range 30 {
		g.diskFull(1 << 20)
	}
	if got := g.short.Load(); got != diskLeast {
		t.Errorf("ranges are cut at %d", got)
	}
}

func TestInboxTakesByRecordsAndBytes(t *testing.T) {
	t.Parallel()
	in := newInbox()
	in.put(records(10, 1000), 10)
	if n := len(in.take(3, 1<<20)); n != 3 {
		t.Errorf("%d records taken, want 3", n)
	}
	if n := len(in.take(100, 1)); n != 1 {
		t.Errorf("%d records taken, want one whatever its size", n)
	}
	if n := len(in.take(100, 3000)); n != 2 {
		t.Errorf("%d records taken, want two of 1756 bytes", n)
	}
	if n := len(in.take(100, 1<<20)); n != 4 || in.held() != 0 {
		t.Errorf("%d records taken, %d bytes held", n, in.held())
	}
}

func records(n, size int) (out []*kgo.Record) {
	for range n {
		out = append(out, &kgo.Record{Value: make([]byte, size)})
	}
	return out
}

func TestMemoryIsSummedUp(t *testing.T) {
	t.Parallel()
	m := DefaultConfig().Memory
	if got := m.Resident(4); got != 400*config.MiB || m.Resident(0) != got {
		t.Errorf("four partitions take %s", got)
	}
	if got := m.Resident(12) - m.Resident(4); got != 160*config.MiB {
		t.Errorf("eight further partitions take %s", got)
	}
	if got := m.Limit(4); got >= int64(m.Resident(4)) {
		t.Errorf("a limit of %d leaves no room for the program", got)
	}
	if got := m.Sum(12); !strings.HasPrefix(got, "up to 400MiB resident: budgets 240MiB") || !strings.Contains(got, "560MiB if one batcher reads all 12") {
		t.Error(got)
	}
}

// Two fetches that compress to a tenth stay within the budget.
func TestFetchesAreSmall(t *testing.T) {
	t.Parallel()
	if budget := DefaultConfig().Memory.Fetch; 2*10*config.Bytes(fetchBytes(budget)) > budget {
		t.Errorf("two fetches of %d bytes may hold more than %s", fetchBytes(budget), budget)
	}
	if got := fetchBytes(config.MiB); got < 1<<20 {
		t.Errorf("%d bytes: less than the largest batch", got)
	}
}
