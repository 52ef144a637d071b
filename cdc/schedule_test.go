package cdc

import (
	"fmt"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// timetable is a slot's schedule without readers: each pick takes a page's time.
type timetable struct {
	now    time.Time
	page   time.Duration
	tables []*table
	turns  int
	guard  guard
}

func newTimetable(tables ...*table) *timetable {
	return &timetable{now: time.Unix(1e9, 0), page: 500 * time.Millisecond, tables: tables}
}

// scheduled is a table whose strategies are due at once, and that may be loading.
func scheduled(name string, load bool, strategies ...StrategyConfig) *table {
	var src SourceConfig
	src.SetDefaults()
	c := polledBy(strategies...)
	t := newTable(kindPostgres, name, c, src)
	t.plan = &plan{}
	if load {
		t.load = newLoading(newLoad(event.PollLoad, "", "", time.Unix(1e9, 0)), src)
		t.load.split([]string{"1", "2", "3"})
	}
	return t
}

// step reads the page that is most urgent, on the one connection there is, and
// returns its class, or 0 if nothing is due. Polls are full of rows: they are due
// again at once, loads too.
func (tt *timetable) step(full func(candidate) bool) class {
	u := urgency{now: tt.now, turn: tt.turns >= patientTurn, patient: !tt.guard.busy(), room: true}
	for _, t := range tt.tables {
		t.candidates(tt.now, u.turn, u.offer)
	}
	if !u.found {
		tt.now = tt.now.Add(tt.page)
		return 0
	}
	c := u.best
	if c.class.patient() {
		tt.turns, c.t.turns = 0, 0
	} else {
		tt.turns, c.t.turns = tt.turns+1, c.t.turns+1
	}
	tt.now = tt.now.Add(tt.page)
	due := tt.now
	if !full(c) {
		due = nextTick(tt.now, c.k.cfg.Every, "shop", c.t.name)
	}
	if c.k != nil {
		c.k.due = due
	} else {
		c.t.load.runs[c.number].due = due
	}
	return c.class
}

// Whatever the others do, the patient get a page of ten, and no longer load
// delays a poll by more than a page.
func TestStarvation(t *testing.T) {
	t.Parallel()
	always := func(candidate) bool { return true }
	t.Run("of a load by polls of its own table", func(t *testing.T) {
		t.Parallel()
		tt := newTimetable(scheduled("a.one", true, strategyOf("fresh", "ts", "")))
		got := map[class]int{}
		for range 1000 {
			got[tt.step(always)]++
		}
		if got[classLoad] != 100 || got[classFresh] != 900 {
			t.Errorf("pages by class: %v, want a tenth for the load", got)
		}
	})
	t.Run("of many loads by many tables", func(t *testing.T) {
		t.Parallel()
		tt := newTimetable()
		for i := range 50 {
			tt.tables = append(tt.tables, scheduled(fmt.Sprintf("a.t%02d", i), i < 10, strategyOf("fresh", "ts", "")))
		}
		turns := map[string]int{}
		for range 5000 {
			tt.step(func(c candidate) bool {
				if c.class == classLoad {
					turns[c.t.name]++
				}
				return true
			})
		}
		for _, tbl := range tt.tables[:10] {
			if n := turns[tbl.name]; n < 45 || n > 55 {
				t.Errorf("%s: the load got %d of 500 pages for ten loads", tbl.name, n)
			}
		}
	})
	t.Run("of polls by loads", func(t *testing.T) {
		t.Parallel()
		tt := newTimetable(scheduled("a.load", true), scheduled("a.poll", false, strategyOf("fresh", "ts", "")))
		tt.tables[1].tasks[0].cfg.Every = 10 * time.Second
		late := time.Duration(0)
		for range 1000 {
			due := tt.tables[1].tasks[0].due
			if tt.step(func(c candidate) bool { return c.k == nil }) == classFresh && !due.IsZero() {
				late = max(late, tt.now.Add(-tt.page).Sub(due))
			}
		}
		if late > tt.page {
			t.Errorf("a poll began %s after it was due, want at most a page of %s", late, tt.page)
		}
	})
	t.Run("of the urgent: a lower class goes first", func(t *testing.T) {
		t.Parallel()
		tt := newTimetable(
			scheduled("a.full", false, StrategyConfig{Kind: kindFull, Name: "whole", Publish: publishReplace, Every: time.Hour}),
			scheduled("a.window", false, StrategyConfig{Kind: kindBounded, Name: "window", Window: Window{By: time.Hour}, Publish: publishReplace, Every: time.Hour}),
			scheduled("a.fresh", false, strategyOf("fresh", "ts", "")))
		for _, want := range []class{classFresh, classWindow, classFull, 0} {
			tt.tables[2].tasks[0].cfg.Every = time.Hour
			if got := tt.step(func(candidate) bool { return false }); got != want {
				t.Errorf("class %d was read, want %d", got, want)
			}
		}
	})
}

// A busy origin is spared what can wait, and only that.
func TestGuardPausesThePatient(t *testing.T) {
	t.Parallel()
	tt := newTimetable(scheduled("a.one", true, strategyOf("fresh", "ts", "")))
	tt.guard = guard{cfg: GuardConfig{Active: 40, ReplicaLag: 10 * time.Second}}
	for _, c := range []struct {
		name string
		smp  sample
		busy bool
	}{
		{"quiet", sample{open: 40}, false},
		{"many transactions", sample{open: 41}, true},
		{"a standby that lags", sample{lag: 11 * time.Second}, true},
		{"quiet again", sample{}, false},
	} {
		tt.guard.took(c.smp, tt.now)
		loads := 0
		for range 40 {
			if tt.step(func(candidate) bool { return true }) == classLoad {
				loads++
			}
		}
		if tt.guard.busy() != c.busy || (loads == 0) != c.busy {
			t.Errorf("%s: busy %v, %d pages of the load", c.name, tt.guard.busy(), loads)
		}
	}
}

// Pages of ranges share the lock; who wants it alone goes before new ones.
func TestPublishLock(t *testing.T) {
	t.Parallel()
	tbl := scheduled("a.one", true, strategyOf("fresh", "ts", ""))
	tbl.cfg.Load.Parallel = 8
	offered := func() (polls, ranges int) {
		tbl.candidates(time.Unix(1e9, 0), false, func(c candidate) {
			if c.kind == jobLoad {
				ranges++
			} else {
				polls++
			}
		})
		return polls, ranges
	}
	want := func(why string, polls, ranges int) {
		t.Helper()
		if p, r := offered(); p != polls || r != ranges {
			t.Errorf("%s: %d polls and %d ranges may start, want %d and %d", why, p, r, polls, ranges)
		}
	}
	later := time.Unix(2e9, 0)
	want("a poll is due", 1, 0)
	tbl.tasks[0].due = later
	want("no poll is due", 1, 4)
	tbl.lock.take(true)
	tbl.load.runs[0].busy = true
	want("a range is read", 0, 3)
	tbl.tasks[0].due = time.Time{}
	want("a poll waits for it", 0, 0)
	tbl.lock.give(true)
	tbl.lock.take(false)
	tbl.tasks[0].due = later
	want("a poll is read", 0, 0)
}

// Rows bring a period back that quiet polls have made longer.
func TestPeriodGrows(t *testing.T) {
	t.Parallel()
	c := StrategyConfig{Every: 10 * time.Second, MaxEvery: time.Minute}
	var g timing
	now := time.Unix(1e9, 0)
	for i, want := range []time.Duration{10, 10, 10, 10, 10, 15, 22, 33, 50, 60, 60} {
		g.after(now, c, 0, "shop", "t")
		if got := g.period.Truncate(time.Second); got != want*time.Second {
			t.Errorf("after %d quiet polls the period is %s, want %ds", i+1, got, want)
		}
	}
	if g.after(now, c, 1, "shop", "t"); g.period != c.Every {
		t.Errorf("with a row the period is %s, want %s", g.period, c.Every)
	}
}

func TestTimeOfDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ now, at, zone, want string }{
		{"2026-11-21T02:59:00Z", "03:00", "UTC", "2026-11-21T03:00:00Z"},
		{"2026-11-21T03:00:00Z", "03:00", "UTC", "2026-11-22T03:00:00Z"},
		{"2026-11-21T23:30:00Z", "01:00", "Europe/Berlin", "2026-11-22T00:00:00Z"},
		{"2026-03-29T00:00:00Z", "02:30", "Europe/Berlin", "2026-03-29T01:30:00Z"}, // clocks go from 2 to 3
		{"2026-10-25T00:15:00Z", "02:30", "Europe/Berlin", "2026-10-25T01:30:00Z"}, // 02:30 comes twice, the poll once
		{"2026-10-25T01:30:00Z", "02:30", "Europe/Berlin", "2026-10-26T01:30:00Z"},
	} {
		if got := nextAt(parseStamp(c.now), c.at, c.zone).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %s after %s: got %s, want %s", c.at, c.zone, c.now, got, c.want)
		}
	}
}

