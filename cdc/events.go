package cdc

import (
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// The events at the origin, as events_total counts them.
const (
	eventRefused   = "refused"
	eventReplaced  = "replaced"
	eventRewritten = "rewritten" // or truncated
	eventLeaves    = "leaves"    // of a partitioned table: attached, detached, dropped or rewritten
	eventRetyped   = "retyped"
	eventFailover  = "failover"
)

// rewinder is a strategy whose cursor is neither a stamp nor an id.
type rewinder interface {
	// rewind moves the cursor behind what a failover may have lost.
	rewind(st *wire.CDCStrategy)
}

// misplaced refuses a table of another server: its rows may be anybody's.
func (t *table) misplaced(p *plan) *refusal {
	was, now := serverOf(t.st.Relation), serverOf(p.rel.identity)
	if was == "" || was == now || t.accepted || t.wants(orderReload) {
		return nil
	}
	return &refusal{
		code: "other_server", text: p.name + " is on another server than before, or in a restored backup",
		mend: "millstream cdc accept if it has the same rows, millstream cdc reload if not",
	}
}

// serverOf is the part of a relation's identity that names the server.
func serverOf(identity string) string {
	server, _, _ := strings.Cut(identity, "/")
	return server
}

// another says whether the table that is to be planned is not the one that was
// read, or is to be read as if it were.
func (j *job) another(p *plan) bool {
	if j.relation == "" || j.relation == p.rel.identity {
		return j.anew
	}
	return j.anew || !j.accepted || serverOf(j.relation) == serverOf(p.rel.identity)
}

// noticed compares a new plan with what was read before and says whether the
// mirror may hold rows that the origin has no more, or in another form.
func (s *slot) noticed(t *table, p *plan, change schemaChange) bool {
	happened := func(event string) {
		s.m.events.WithLabelValues(s.source, event).Inc()
		s.log.Warn("table has changed at the origin", "source", s.source, "table", t.name, "event", event)
	}
	stale := false
	if t.st.Rewrite != "" && t.st.Rewrite != p.rel.rewrite {
		happened(eventRewritten)
		stale = t.cfg.OnRewrite != rewriteIgnore
	}
	if t.st.Leaves != nil && !slices.Equal(t.st.Leaves, p.rel.leaves) {
		happened(eventLeaves)
		stale = true
	}
	if len(change.mark.Retyped) > 0 && change.changed {
		happened(eventRetyped)
	}
	return stale
}

// renew makes the mirror equal to the origin as soon as may be: by the
// strategies that see deletes, at once, or else by a load that replaces. With
// forms a mirror whose rows have another form is replaced as a whole.
func (s *slot) renew(t *table, forms bool, now time.Time) {
	seen := false
	for _, k := range t.tasks {
		if k.traits.deletes && (!forms || k.traits.publish == publishReplace) {
			k.st.Poll, k.due, seen = nil, now, true
			s.doubt(t)
		}
		if k.traits.poll == event.PollXmin {
			k.st.Poll, k.due = nil, now // what it has read of the old heap says nothing of the new one
		}
	}
	if !seen {
		t.load = newLoading(newLoad(event.PollFull, t.anchored(), t.st.Basis, now), s.src)
	}
}

// doubt has every range of the table's keys be read at its next turn: digests of
// before say nothing any more.
func (s *slot) doubt(t *table) {
	if t.keys == nil {
		return
	}
	if err := t.keys.part.ForgetDigests(); err != nil {
		s.log.Error("key store", "source", s.source, "table", t.name, "err", err)
	}
}

// failover goes back behind commits that the promoted server may have lost.
func (s *slot) failover() {
	s.m.events.WithLabelValues(s.source, eventFailover).Inc()
	s.log.Warn("origin has failed over: reading again what may have been lost", "source", s.source, "by", s.src.Horizon.FailoverRewind.String())
	now := time.Now()
	for _, t := range s.tables {
		for _, k := range t.tasks {
			if !k.known {
				continue
			}
			lowerStamps(&k.st, s.src.Horizon.FailoverRewind)
			if r, can := k.strategy.(rewinder); can {
				r.rewind(&k.st)
			}
			if k.traits.deletes {
				k.st.Poll, k.due = nil, now
				s.doubt(t)
			}
		}
		t.lowerAnchor(s.src.Horizon.FailoverRewind)
	}
}
