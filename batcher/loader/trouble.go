package loader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

const (
	// apartAfter is how often a group ends without a word of whose fault it was
	// before each of its targets is loaded by itself.
	apartAfter = 2
	// heldAfter is how often a load ends so by itself before it is taken for the
	// one at fault, and heldAgainAfter the same of what is held already.
	heldAfter      = 3
	heldAgainAfter = 2
)

// trouble is what a loader remembers of a load whose group ended in an openError.
// A load that begins elsewhere is another one.
type trouble struct {
	began string
	since time.Time
	times int // that it ended so,
	alone int // and of those when it was by itself
	raced int // times that a table or column was there already
	well  int // smaller loads that went well since
}

// begins is where a load begins.
func (ld *load) begins() string {
	var b strings.Builder
	for _, id := range ld.chainIDs() {
		fmt.Fprintf(&b, "%s/%d/%d ", id.Topic, id.Part, ld.spans[id].from)
	}
	for _, h := range ld.repair {
		b.WriteString(h.FileKey + " ")
	}
	return b.String()
}

// of returns the trouble of a load; mu is held.
func (p *patience) of(ld *load) *trouble {
	if p.troubles == nil {
		p.troubles = map[string]*trouble{}
	}
	t := p.troubles[ld.portion()]
	if t == nil || t.began != ld.begins() && p.portions[ld.portion()] == 0 {
		t = &trouble{since: time.Now()}
		p.troubles[ld.portion()] = t
	}
	t.began = ld.begins()
	return t
}

// suspect notes that the group of loads ended in an openError, and returns how
// often a load that is by itself has.
func (p *patience) suspect(loads []*load) (alone int, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ld := range loads {
		t := p.of(ld)
		t.times, t.well = t.times+1, 0
		if len(loads) == 1 {
			t.alone++
		}
		alone, since = t.alone, t.since
	}
	return alone, since
}

// racedAgain notes that a table or column of ld was there already, and says
// that this is not the first time: the catalogue was read anew between.
func (p *patience) racedAgain(ld *load) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.of(ld)
	t.raced++
	return t.raced > 1
}

// apart takes the loads out of loads that are to be groups of their own.
func (p *patience) apart(loads map[string]*load) [][]*load {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out [][]*load
	for _, target := range slices.SortedFunc(maps.Keys(loads), cmp.Compare[string]) {
		if t := p.troubles[target]; t != nil && t.times >= apartAfter {
			out = append(out, []*load{loads[target]})
			delete(loads, target)
		}
	}
	return out
}

// hasCopied notes that a COPY went well.
func (p *patience) hasCopied(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copied = now
}

// copiedSince says that a COPY went well after t.
func (p *patience) copiedSince(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.copied.After(t)
}

// ended draws the conclusions of a group that ended in err, where that does not
// say whose fault it is: a load that goes on ending so must not stop the others
// of its group.
func (w *waves) ended(ctx context.Context, wave string, loads []*load, err error) error {
	class := warehouse.Class(classOf(err))
	if class != warehouse.ClassUnknown && class != warehouse.ClassRaced && class != warehouse.ClassDenied {
		return nil
	}
	if !w.inSession(ctx, err) {
		return nil
	}
	alone, since := w.patience.suspect(loads)
	if class == warehouse.ClassDenied {
		return w.denied(ctx, err, len(loads) == 1 && alone >= heldAfter && w.patience.copiedSince(since))
	}
	most := heldAfter
	if ld := loads[0]; ld.wasHeld || len(ld.repair) > 0 {
		most = heldAgainAfter
	}
	if len(loads) > 1 || alone < most {
		return nil
	}
	return w.atFault(ctx, wave, loads[0], class, err)
}

// inSession says that err ended a session of a cluster that works: else the next
// wave will see that it is away.
func (w *waves) inSession(ctx context.Context, err error) bool {
	if _, unreached := errors.AsType[*connectError](err); unreached || ctx.Err() != nil {
		return false
	}
	_, down := w.conn.Exec(ctx, "SELECT 1")
	return down == nil
}

// denied tells people that COPY may not read the files of a load. Only while it
// may read those of others is the target held.
func (w *waves) denied(ctx context.Context, err error, own bool) error {
	open, ok := errors.AsType[*openError](err)
	if !ok {
		return nil
	}
	ld := open.load
	switch {
	case own:
		return w.holdNow(ctx, ld, reasonDenied, err)
	case ld.blocked, ld.wasHeld, len(ld.repair) > 0:
		return nil // they know
	}
	return w.note(ctx, warehouse.Blocked(ld.target(), reasonDenied, told(err)))
}

// atFault deals with a load that ends each session by itself: a smaller one is
// tried where that may be a file's fault, until the file is found.
func (w *waves) atFault(ctx context.Context, wave string, ld *load, class warehouse.Class, err error) error {
	reason := reasonUnknown
	if class == warehouse.ClassRaced {
		reason = reasonRaced
	}
	open, _ := errors.AsType[*openError](err)
	copying := open != nil && open.copying && class == warehouse.ClassUnknown
	switch {
	case len(ld.repair) > 1, copying && ld.divisible():
		w.patience.halve(ld.portion(), len(ld.files))
		w.log.Warn("load halved", "target", ld.target(), "files", len(ld.files), "err", err)
		if !ld.wasHeld {
			return nil
		}
	case copying && len(ld.repair) == 0 && kindOf(ld.name, ld.files[0].schema.Columns) == kindAppend:
		ld.lost = err
		return w.runGroup(ctx, w.fence, wave, []*load{ld})
	}
	return w.holdNow(ctx, ld, reason, err)
}

// holdNow holds a load's target, or notes that what is held has been tried.
func (w *waves) holdNow(ctx context.Context, ld *load, reason string, err error) error {
	fault := &targetError{work: &work{load: ld}, reason: reason, err: err}
	w.log.Error("target held", "target", ld.target(), "reason", reason, "err", err)
	w.metrics.loads.WithLabelValues(string(fault.work.kind()), outcomeHeld).Inc()
	return w.note(ctx, append(fault.hold(), warehouse.Unblocked(ld.target())))
}

// note runs statements about what is held.
func (w *waves) note(ctx context.Context, statements []string) error {
	s := &session{l: w.Loader, conn: w.conn, fence: w.fence}
	err := s.gated(ctx, func() error { return s.execAll(ctx, statements) })
	if err != nil {
		_ = s.rollback(ctx) // the gate is free again; a session that is gone has let go of it too
	}
	return err
}