// A takeover does not run again what has run, but makes good what was missed.
func TestPollsAfterATakeover(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	k := scheduled("a.one", false, StrategyConfig{Kind: kindFull, Name: "whole", Publish: publishReplace, At: "03:00", Zone: "UTC", Every: time.Hour}).tasks[0]
	if due := k.resumed("shop"); !due.IsZero() {
		t.Errorf("never polled: due %s, want at once", due)
	}
	k.st.Last = event.ULID(now.Add(-time.Hour))
	if due := k.resumed("shop"); !due.Equal(now.Add(21 * time.Hour)) {
		t.Errorf("polled today: due %s, want tomorrow at 3", due)
	}
	k.st.Last = event.ULID(now.Add(-24 * time.Hour))
	if due := k.resumed("shop"); !due.Before(now) {
		t.Errorf("missed today: due %s, want before %s", due, now)
	}
	k.st.Poll = &wire.CDCPoll{}
	if due := k.resumed("shop"); !due.IsZero() {
		t.Errorf("a poll runs: due %s, want at once", due)
	}
}

// Pages grow while they are quick, and shrink when they are slow, time out or
// are large.
func TestPageShrinks(t *testing.T) {
	t.Parallel()
	g := pager{cfg: PageConfig{Target: 500 * time.Millisecond, Start: 1000, Min: 200, Max: 2000, Bytes: 1 << 20}}
	read := func(n int, took time.Duration, bytes int64) int {
		g.took(&page{rows: make([]row, n), took: took, bytes: bytes})
		return g.limit()
	}
	for i, c := range []struct {
		n     int
		took  time.Duration
		bytes int64
		want  int
	}{
		{1000, 100 * time.Millisecond, 1000, 1250},
		{10, time.Millisecond, 1000, 1250}, // says nothing: there was no more
		{1250, 400 * time.Millisecond, 1000, 1250},
		{1250, 1100 * time.Millisecond, 1000, 625},
		{300, 100 * time.Millisecond, 1 << 20, 300},
		{300, 2 * time.Second, 1000, 200},
	} {
		if got := read(c.n, c.took, c.bytes); got != c.want {
			t.Errorf("step %d: %d rows, want %d", i, got, c.want)
		}
	}
	if g.halve(); g.limit() != 200 {
		t.Errorf("below the least: %d rows", g.limit())
	}
	if rest(StrategyConfig{Budget: 0.05}, time.Second) != 19*time.Second || rest(StrategyConfig{}, time.Second) != 0 {
		t.Error("a budget of 5% rests 19 times as long as it reads")
	}
}
