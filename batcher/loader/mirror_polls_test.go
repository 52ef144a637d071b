package loader

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// mark is a mark of a poll of strategy "full" or, for ids that begin with i, of
// one without starts.
func mark(id string, part int32, at int64, ended bool, rows int64) warehouse.Poll {
	p := warehouse.Poll{
		Target: "shop_public.orders", ID: id, Strategy: "full", Kind: "full", Publish: "replace", Part: part, Parts: 2, Started: at, Completed: -1,
		Rows: rows, State: warehouse.PollRunning,
	}
	if ended {
		p.Started, p.Completed = -1, at
	}
	if id[0] == 'i' {
		p.Strategy, p.Kind, p.Publish = "fresh", "incremental", "upsert"
	}
	return p
}

// brief names the rows of polls: id/part, its state, a + for an end.
func brief(ps polls) []string {
	var out []string
	for _, p := range ps.sorted() {
		end := ""
		if p.Completed >= 0 {
			end = "+"
		}
		out = append(out, fmt.Sprintf("%s/%d%s %s", p.ID, p.Part, end, p.State))
	}
	return out
}

func TestPollsAdvance(t *testing.T) {
	t.Parallel()
	const start, end = false, true
	for _, c := range []struct {
		name  string
		loads [][]warehouse.Poll
		came  []map[pollPart]int64
		want  []string
	}{
		{
			"done in one partition only",
			[][]warehouse.Poll{{mark("a", 0, 1, start, 0), mark("a", 1, 1, start, 0), mark("a", 0, 9, end, 3)}},
			nil,
			[]string{"a/0+ running", "a/1 running"},
		},
		{
			"complete, its rows came in two loads",
			[][]warehouse.Poll{{mark("a", 0, 1, start, 0), mark("a", 1, 1, start, 0)}, {mark("a", 0, 9, end, 3), mark("a", 1, 9, end, 3)}},
			[]map[pollPart]int64{{{"a", 0}: 2}, {{"a", 1}: 1, {"b", 0}: 7}},
			[]string{"a/0+ due", "a/1+ due"},
		},
		{
			"complete, other rows came",
			[][]warehouse.Poll{{mark("a", 0, 1, start, 0), mark("a", 1, 1, start, 0), mark("a", 0, 9, end, 3), mark("a", 1, 9, end, 3)}},
			[]map[pollPart]int64{{{"a", 0}: 2}},
			[]string{"a/0+ counts", "a/1+ counts"},
		},
		{
			"a newer start makes the older poll void",
			[][]warehouse.Poll{{mark("a", 0, 1, start, 0), mark("a", 1, 1, start, 0)}, {mark("b", 0, 5, start, 0)}},
			nil,
			[]string{"b/0 running"},
		},
		{
			"but not where it had ended",
			[][]warehouse.Poll{{mark("a", 0, 1, start, 0), mark("a", 1, 1, start, 0), mark("a", 0, 4, end, 0), mark("b", 0, 5, start, 0)}},
			nil,
			[]string{"a/0+ running", "a/1 running", "b/0 running"},
		},
		{
			"a complete poll waits beside the next one",
			[][]warehouse.Poll{{mark("a", 0, 1, start, 0), mark("a", 0, 4, end, 0), mark("b", 0, 5, start, 0), mark("a", 1, 1, start, 0), mark("a", 1, 4, end, 0), mark("b", 1, 5, start, 0)}},
			nil,
			[]string{"a/0+ due", "a/1+ due", "b/0 running", "b/1 running"},
		},
		{
			"of many in a backlog the last complete and the next one",
			[][]warehouse.Poll{{
				mark("a", 0, 1, start, 0), mark("a", 0, 2, end, 0), mark("b", 0, 3, start, 0), mark("b", 0, 4, end, 0), mark("c", 0, 5, start, 0),
				mark("a", 1, 1, start, 0), mark("a", 1, 2, end, 0), mark("b", 1, 3, start, 0), mark("b", 1, 4, end, 0), mark("c", 1, 5, start, 0),
			}},
			nil,
			[]string{"b/0+ due", "b/1+ due", "c/0 running", "c/1 running"},
		},
		{
			"a partition that lags tells of an older poll",
			[][]warehouse.Poll{{mark("b", 0, 5, start, 0)}, {mark("a", 1, 1, start, 0), mark("a", 1, 4, end, 0)}, {mark("b", 1, 6, start, 0)}},
			nil,
			[]string{"b/0 running", "b/1 running"},
		},
		{
			"the end of a poll whose start was never seen",
			[][]warehouse.Poll{{mark("a", 0, 4, end, 0)}},
			nil, nil,
		},
		{
			"polls without starts, each partition by itself",
			[][]warehouse.Poll{{mark("i1", 0, 2, end, 0), mark("i1", 1, 2, end, 0), mark("i2", 0, 5, end, 0)}},
			nil,
			[]string{"i1/1+ done", "i2/0+ done"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var ps polls
			for i, marks := range c.loads {
				var came map[pollPart]int64
				if i < len(c.came) {
					came = c.came[i]
				}
				ps = ps.advance(marks).settle(came)
			}
			if got := brief(ps); !slices.Equal(got, c.want) {
				t.Errorf("polls %q, want %q", got, c.want)
			}
		})
	}
}

// What a poll was complete through stays known until a newer one is done, and
// no longer.
func TestDonePollStaysUntilTheNextIsDone(t *testing.T) {
	t.Parallel()
	one := func(id string, rows int64) []warehouse.Poll {
		s, e := mark(id, 0, 1, false, 0), mark(id, 0, 2, true, rows)
		s.Parts, e.Parts = 1, 1
		return []warehouse.Poll{s, e}
	}
	ps := polls{}.advance(one("a", 0)).settle(nil)
	ps = ps.judged("full", "a", warehouse.PollDone)
	ps = ps.advance(one("b", 5)).settle(nil)
	if got, want := brief(ps), []string{"a/0+ done", "b/0+ counts"}; !slices.Equal(got, want) {
		t.Fatalf("polls %q, want %q", got, want)
	}
	ps = ps.advance(one("c", 0)).settle(nil)
	if got, want := brief(ps), []string{"a/0+ done", "c/0+ due"}; !slices.Equal(got, want) {
		t.Fatalf("polls %q, want %q", got, want)
	}
	ps = ps.judged("full", "c", warehouse.PollDone)
	if got, want := brief(ps), []string{"c/0+ done"}; !slices.Equal(got, want) {
		t.Fatalf("polls %q, want %q", got, want)
	}
}

func TestAbandonedWork(t *testing.T) {
	t.Parallel()
	before := polls{{Target: "a.t", Work: "a.t__refresh"}, {Target: "a.t", Work: "millstream_work.x"}, {Target: "a.t", Work: "a.t"}, {Target: "a.t"}}
	if got, want := before.abandoned(before[1:2]), []string{"a.t__refresh"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
