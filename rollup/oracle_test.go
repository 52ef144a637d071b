package rollup

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

var (
	oracleSeed  = flag.Uint64("oracle.seed", 0, "run TestOracle with this seed only")
	oracleSeeds = flag.Uint64("oracle.seeds", 30, "how many seeds TestOracle tries")
)

// TestOracle disturbs workers in every way that this machine allows, and then
// compares every cell with what one naive reader makes of the log.
func TestOracle(t *testing.T) {
	t.Parallel()
	first, last := uint64(1), *oracleSeeds
	if testing.Short() {
		last = min(last, 6)
	}
	if *oracleSeed != 0 {
		first, last = *oracleSeed, *oracleSeed
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("again: go test ./rollup -run TestOracle -oracle.seed %d", seed)
				}
			})
			disturb(t, seed, nil)
		})
	}
}

// disturb runs one seed, on another store than SQLite if there is one.
func disturb(t *testing.T, seed uint64, other metric.Store) {
	rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a seeded test
	b := setup(t, 1+rng.IntN(3))
	if other != nil {
		b.store = other
	}
	b.dedup.MaxRecords, b.dedup.Window = int64(20+rng.IntN(200)), time.Duration(1+rng.IntN(48))*time.Hour
	b.cfg.Flush.Interval = time.Duration(2+rng.IntN(20)) * time.Millisecond
	b.cfg.Flush.Cells = 5 + rng.IntN(200)
	b.cfg.DrainTimeout = 0 // every end is a crash
	g := &generator{rng: rng, parts: b.kafka.Topics.Partitions}
	var live []*running
	for range 5 {
		b.send(g.some(40)...)
		for _, w := range live { // what a failpoint killed
			if len(w.done) > 0 {
				_ = w.stop()
			}
		}
		switch rng.IntN(3) {
		case 0:
			for _, w := range live {
				_ = w.stop()
			}
			live = nil
		case 1:
			if len(live) > 1 {
				_ = live[0].stop()
				live = live[1:]
			}
		}
		if len(live) < 2 {
			live = append(live, b.startFragile(rng.Uint64()))
		}
		pause := time.Duration(rng.IntN(60)) * time.Millisecond
		<-time.After(pause) // lets the workers get somewhere; nothing depends on where
	}
	for _, w := range live {
		_ = w.stop()
	}
	b.send(g.some(10)...)
	b.cfg.DrainTimeout = 10 * time.Second
	calm := b.start(b.store)
	b.reach(b.store)
	if err := calm.stop(); err != nil {
		t.Fatal(err)
	}
	compare(t, b)
}

// startFragile starts a worker that fails at durable steps by chance: answers
// are lost before and after the store has acted, and some of these moments are
// the worker's last.
func (b *bench) startFragile(seed uint64) *running {
	var (
		mu  sync.Mutex
		rng = rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a seeded test
		w   *running
		up  = make(chan struct{})
	)
	strike := func(ctx context.Context, op string) error {
		mu.Lock()
		n := rng.IntN(100)
		mu.Unlock()
		switch {
		case n < 3 && op == "commit":
			<-up
			w.end()
			<-ctx.Done()
			return ctx.Err()
		case n < 12:
			return errAway
		}
		return nil
	}
	w = b.start(&faults{Store: b.store, before: strike, after: strike})
	close(up)
	return w
}

// generator makes a believable and unruly log.
type generator struct {
	rng   *rand.Rand
	parts int
	n     int
	sent  []sample
	clock time.Time
}

func (g *generator) some(n int) []sample {
	out := make([]sample, 0, n)
	for range n {
		out = append(out, g.next())
	}
	return out
}

