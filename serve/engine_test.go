package serve

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/testkit"
)

// TestBootstrapHasNoGap starts servers and loads metrics while cells change: each change is in the scan, in the topic
// or in both, and every server comes to the same number.
func TestBootstrapHasNoGap(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	now := time.Now()
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			r.add(n%2, "orders", now, 0, "pro")
			r.add(n%2, "dau", now, int64(n), "pro")
			n++
			r.publish(r.commit(now))
		}
	}()
	var servers []*Server
	for range 3 {
		s := r.server(func(c *Config) { c.HealEvery = time.Hour })
		values(t, s, "metric=orders&tz=UTC")
		servers = append(servers, s)
		values(t, s, "metric=dau&tz=UTC&by=plan")
	}
	close(stop)
	want := fmt.Sprint(<-done)
	for i, s := range servers {
		testkit.Eventually(t, "the number is complete", func() error {
			got := [][][]string{values(t, s, "metric=orders&tz=UTC"), values(t, s, "metric=dau&tz=UTC&by=plan"), values(t, s, "metric=orders&tz=UTC&range=24h")}
			if d := cmp.Diff([][][]string{{{want}}, {{"pro", want}}, {{want}}}, got); d != "" {
				return fmt.Errorf("server %d:\n%s", i, d)
			}
			return nil
		})
	}
}

// TestHealsLostCell: what the store has and the topic has not is taken within a round, and counted.
func TestHealsLostCell(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(func(c *Config) { c.HealEvery = 300 * time.Millisecond })
	values(t, s, "metric=orders&tz=UTC")
	r.add(0, "orders", time.Now(), 0, "pro")
	r.commit(time.Now()) // and its records are lost
	testkit.Eventually(t, "the lost cell is healed", func() error {
		if got := values(t, s, "metric=orders&tz=UTC"); got[0][0] != "1" {
			return fmt.Errorf("got %v", got)
		}
		return nil
	})
	if metricValue(s.metrics.heals) == 0 {
		t.Error("the healing was not counted")
	}
}

// TestNothingIsHealedWhereNothingIsLost: a record that is on its way when healing sees the gap is waited for.
func TestNothingIsHealedWhereNothingIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(func(c *Config) { c.HealEvery = time.Hour })
	values(t, s, "metric=orders&tz=UTC")
	for n := 1; n <= 5; n++ {
		r.add(0, "orders", time.Now(), 0, "pro")
		recs := r.commit(time.Now())
		gap, arrived := make(chan struct{}), make(chan time.Time)
		healed := make(chan error, 1)
		go func() {
			healed <- s.follower.healOnce(t.Context(), func() <-chan time.Time { close(gap); return arrived })
		}()
		select {
		case <-gap:
		case err := <-healed:
			t.Fatalf("the gap was not seen: %v", err)
		}
		r.publish(recs)
		testkit.Eventually(t, "the change is there", func() error {
			if got := values(t, s, "metric=orders&tz=UTC"); got[0][0] != fmt.Sprint(n) {
				return fmt.Errorf("got %v, want %d", got, n)
			}
			return nil
		})
		close(arrived)
		if err := <-healed; err != nil {
			t.Fatal(err)
		}
	}
	if n := metricValue(s.metrics.heals); n != 0 {
		t.Errorf("%v cells were healed", n)
	}
}

