package loader

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// livePolls is how many polls of a strategy are worked for at a time: one whose
// end has come in some partitions, and the next, which has begun in others.
const livePolls = 2

// pollOf reads a mark.
func pollOf(id warehouse.Chain, m lake.Mark) warehouse.Poll {
	p := warehouse.Poll{
		Target: m.Target, ID: m.Poll.Poll, Strategy: m.Strategy, Kind: string(m.Kind), Publish: m.Publish, State: warehouse.PollRunning,
		Part: id.Part, Parts: int32(max(1, min(m.Parts, 1<<20))), Started: -1, Completed: -1, Rows: m.Rows, Basis: m.Basis, //nolint:gosec // bounded
	}
	if m.State == "started" {
		p.Started = m.Offset
	} else {
		p.Completed = m.Offset
	}
	if m.Range != nil {
		b, _ := json.Marshal(m.Range) // three texts
		p.Range = string(b)
	}
	p.CompleteThrough, p.DeletesThrough = moment(m.CompleteThrough), moment(m.DeletesThrough)
	return p
}

// moment reads RFC 3339 to the microsecond; the zero time says that there is
// none.
func moment(text *string) time.Time {
	if text == nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, *text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// rangeOf reads a bounded poll's range; ok is false for other polls.
func rangeOf(p warehouse.Poll) (r event.PollRange, ok bool) {
	err := json.Unmarshal([]byte(p.Range), &r)
	return r, err == nil && r.Column != ""
}

// polls are what the ledger has of one target's polls. Methods return them
// changed; nothing is shared.
type polls []warehouse.Poll

// advance takes a load's marks, in the order of offsets within each partition.
func (ps polls) advance(marks []warehouse.Poll) polls {
	out := slices.Clone(ps)
	for _, m := range marks {
		switch at := out.index(m.Strategy, m.ID, m.Part); {
		case m.Started >= 0 && at < 0:
			out = out.start(m)
		case m.Started >= 0: // it was announced before; a poll keeps its start
		case at >= 0:
			out[at] = completed(out[at], m)
		case !m.Replaces():
			out = out.end(m)
		}
	}
	return out.prune()
}

func (ps polls) index(strategy, id string, part int32) int {
	return slices.IndexFunc(ps, func(p warehouse.Poll) bool { return p.Strategy == strategy && p.ID == id && p.Part == part })
}

// start notes a poll's start in a partition. What began there before and has
// not ended there is void. A partition that lags may tell of a poll that
// another one has left behind: ULIDs tell which is older.
func (ps polls) start(m warehouse.Poll) polls {
	known := ps.of(m.Strategy, m.ID)
	if len(known) > 0 {
		m.Work = known[0].Work
	}
	void := map[string]bool{}
	for _, p := range ps {
		switch {
		case p.Strategy != m.Strategy:
		case p.Part == m.Part && p.State == warehouse.PollRunning && p.Completed < 0:
			void[p.ID] = true
		case p.Part != m.Part && p.ID > m.ID && len(known) == 0:
			return ps
		}
	}
	m.State, m.Counted = warehouse.PollRunning, 0
	return append(ps.without(m.Strategy, void), m)
}

// end notes a poll of which no start was told: it is done in a partition as
// soon as its end comes, and the strategy's older polls are history there.
func (ps polls) end(m warehouse.Poll) polls {
	void := map[string]bool{}
	out := slices.DeleteFunc(slices.Clone(ps), func(p warehouse.Poll) bool {
		old := p.Strategy == m.Strategy && p.Part == m.Part
		if old && p.State == warehouse.PollRunning {
			void[p.ID] = true
		}
		return old
	})
	m.State = warehouse.PollDone
	return append(out.without(m.Strategy, void), m)
}

func completed(p, m warehouse.Poll) warehouse.Poll {
	p.Completed, p.Rows, p.Parts, p.Basis = m.Completed, m.Rows, m.Parts, m.Basis
	p.CompleteThrough, p.DeletesThrough = m.CompleteThrough, m.DeletesThrough
	if m.Range != "" {
		p.Range = m.Range
	}
	return p
}

func (ps polls) without(strategy string, ids map[string]bool) polls {
	if len(ids) == 0 {
		return ps
	}
	return slices.DeleteFunc(slices.Clone(ps), func(p warehouse.Poll) bool { return p.Strategy == strategy && ids[p.ID] })
}

// of returns a poll's rows.
func (ps polls) of(strategy, id string) polls {
	var out polls
	for _, p := range ps {
		if p.Strategy == strategy && p.ID == id {
			out = append(out, p)
		}
	}
	return out
}

// strategies are the names of all strategies, in order.
func (ps polls) strategies() []string {
	names := map[string]bool{}
	for _, p := range ps {
		names[p.Strategy] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// tracked are the ids of a strategy's polls in these states that began with a
// mark, the oldest first.
func (ps polls) tracked(strategy string, states ...warehouse.PollState) []string {
	var out []string
	for _, p := range ps {
		if p.Strategy == strategy && p.Counts() && slices.Contains(states, p.State) && !slices.Contains(out, p.ID) {
			out = append(out, p.ID)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		for _, p := range ps.of(strategy, a) {
			if i := ps.index(strategy, b, p.Part); i >= 0 {
				return cmp.Compare(p.Started, ps[i].Started)
			}
		}
		return cmp.Compare(a, b)
	})
	return out
}

// complete says that a poll has ended in every partition.
func (ps polls) complete(strategy, id string) bool {
	rows := ps.of(strategy, id)
	for _, p := range rows {
		if p.Completed < 0 || p.Started < 0 {
			return false
		}
	}
	return len(rows) > 0 && len(rows) >= int(rows[0].Parts)
}

// prune drops what a newer poll of the strategy has overtaken: everything
// before a complete one, and of the others all but the newest.
func (ps polls) prune() polls {
	out := ps
	for _, strategy := range ps.strategies() {
		live := out.tracked(strategy, warehouse.PollRunning, warehouse.PollDue)
		void := map[string]bool{}
		for i, id := range live {
			if i+livePolls < len(live) || slices.ContainsFunc(live[i+1:], func(newer string) bool { return out.complete(strategy, newer) }) {
				void[id] = true
			}
		}
		out = out.without(strategy, void)
	}
	return out
}

// pollPart names a poll's share of a partition.
type pollPart struct {
	id   string
	part int32
}

// settle counts the changes that came and judges the polls that are complete.
// Those that are done take the place of the older ones.
func (ps polls) settle(came map[pollPart]int64) polls {
	out := slices.Clone(ps)
	for i, p := range out {
		if p.State == warehouse.PollRunning {
			out[i].Counted += came[pollPart{p.ID, p.Part}]
		}
	}
	for _, strategy := range out.strategies() {
		for _, id := range out.tracked(strategy, warehouse.PollRunning) {
			if out.complete(strategy, id) {
				out = out.judged(strategy, id, out.verdict(strategy, id))
			}
		}
	}
	return out
}

// verdict is the state of a complete poll.
func (ps polls) verdict(strategy, id string) warehouse.PollState {
	rows := ps.of(strategy, id)
	var counted int64
	for _, p := range rows {
		counted += p.Counted
	}
	switch p := rows[0]; {
	case counted != p.Rows:
		return warehouse.PollCounts
	case p.Replaces() && p.Work != p.Target:
		return warehouse.PollDue
	}
	return warehouse.PollDone
}

// judged gives a poll its state. One that is done ends what is older of the
// strategy; until then the last one that was done says through when the mirror
// is complete.
func (ps polls) judged(strategy, id string, state warehouse.PollState) polls {
	out := slices.Clone(ps)
	for i, p := range out {
		if p.Strategy != strategy || p.ID != id {
			continue
		}
		out[i].State = state
		if state != warehouse.PollDue {
			out[i].Work = ""
		}
	}
	over := func(p warehouse.Poll) bool {
		if p.Strategy != strategy || p.ID == id {
			return false
		}
		return p.State == warehouse.PollCounts || state == warehouse.PollDone && p.State == warehouse.PollDone
	}
	return slices.DeleteFunc(out, over)
}

// working are the polls, one row each, that gather rows or keys until they are
// complete and carried out.
func (ps polls) working() polls {
	var out polls
	for _, strategy := range ps.strategies() {
		for _, id := range ps.tracked(strategy, warehouse.PollRunning, warehouse.PollDue) {
			if one := ps.of(strategy, id); one[0].Replaces() {
				out = append(out, one[0])
			}
		}
	}
	return out
}

// due are the polls, one row each, that are complete and not yet carried out.
func (ps polls) due() polls {
	return slices.DeleteFunc(ps.working(), func(p warehouse.Poll) bool { return p.State != warehouse.PollDue })
}

// withWork notes the table that gathers for a poll.
func (ps polls) withWork(strategy, id, table string) polls {
	out := slices.Clone(ps)
	for i, p := range out {
		if p.Strategy == strategy && p.ID == id {
			out[i].Work = table
		}
	}
	return out
}

// abandoned are the work tables of ps that next no longer names.
func (ps polls) abandoned(next polls) []string {
	left := map[string]bool{}
	for _, p := range ps {
		if p.Work != "" && p.Work != p.Target {
			left[p.Work] = true
		}
	}
	for _, p := range next {
		delete(left, p.Work)
	}
	return slices.Sorted(maps.Keys(left))
}

// same says that the ledger would have ps and other alike.
func (ps polls) same(other polls) bool {
	return slices.EqualFunc(ps.sorted(), other.sorted(), warehouse.Poll.Same)
}

func (ps polls) sorted() polls {
	return slices.SortedFunc(slices.Values(ps), func(a, b warehouse.Poll) int {
		return cmp.Or(cmp.Compare(a.Strategy, b.Strategy), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Part, b.Part))
	})
}