func (g *generator) next() sample {
	if g.clock.IsZero() {
		g.clock = time.Date(2026, 10, 24, 20, 0, 0, 0, time.UTC) // the night in which Berlin's clocks go back follows
	}
	g.clock = g.clock.Add(time.Duration(g.rng.IntN(900)) * time.Second)
	ts := g.clock.Add(-time.Duration(g.rng.IntN(3)) * time.Minute)
	if len(g.sent) > 0 && g.rng.IntN(20) == 0 {
		twin := g.sent[g.rng.IntN(len(g.sent))]
		twin.ts = ts
		return twin
	}
	g.n++
	s := sample{
		part: int32(g.rng.IntN(g.parts)), id: fmt.Sprint("m", g.n), ts: ts, at: ts, //nolint:gosec // few partitions
		body: map[string]any{"userId": fmt.Sprint("u", g.rng.IntN(60)), "context": map[string]any{"location": map[string]any{"country": pick(g.rng, "DE", "AT", "")}}},
	}
	switch g.rng.IntN(12) {
	case 0:
		s.at = ts.Add(-time.Duration(g.rng.IntN(80)) * time.Hour)
	case 1:
		s.at = ts.Add(time.Duration(g.rng.IntN(30)) * time.Minute)
	case 2:
		s.at = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	case 3:
		delete(s.body, "userId")
		s.body["anonymousId"] = "a1"
	}
	s.name = pick(g.rng, "Order Completed", "Order Completed", "Order Completed", "Order Refunded", "Product Viewed", "")
	if s.name == "" {
		s.typ = event.Page
	}
	props := map[string]any{"plan": pick(g.rng, "Free", "PRO", "team", "gold"), "currency": pick(g.rng, "EUR", "EUR", "USD"), "items": g.rng.IntN(5)}
	switch g.rng.IntN(5) {
	case 0:
		props["total"] = json.Number(fmt.Sprintf("%d.%04d", g.rng.IntN(900), g.rng.IntN(10000)))
	case 1:
		props["total"] = fmt.Sprintf("-%d.5", g.rng.IntN(90))
	case 2:
		props["total"] = json.Number("1e400")
	case 3:
		props["total"] = "NaN"
	default:
		props["total"] = g.rng.IntN(1000)
	}
	s.body["properties"] = props
	if g.rng.IntN(30) == 0 {
		s.raw = pick(g.rng, `{"type":`, `[]`, `{"event":"no time"}`)
	}
	g.sent = append(g.sent, s)
	return s
}

func pick(rng *rand.Rand, words ...string) string { return words[rng.IntN(len(words))] }

// cellID is a cell without its origin.
type cellID struct {
	metric, zone string
	bucket       int64
	vals         string
}

type cellText struct {
	N, Bad int64
	State  string
}

