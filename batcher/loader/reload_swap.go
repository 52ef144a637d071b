package loader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// replace puts what was loaded in the place of what the target holds, in one
// transaction behind the gate. A loader may have moved on meanwhile: then what
// its commits brought is loaded first.
func (r *reloading) replace(ctx context.Context) error {
	if err := r.readGrants(ctx); err != nil {
		return err
	}
	done := r.done
	for try := 1; ; try++ {
		r.done = done
		err := r.gated(ctx, func() error { return r.exchange(ctx) })
		if err == nil {
			break
		}
		raced := errors.Is(err, errRaced)
		again := raced || warehouse.Classify(err) == warehouse.ClassSlow || warehouse.Classify(err) == warehouse.ClassConflict
		if !again || try == swapTries {
			return r.whyNot(err)
		}
		if err := r.rollback(ctx); err != nil {
			return err
		}
		if err := r.catchUp(ctx); err != nil {
			return err
		}
		done = r.done
		if !raced && !pause(ctx, r.l.swapPause) {
			return ctx.Err()
		}
	}
	r.out.Files, r.out.Rows, r.out.Inserted, r.out.Duplicates = r.done.Files, r.done.Staged, r.done.Inserted, r.done.Duplicates
	if r.Days.All() && r.existed {
		_, r.out.Old = r.conn.Exec(ctx, warehouse.DropTable(r.name.Beside(oldSuffix)))
	}
	return nil
}

// readGrants notes who may do what with the present table: privileges belong to
// a table and not to its name.
func (r *reloading) readGrants(ctx context.Context) (err error) {
	if !r.existed || !r.Days.All() {
		return nil
	}
	if err := r.refuseBoundViews(ctx); err != nil { // one may have been made meanwhile
		return err
	}
	r.grants, err = r.conn.Grants(ctx, r.name)
	if err != nil && warehouse.Classify(err) == warehouse.ClassTarget {
		r.l.log.Warn("grants not copied, the configured ones are given", "target", r.Target, "err", err)
		return nil
	}
	return err
}

func (r *reloading) whyNot(err error) error {
	if warehouse.Classify(err) == warehouse.ClassSlow {
		return fmt.Errorf("readers of %s left no moment in which to exchange it; run this again when they are fewer: %w", r.name, err)
	}
	return err
}

// exchange is what the transaction does.
func (r *reloading) exchange(ctx context.Context) (err error) {
	if err := r.readLedger(ctx); err != nil {
		return err
	}
	if !r.caughtUp() {
		return errRaced
	}
	if err := r.reach(ctx); err != nil {
		return err
	}
	if r.existed {
		if r.out.Before, err = r.conn.CountRows(ctx, r.name, r.Days); err != nil {
			return err
		}
	}
	if !r.Days.All() {
		if err := r.execAll(ctx, warehouse.DeleteDays(r.name, r.Days)); err != nil {
			return err
		}
		for _, w := range r.todo {
			if err := r.apply(ctx, w); err != nil {
				return err
			}
			r.count(w)
		}
	}
	after, err := r.rows(ctx)
	if err != nil {
		return err
	}
	if after < r.out.Before && !r.Force {
		return fmt.Errorf("%s has %d rows, the lake %d: files are gone (millstream verify --chain names them), or the table has rows of other origin; --force takes what there is: %w", r.name, r.out.Before, after, errFewer)
	}
	if r.Days.All() {
		if err := r.swap(ctx); err != nil {
			return err
		}
	}
	return r.execAll(ctx, r.records())
}

// reach waits a little for whoever keeps the target locked, as long as nothing
// is done yet: loads wait behind the gate.
func (r *reloading) reach(ctx context.Context) error {
	switch {
	case !r.existed:
		return nil
	case !r.Days.All():
		return r.askForLock(ctx, r.name)
	}
	if err := r.within(ctx, r.l.cfg.DDLTimeout); err != nil {
		return err
	}
	if _, err := r.conn.Exec(ctx, "SELECT 1 FROM "+r.name.SQL()+" LIMIT 1"); err != nil {
		return err
	}
	return r.within(ctx, r.l.timeout)
}

