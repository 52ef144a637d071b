package cdc

import (
	"cmp"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// task is a strategy of a table: what it does and where it stands.
type task struct {
	table    *table
	cfg      StrategyConfig
	strategy strategy
	traits   traits
	plan     *plan // the table's, with the strategy's cursors; nil with the table's

	st      wire.CDCStrategy
	known   bool // st was in the state, or was begun
	overlap *overlap
	pager   pager
	timing  timing
	share   share
	due     time.Time // of the next page; between polls, of the next poll
	stored  time.Time // when st was written last

	newest   int64     // the newest stamp that was read, in microseconds since 1970
	countDue time.Time // of the daily count of rows that stamps do not show; zero: none
	counting bool
}

func newTask(t *table, c StrategyConfig, src SourceConfig) *task {
	k := newStrategy(c)
	return &task{table: t, cfg: c, strategy: k, traits: k.traits(), overlap: newOverlap(t.cfg.Overlap.Max), pager: pager{cfg: src.Page}}
}

func (k *task) name() string { return k.cfg.Name }

// restore takes the strategy's part of a state.
func (k *task) restore(s *state) {
	k.st, k.known = s.strategy[k.table.name+"/"+k.name()]
	keys := make([]wire.CDCKey, 0, len(s.overlaps))
	for key := range s.overlaps {
		if key.Table == k.table.name && key.Strategy == k.name() {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b wire.CDCKey) int { return cmp.Compare(a.Number, b.Number) }) // the later page wins
	for _, key := range keys {
		into := k.overlap.old
		if k.st.Poll != nil && key.Poll == k.st.Poll.ID {
			into = k.overlap.next
			k.overlap.mine = append(k.overlap.mine, key)
		} else {
			k.overlap.keys = append(k.overlap.keys, key)
		}
		for _, h := range s.overlaps[key].Set {
			half, version := halves(h)
			into[half] = version
		}
	}
}

func (k *task) key(part string) wire.CDCKey {
	return wire.CDCKey{Part: part, Table: k.table.name, Strategy: k.name()}
}

// remember notes the version of a row of a poll. It says whether to publish
// it, whether the state has to be told, and whether there was room to note it.
func (k *task) remember(r *row) (publish, tell, room bool) {
	if k.traits.compares {
		return !r.same, false, true
	}
	if !k.traits.overlap {
		return true, false, true
	}
	publish, room = !k.overlap.known(r.hash), true
	k.share.count(publish)
	if k.st.Poll.Fast {
		if publish {
			tell, room = k.overlap.addOld(r.hash)
		}
		return publish, tell, room
	}
	if r.keep {
		tell, room = k.overlap.add(r.hash)
	} else if publish {
		tell = k.overlap.replace(r.hash)
	}
	return publish, tell, room
}

// sees says whether a complete poll makes the table complete: those that see
// new rows alone count where no other strategy sees more.
func (k *task) sees() bool {
	return k.traits.upserts || !slices.ContainsFunc(k.table.tasks, func(o *task) bool { return o.traits.upserts })
}

// pollMark is a mark of the strategy's poll.
func (k *task) pollMark(poll *wire.CDCPoll, state string) *event.Poll {
	m := k.table.mark(poll.ID, k.name(), k.traits.poll, state, poll.Rows, poll.Basis)
	m.Publish, m.Range = k.traits.publish, k.strategy.window(k.plan, poll)
	if (k.traits.poll == event.PollFull || k.traits.poll == event.PollReconcile) && state == stateCompleted {
		live := poll.Live
		m.Live = &live
	}
	return m
}

// restart begins polls anew that replace what the warehouse has: their earlier
// pages had other columns.
func (t *table) restart(now time.Time) {
	for _, k := range t.tasks {
		if k.traits.publish == publishReplace && k.st.Poll != nil {
			k.st.Poll, k.due = nil, now
		}
	}
}