// compare holds the merged cells of the store, and what the topic of cells
// says, against the log.
func compare(t *testing.T, b *bench) {
	t.Helper()
	want := naive(t, b)
	reg, err := b.store.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type sum struct {
		n, bad int64
		st     *metric.State
	}
	got := map[cellID]*sum{}
	published := b.published()
	for _, v := range reg.Versions {
		for _, zone := range []string{"", "UTC", "Europe/Berlin"} {
			_, err := b.store.Scan(t.Context(), []metric.Range{{VersionID: v.VersionID, Zone: zone, From: -1 << 40, To: 1 << 40}}, func(r metric.Row) bool {
				id := cellID{v.Name, zone, r.Bucket, strings.Join(r.Vals, "|")}
				c := got[id]
				if c == nil {
					c = &sum{st: v.Def.NewState()}
					got[id] = c
				}
				part, err := v.Def.DecodeState(r.State)
				if err == nil {
					err = c.st.Merge(part)
				}
				if err != nil {
					t.Error(err)
				}
				c.n, c.bad = c.n+r.N, c.bad+r.Bad
				key := wire.CellKey{Metric: v.Name, Version: v.Ver, Zone: zone, Bucket: r.Bucket, Tuple: r.Dim, Src: r.Src, Rev: r.Rev}
				if p := published[string(key.Append(nil))]; string(p.State) != string(r.State) || p.Off != r.LastOff || p.N != r.N || p.Bad != r.Bad || !slices.Equal(p.Vals, r.Vals) {
					t.Errorf("published of %v is off %d, n %d, bad %d, vals %q; the store has off %d, n %d, bad %d, vals %q", r.Key, p.Off, p.N, p.Bad, p.Vals, r.LastOff, r.N, r.Bad, r.Vals)
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	texts := map[cellID]cellText{}
	for id, c := range got {
		texts[id] = cellText{c.n, c.bad, fmt.Sprintf("%x", c.st.Append(nil))}
	}
	if diff := cmp.Diff(want, texts, cmp.AllowUnexported(cellID{})); diff != "" {
		t.Errorf("cells differ from the log (-log +store):\n%s", diff)
	}
}

// naive reads the log from one end to the other and counts, with none of the
// code under test but the states' own bytes.
func naive(t *testing.T, b *bench) map[cellID]cellText {
	t.Helper()
	set, err := metric.Load(b.cfg.Definitions)
	if err != nil {
		t.Fatal(err)
	}
	type acc struct {
		n, bad int64
		st     *metric.State
	}
	cells := map[cellID]*acc{}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, at time.Time, vals []string, v int64, minus, usable bool) {
		for _, id := range []cellID{
			{name, "", at.Unix() / 900, ""}, {name, "UTC", civil(at.UTC()), ""}, {name, "Europe/Berlin", civil(at.In(berlin)), ""},
		} {
			for _, tuple := range []string{"", strings.Join(vals, "|")} {
				if id.vals = tuple; tuple == "" && id.vals != "" {
					continue
				}
				c := cells[id]
				if c == nil {
					c = &acc{st: set.Metric(name).NewState()}
					cells[id] = c
				}
				if !usable {
					c.bad++
				} else if err := c.st.Add(v, minus); err != nil {
					t.Error(err)
				} else {
					c.n++
				}
				if len(vals) == 0 {
					break
				}
			}
		}
	}
	for _, recs := range readLog(t, b) {
		eachOnce(recs, b.dedup.MaxRecords, b.dedup.Window, func(r *kgo.Record, h wire.EventHeader) { naiveEvent(r, h, put) })
	}
	out := map[cellID]cellText{}
	for id, c := range cells {
		out[id] = cellText{c.n, c.bad, fmt.Sprintf("%x", c.st.Append(nil))}
	}
	return out
}

func civil(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// eachOnce walks a partition and leaves duplicates out, looking back naively.
func eachOnce(recs []*kgo.Record, most int64, window time.Duration, yield func(*kgo.Record, wire.EventHeader)) {
	var clock int64
	type seen struct{ off, clock int64 }
	last := map[string]seen{}
	for _, r := range recs {
		clock = max(clock, r.Timestamp.UnixMilli())
		h, err := wire.ParseEventHeaders(r.Headers)
		if err != nil {
			continue
		}
		id := h.Source + "\x00" + h.MessageID
		before, ok := last[id]
		last[id] = seen{r.Offset, clock}
		if ok && r.Offset-before.off <= most && clock-before.clock <= window.Milliseconds() {
			continue
		}
		yield(r, h)
	}
}

func naiveEvent(r *kgo.Record, h wire.EventHeader, put func(name string, at time.Time, vals []string, v int64, minus, usable bool)) {
	var e struct {
		Timestamp   *time.Time
		UserID      string `json:"userId"`
		AnonymousID string `json:"anonymousId"`
		Context     struct{ Location struct{ Country string } }
		Properties  struct {
			Plan, Currency, Country string
			Total                   json.RawMessage
			Items                   int64
		}
	}
	if json.Unmarshal(r.Value, &e) != nil || e.Timestamp == nil {
		return
	}
	at := *e.Timestamp
	if at.Sub(h.ReceivedAt) > 10*time.Minute || at.Year() < 2000 {
		at = h.ReceivedAt
	}
	plan := strings.ToLower(e.Properties.Plan)
	switch plan {
	case "free", "pro", "team":
	case "":
		plan = "unknown"
	default:
		plan = "other"
	}
	country := e.Context.Location.Country
	if country == "" {
		country = "nowhere"
	}
	total, usable := naiveCents(e.Properties.Total)
	user := e.UserID
	if user == "" {
		user = e.AnonymousID
	}
	put("dau", at, []string{plan}, int64(xxhash.Sum64String(user)), false, true) //nolint:gosec // a hash travels as it is
	completed, refunded := h.Event == "Order Completed", h.Event == "Order Refunded"
	if completed {
		put("orders", at, []string{plan, country}, 0, false, true)
		put("biggest", at, nil, total, false, usable)
		put("basket", at, nil, e.Properties.Items, false, true)
	}
	if (completed || refunded) && e.Properties.Currency == "EUR" {
		put("revenue", at, []string{country}, total, refunded, usable)
	}
}

// naiveCents rounds to six decimals and then to two, half away from zero.
func naiveCents(raw json.RawMessage) (int64, bool) {
	text := strings.Trim(string(raw), `"`)
	if text == "1e400" {
		return 0, false
	}
	v, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, false
	}
	for _, f := range []int64{1_000_000, 100} {
		scaled := new(big.Rat).Mul(v, big.NewRat(f, 1))
		half := big.NewRat(1, 2)
		if scaled.Sign() < 0 {
			half.Neg(half)
		}
		scaled.Add(scaled, half)
		v = new(big.Rat).SetFrac(new(big.Int).Quo(scaled.Num(), scaled.Denom()), big.NewInt(f))
	}
	v.Mul(v, big.NewRat(100, 1))
	return v.Num().Int64(), true
}

// readLog returns the records of each partition of the topic of events.
func readLog(t *testing.T, b *bench) map[int32][]*kgo.Record {
	t.Helper()
	topic := b.kafka.Names().Events()
	log, err := kafka.DescribeLog(t.Context(), b.cl, topic, true)
	if err != nil {
		t.Fatal(err)
	}
	from := map[int32]kgo.Offset{}
	left := 0
	for p, end := range log.End {
		from[p] = kgo.NewOffset().AtStart()
		left += int(end - log.Start[p])
	}
	cl := testkit.KafkaClient(t, b.kafka, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	defer cl.Close()
	out := map[int32][]*kgo.Record{}
	for left > 0 {
		for _, r := range cl.PollFetches(t.Context()).Records() {
			out[r.Partition] = append(out[r.Partition], r)
			left--
		}
	}
	return out
}
