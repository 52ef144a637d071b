package cdc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// state is what a successor would read.
func (s *shop) state() *state {
	s.Helper()
	st, err := readState(s.Context(), s.kafka, s.kafka.Names().CDCState("shop"), 0, testkit.Log(s.T))
	if err != nil {
		s.Fatal(err)
	}
	return st
}

// fill inserts old orders of the ids [from, to) with a step.
func (s *shop) fill(from, to, step int) {
	s.Helper()
	s.exec(`WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + ? FROM n WHERE i + ? < ?) INSERT INTO orders SELECT i, 1, 'old', '2020-01-01T00:00:00Z' FROM n`, from, step, step, to)
}

// A load is cut into ranges, which a successor goes on with: no row comes twice.
func TestLoadInRanges(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.cfg.Transaction.Linger = 1 // each page is committed
	s.edit(func(src *SourceConfig) { src.Page.Max = 7 })
	s.fill(-3000, 3000, 7)
	step, crashed := crashAt("committed", 30)
	stop := s.run(step)
	<-crashed
	stop()
	begun := 0
	for _, r := range s.state().loads["main.orders"].Ranges {
		if r.Last != nil || r.Done {
			begun++
		}
	}
	if begun < 2 {
		t.Errorf("%d ranges were begun before the crash, want several: %+v", begun, s.state().loads["main.orders"])
	}
	stop = s.run(nil)
	s.drained()
	stop()
	s.verify()
	if left := s.state().loads; len(left) != 0 {
		t.Errorf("the load is left in the state: %+v", left)
	}
}

// Borders of ranges lie within what they cut, whatever the numbers.
func TestEvenBorders(t *testing.T) {
	t.Parallel()
	const least, most = -1 << 63, 1<<63 - 1
	for _, c := range []struct {
		lo, hi int64
		n      int
		want   []string
	}{
		{1, 10, 2, []string{"5"}},
		{1, 2, 16, []string{"1"}},
		{5, 5, 16, nil},
		{least, most, 2, []string{"-1"}},
		{-4, 4, 3, []string{"-2", "1"}},
	} {
		if diff := cmp.Diff(c.want, evenBorders(c.lo, c.hi, c.n)); diff != "" {
			t.Errorf("%d to %d in %d (-want +got):\n%s", c.lo, c.hi, c.n, diff)
		}
	}
}

// Without the past only what changes from now on is published, and the table is
// complete from the first poll on.
func TestLoadNotWanted(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.fill(0, 100, 1)
	c := polled("updated_at", "")
	c.Load.Initial = false
	s.tables(c)
	s.run(nil)
	s.insert(1000, "new")
	s.awaitNote(1000, "new")
	if got := s.topic().notes(); len(got) != 1 {
		t.Errorf("%d rows were published, want the new one", len(got))
	}
	for _, m := range s.marks() {
		if m.Kind != event.PollIncremental || m.CompleteThrough == nil {
			t.Errorf("mark %+v", m)
		}
	}
}

// Pages that were read before older transactions had ended are read once more,
// range by range.
func TestLoadReadsEarlyRangesAgain(t *testing.T) {
	t.Parallel()
	var src SourceConfig
	src.SetDefaults()
	l := newLoading(newLoad(event.PollLoad, "", "", time.Now()), src)
	l.Again = &wire.CDCAgain{T0: stampText(time.Now())}
	page := func(i int, full, settled bool) {
		t.Helper()
		if settled && l.Again != nil {
			l.settle()
		}
		l.took(i, &page{full: full, last: []string{"1"}}, settled)
	}
	page(0, true, false)
	l.split([]string{"10", "20"})
	page(1, false, false)
	if l.complete() || !l.open(1) {
		t.Errorf("an early range counts as read: %+v", l.Ranges)
	}
	page(2, false, true)
	if l.Ranges[1].Done || l.Ranges[1].Early || !l.Ranges[2].Done || !l.Ranges[0].Early {
		t.Errorf("after the settling: %+v", l.Ranges)
	}
	page(0, false, true)
	page(1, false, true)
	if l.complete() || l.Ranges[0].Done {
		t.Errorf("a range of which one page was early counts as read: %+v", l.Ranges)
	}
	if page(0, false, true); !l.complete() {
		t.Errorf("not complete: %+v", l.Ranges)
	}
}