// rows counts what there is after the exchange.
func (r *reloading) rows(ctx context.Context) (int64, error) {
	if r.Days.All() && r.done.Files == 0 {
		return 0, nil // there is no table yet
	}
	return r.conn.CountRows(ctx, r.side, r.Days)
}

// swap renames the table beside the target to it, and the target out of the way.
func (r *reloading) swap(ctx context.Context) error {
	var statements []string
	if r.existed {
		statements = append(statements, warehouse.RenameTable(r.name, r.name.Beside(oldSuffix).Table))
	}
	statements = append(statements, warehouse.RenameTable(r.side, r.name.Table))
	statements = append(append(statements, r.grants...), r.l.warehouse.Config().GrantTable(r.name)...)
	statements = append(statements, warehouse.DeleteDuplicates(r.name, warehouse.Days{}), warehouse.RenameDuplicates(r.side, r.name))
	if err := r.within(ctx, r.l.swapTimeout); err != nil {
		return err
	}
	if err := r.execAll(ctx, statements); err != nil {
		return err
	}
	return r.within(ctx, r.l.timeout)
}

// records are the statements about positions, history and what was held.
func (r *reloading) records() []string {
	r.done.ID, r.done.Wave, r.done.Target, r.done.Fence, r.done.StartedAt = event.ULID(time.Now()), r.wave, r.Target, r.fence, time.Now()
	r.done.Kind = string(kindRepair)
	if !r.Days.All() {
		return append([]string{warehouse.InsertLoads([]warehouse.Load{r.done})}, r.settled()...)
	}
	r.done.Kind = "swap"
	var positions []warehouse.Position
	out := append([]string{warehouse.InsertLoads([]warehouse.Load{r.done})}, r.settled()...)
	for _, id := range sortedChains(r.goal) {
		if _, has := r.led.positions[r.Target][id]; !has && !r.gotChains[id] && !r.heldOn(id) {
			continue
		}
		positions = append(positions, warehouse.Position{Target: r.Target, Chain: id, Next: r.goal[id], LoadID: r.done.ID})
		if r.heldOn(id) {
			out = append(out, warehouse.ReleaseBelow(r.Target, id, r.goal[id]))
		}
	}
	return append(out, warehouse.ReplacePositions([]string{r.Target}, positions)...)
}

// settled are the statements that let go of held files whose rows were loaded,
// and that name what was left out by force for ever.
func (r *reloading) settled() []string {
	var out []string
	for _, h := range r.led.files {
		if r.brought[h.FileKey] || slices.ContainsFunc(r.leftOut, func(left warehouse.Held) bool { return left.FileKey == h.FileKey }) {
			out = append(out, warehouse.ReleaseFile(r.Target, h.FileKey))
		}
	}
	if len(r.leftOut) > 0 {
		out = append(out, warehouse.InsertHeld(r.leftOut))
	}
	return out
}

func (r *reloading) heldOn(id warehouse.Chain) bool {
	t := r.led.targets[r.Target]
	if t == nil {
		return false
	}
	_, held := t.from[id]
	return held
}

// caughtUp says that what was loaded reaches as far as the ledger. Of single
// days no more than what the ledger has may be there, as the loader brings the
// rest. What was left as held must be held still. Low water counts too: below it the loader looks for nothing that a
// released target might lack.
func (r *reloading) caughtUp() bool {
	held := r.heldFiles()
	for key := range r.waiting {
		if !held[key] {
			return false
		}
	}
	for id, at := range r.led.positions[r.Target] {
		goal, known := r.goal[id]
		if !known || at > goal || at != goal && !r.Days.All() {
			return false
		}
	}
	for id, goal := range r.goal {
		if r.Days.All() && r.led.low[id] > goal {
			return false
		}
	}
	return true
}