// TestDisorderIsHarmless plays the records of many commits in any order, some of them twice.
func TestDisorderIsHarmless(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	s := r.server(func(c *Config) { c.HealEvery = time.Hour })
	values(t, s, "metric=revenue&tz=UTC&by=plan")
	var all []int
	recs := r.commit(time.Now())
	for n := range 30 {
		r.add(n%2, "revenue", time.Now(), int64(n), []string{"free", "pro"}[n%3/2])
		recs = append(recs, r.commit(time.Now())...)
	}
	for i := range recs {
		all = append(all, i, rand.IntN(len(recs)))
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, i := range all {
		rec := *recs[i]
		r.publish(recs[:0])
		if err := r.cl.ProduceSync(t.Context(), &rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	other := r.server(nil) // knows the store only
	want := values(t, other, "metric=revenue&tz=UTC&by=plan")
	testkit.Eventually(t, "disorder ends in the same numbers", func() error {
		if d := cmp.Diff(want, values(t, s, "metric=revenue&tz=UTC&by=plan")); d != "" {
			return errors.New(d)
		}
		return nil
	})
}

// TestKafkaAway: numbers come from the store, and ticks say so.
func TestKafkaAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	kc := r.kafka
	r.kafka.Brokers = []string{"127.0.0.1:1"}
	s := r.server(nil)
	r.kafka = kc
	r.add(0, "orders", time.Now(), 0, "pro")
	r.commit(time.Now())
	p := connect(t, s)
	p.sub(1, today, nil)
	p.value(1, "1")
	r.add(0, "orders", time.Now(), 0, "pro")
	r.commit(time.Now())
	p.value(1, "2")
	if m := p.until("tick", func(m message) bool { return m.Op == "tick" && m.WM != nil }); m.Src != srcStore {
		t.Errorf("tick says src %q, want store", m.Src)
	}
}

// TestStalledPartitionShows: the watermark is that of the partition that is furthest behind.
func TestStalledPartitionShows(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	s := r.server(func(c *Config) { c.Tick = 250 * time.Millisecond })
	long := time.Now().Add(-2 * time.Minute)
	r.publish(r.commit(long))
	p := connect(t, s)
	p.until("a tick with the watermark", func(m message) bool { return m.Op == "tick" && m.WM != nil && *m.WM == long.UnixMilli() })
	r.off++
	r.publish(r.commit(time.Now())[:1])
	m := p.until("a later tick", func(m message) bool { return m.Op == "tick" })
	if m.Lag == nil || *m.Lag < 110_000 || *m.WM != long.UnixMilli() {
		t.Errorf("one partition stands, and the tick says wm %v, lag %v", m.WM, m.Lag)
	}
}

// bench is an engine over a store at a chosen time.
func bench(t *testing.T, r *rig, now *time.Time) *engine {
	t.Helper()
	e := newEngine(r.store, 2000, testkit.Log(t), newMetrics(prometheus.NewRegistry()))
	e.now = func() time.Time { return *now }
	if _, err := e.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func ask(t *testing.T, e *engine, q Question) answer {
	t.Helper()
	q, err := e.Resolve(q, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.scan(t.Context(), e.ranges(nil)); err != nil {
		t.Fatal(err)
	}
	a, err := e.Answer(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func texts(a answer) [][]string {
	out := [][]string{}
	for _, row := range a.rows {
		var line []string
		for _, c := range row {
			if c == nil {
				c = new("-")
			}
			line = append(line, *c)
		}
		out = append(out, line)
	}
	return out
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestMidnight: today rolls over once, at the midnight of the question's zone and not of the server's.
func TestMidnight(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	now := at(t, "2026-03-10T22:59:59Z") // 23:59:59 in Berlin
	e := bench(t, r, &now)
	r.add(0, "orders", now, 0, "pro")
	r.commit(now)
	q := Question{Metric: "orders", TZ: "Europe/Berlin"}
	if d := cmp.Diff([][]string{{"1"}}, texts(ask(t, e, q))); d != "" {
		t.Errorf("before midnight:\n%s", d)
	}
	now = now.Add(time.Second)
	r.commit(now)
	a := ask(t, e, q)
	if d := cmp.Diff([][]string{{"0"}}, texts(a)); d != "" {
		t.Errorf("after midnight:\n%s", d)
	}
	if a.meta["from"] != "2026-03-11T00:00:00+01:00" || a.meta["to"] != "2026-03-12T00:00:00+01:00" {
		t.Errorf("today is %v to %v", a.meta["from"], a.meta["to"])
	}
	q.TZ = "UTC"
	if d := cmp.Diff([][]string{{"1"}}, texts(ask(t, e, q))); d != "" {
		t.Errorf("UTC's day goes on:\n%s", d)
	}
}

// TestDSTNight: the day of the change has 23 hours, each drawn once; every event is in one of them.
func TestDSTNight(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	now := at(t, "2026-03-29T20:30:00Z")
	e := bench(t, r, &now)
	for h := range 21 {
		r.add(0, "orders", at(t, "2026-03-28T23:00:00Z").Add(time.Duration(h)*time.Hour), 0, "pro")
	}
	r.commit(now)
	a := ask(t, e, Question{Metric: "orders", TZ: "Europe/Berlin", Grain: grainHour})
	hours := texts(a)
	if a.meta["to"] != "2026-03-30T00:00:00+02:00" || len(hours) != 22 || hours[2][0] != "2026-03-29T03:00:00+02:00" {
		t.Errorf("to %v, %d hours, the third is %v", a.meta["to"], len(hours), hours[2])
	}
	if got := texts(ask(t, e, Question{Metric: "orders", TZ: "Europe/Berlin"})); got[0][0] != "21" {
		t.Errorf("the day has %v events, want 21", got)
	}
	now = at(t, "2026-10-25T22:59:00Z")
	r.commit(now)
	if got := texts(ask(t, e, Question{Metric: "orders", TZ: "Europe/Berlin", Grain: grainHour})); len(got) != 25 {
		t.Errorf("the day of the other change has %d hours, want 25", len(got))
	}
}

// TestComparisonStopsAtTheWatermark: a late pipeline must not look like a slump.
func TestComparisonStopsAtTheWatermark(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	now := at(t, "2026-03-10T12:00:00Z")
	e := bench(t, r, &now)
	for m := range 24 * 60 { // yesterday one a minute
		r.add(0, "orders", at(t, "2026-03-09T00:00:00Z").Add(time.Duration(m)*time.Minute), 0, "pro")
		r.add(0, "dau", at(t, "2026-03-09T00:00:00Z").Add(time.Duration(m)*time.Minute), int64(m), "pro")
	}
	r.add(0, "orders", now, 0, "pro")
	r.add(0, "dau", now, 1, "pro")
	r.commit(at(t, "2026-03-10T10:07:30Z"))
	for name, want := range map[string]string{"orders": "608", "dau": "600"} { // 607.5 in proportion; full quarters only
		a := ask(t, e, Question{Metric: name, TZ: "UTC", Compare: comparePrevDay})
		if d := cmp.Diff([][]string{{"1", want}}, texts(a)); d != "" {
			t.Errorf("%s, compared at %v:\n%s", name, a.meta["compare"], d)
		}
	}
	a := ask(t, e, Question{Metric: "orders", TZ: "UTC", Range: "yesterday", Compare: comparePrevDay})
	if d := cmp.Diff([][]string{{"1440", "0"}}, texts(a)); d != "" {
		t.Errorf("a day that is over:\n%s", d)
	}
}

// TestViewEqualsOracle compares answers with sums over the events themselves.
func TestViewEqualsOracle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	now := at(t, "2026-06-15T17:20:00Z")
	e := bench(t, r, &now)
	type ev struct {
		at   time.Time
		v    int64
		plan string
		user int64
	}
	var evs []ev
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		x := ev{now.Add(-time.Duration(rng.IntN(96*3600)) * time.Second), rng.Int64N(10_000) - 100, []string{"free", "pro", "team", "edu"}[rng.IntN(4)], rng.Int64N(300)}
		evs = append(evs, x)
		p := rng.IntN(3)
		r.add(p, "orders", x.at, 0, x.plan)
		r.add(p, "revenue", x.at, x.v, x.plan)
		r.add(p, "dau", x.at, x.user, x.plan)
	}
	r.commit(now)
	from, to := at(t, "2026-06-12T22:00:00Z"), at(t, "2026-06-15T22:00:00Z") // 3d in Berlin
	orders, cents, users := map[string]int{}, map[string]int64{}, map[string]map[int64]bool{}
	for _, x := range evs {
		if !x.at.Before(from) && x.at.Before(to) && x.plan != "edu" {
			for _, k := range []string{x.plan, ""} {
				orders[k]++
				cents[k] += x.v
				if users[k] == nil {
					users[k] = map[int64]bool{}
				}
				users[k][x.user] = true
			}
		}
	}
	not := map[string]Filter{"plan": {Not: []string{"edu"}}}
	for _, plan := range []string{"free", "pro", "team", ""} {
		q := Question{Range: "3d", TZ: "Europe/Berlin", Where: not}
		if plan != "" {
			q.Where = map[string]Filter{"plan": {In: []string{plan}}}
		}
		for _, tz := range []string{"Europe/Berlin", "Africa/Johannesburg"} { // the same instants, from days and from quarters
			q.TZ = tz
			for name, want := range map[string]string{
				"orders": fmt.Sprint(orders[plan]), "dau": fmt.Sprint(len(users[plan])),
				"revenue": fmt.Sprintf("%d.%02d", cents[plan]/100, cents[plan]%100),
			} {
				q.Metric = name
				if d := cmp.Diff([][]string{{want}}, texts(ask(t, e, q))); d != "" {
					t.Errorf("%s of %q in %s:\n%s", name, plan, tz, d)
				}
			}
		}
	}
	rows := texts(ask(t, e, Question{Metric: "orders", Range: "3d", TZ: "Europe/Berlin", By: []string{"plan"}, Where: not, Limit: 1}))
	sum := 0
	for _, row := range rows {
		n, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if len(rows) != 2 || rows[1][0] != other || sum != orders[""] {
		t.Errorf("limit 1 gives %v; they should sum to %d", rows, orders[""])
	}
	aov := texts(ask(t, e, Question{Metric: "aov", Range: "3d", TZ: "Europe/Berlin", Where: not}))
	if got, want := aov[0][0], fmt.Sprintf("%.2f", float64(cents[""])/100/float64(orders[""])); got != want {
		t.Errorf("average is %s, want %s", got, want)
	}
}

// TestLateRevisionIsInvisible: rows of a revision that a sealed day does not have yet do not count.
func TestLateRevisionIsInvisible(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	now := at(t, "2026-03-12T12:00:00Z")
	e := bench(t, r, &now)
	r.add(0, "orders", at(t, "2026-03-10T12:00:00Z"), 0, "pro")
	r.commit(now)
	q := Question{Metric: "orders", TZ: "UTC", Range: "2026-03-10..2026-03-10"}
	ask(t, e, q)
	v, _ := r.reg.Version("orders")
	day := metric.Date(2026, 3, 10)
	late := metric.Row{Key: metric.Key{Metric: v.Metric, Ver: v.Ver, Zone: "UTC", Bucket: day, Src: r.claims[0].Src, Rev: 2}, N: 1, State: []byte{2}, LastOff: 99}
	if took, err := e.heldBy(v.VersionID).take(late); !took || err != nil {
		t.Fatal(took, err)
	}
	seal := func(rev int) {
		e.changeCalendar(func(c *calendar) bool {
			c.days[metric.DayID{Zone: "UTC", Day: day}] = metric.Day{Sealed: true, Revision: rev}
			return true
		})
	}
	for rev, want := range map[int]string{1: "1", 2: "2"} {
		seal(rev)
		a := ask(t, e, q)
		if got := texts(a)[0][0]; got != want || a.meta["state"] != stateSealed || a.meta["revision"] != rev {
			t.Errorf("at revision %d: %s, %v r%v; want %s", rev, got, a.meta["state"], a.meta["revision"], want)
		}
	}
}
