package verify

import (
	"context"
	"maps"
	"slices"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
)

// mirrored is what commits say of a mirrored table.
type mirrored struct {
	poll    string // the newest poll that counted the origin's keys
	keys    int64
	through string
	seen    map[int32]bool // partitions in which it is completed
	parts   int
	due     bool           // a mark of it is not loaded
	since   int64          // changes after its marks, at most
	marked  map[int32]bool // partitions whose changes count in since
}

// keysOf returns how many keys the origin had at a poll, if the poll says so:
// reconciliation counts them, and a poll that replaces all rows publishes each.
// Others leave out what has not changed.
func keysOf(p event.Poll) (n int64, ok bool) {
	switch {
	case p.State != "completed":
		return 0, false
	case p.Live != nil:
		return *p.Live, true
	case p.Kind == event.PollFull && p.Publish == "replace":
		return p.Rows, true
	}
	return 0, false
}

// changes enters the changes and marks of a commit.
func (v *verifier) changes(id lake.ChainID, c lake.Commit) error {
	list, err := marks(c)
	if err != nil {
		return err
	}
	for _, f := range c.Files {
		if m := v.mirrors[f.Table]; m != nil && m.marked[id.Partition] {
			m.since += f.Rows
		}
	}
	for _, mark := range list {
		keys, ok := keysOf(mark.Poll)
		if !ok {
			continue
		}
		m := v.mirrors[mark.Target]
		if m == nil || m.poll != mark.Poll.Poll {
			m = &mirrored{poll: mark.Poll.Poll, keys: keys, seen: map[int32]bool{}, marked: map[int32]bool{}, parts: mark.Parts}
			v.mirrors[mark.Target] = m
		}
		m.keys, m.seen[id.Partition], m.marked[id.Partition] = keys, true, true
		if mark.CompleteThrough != nil {
			m.through = *mark.CompleteThrough
		}
		if at, ok := v.stored.positions[mark.Target][id]; !ok || at < c.Next {
			m.due = true
		}
		for _, f := range c.Files {
			if f.Table == mark.Target && f.Next > mark.Offset {
				m.since += f.Rows
			}
		}
	}
	return nil
}

// readMirrors compares the rows of mirrored tables with the origins' own counts.
func (v *verifier) readMirrors(context.Context) error {
	all := maps.Clone(v.stored.rows)
	for target := range v.stored.lost {
		all[target] = 0
	}
	for target := range v.stored.filling {
		all[target] = 0
	}
	for _, target := range slices.Sorted(maps.Keys(all)) {
		line := Mirror{Table: target, Rows: all[target], State: MirrorUnknown}
		m, poll := v.mirrors[target], v.stored.filling[target]
		switch {
		case v.stored.lost[target]:
			line.State, line.Why = MirrorGone, "rows were loaded into it, and it is not there"
		case poll != "":
			line.Why = "poll " + poll + " fills the table that is to be it"
		case m == nil:
			line.Why = "no poll since " + day(v.o.From) + " has counted the origin's keys"
		case len(m.seen) < m.parts:
			line.Why = "poll " + m.poll + " is not complete in every partition"
		case v.stored.held[target]:
			line.Why = "the table is held"
		case m.due:
			line.Why = "poll " + m.poll + " is not loaded yet"
		default:
			line.Poll, line.Keys, line.Through, line.Changes = m.poll, &m.keys, m.through, m.since
			line.judge()
		}
		if line.State == MirrorDiffers {
			v.finding("%s: %s, the origin had %d at poll %s and %s came since", target, plural(line.Rows, "row"), *line.Keys, line.Poll, plural(line.Changes, "change"))
		}
		v.report.Mirrors = append(v.report.Mirrors, line)
	}
	return nil
}
