package loader

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// retry loads what is held and due again. What cannot be tried counts as tried:
// its pause grows like that of what fails.
func (w *waves) retry(ctx, work context.Context, wave string, led *ledger) (failures []error, err error) {
	list, untried := w.retries(work, led)
	if len(untried) > 0 {
		if err := w.note(work, untried); err != nil {
			return nil, fmt.Errorf("note held work that was not tried: %w", err)
		}
	}
	for _, extra := range rounds(list) {
		failures = append(failures, w.load(ctx, work, wave, extra)...)
	}
	return failures, nil
}

// retries are the loads of what is held and due again, and the statements about
// what cannot be tried.
func (w *waves) retries(ctx context.Context, led *ledger) (out []*load, untried []string) {
	for target, held := range led.targets {
		if !retryDue(held.attempts, held.age, w.cfg.Retry) {
			continue
		}
		ld, err := w.heldLoad(ctx, led, target, held)
		if err != nil {
			w.log.Warn("held target not tried", "target", target, "err", err)
			untried = append(untried, warehouse.NotTried(target, warehouse.WholeTarget))
			continue
		}
		out = append(out, ld)
	}
	var files []heldFile
	for _, h := range led.files {
		if h.Reason == warehouse.Skipped || !retryDue(h.Attempts, h.Age, w.cfg.Retry) || led.targets[h.Target] != nil {
			continue
		}
		f, err := w.seen.file(ctx, h)
		if err != nil {
			w.log.Warn("held file not tried", "file", h.FileKey, "err", err)
			untried = append(untried, warehouse.NotTried(h.Target, h.FileKey))
			continue
		}
		files = append(files, heldFile{h, f})
	}
	out = append(out, repairs(files, led, w.cfg.Wave)...)
	slices.SortStableFunc(out, func(a, b *load) int { return cmp.Compare(a.target(), b.target()) })
	return out, untried
}

// heldFile is a file that is held and due again.
type heldFile struct {
	held warehouse.Held
	file dueFile
}

// repairs are loads of held files: those of one target and schema together, as
// an outage may have left many that are whole.
func repairs(files []heldFile, led *ledger, limit WaveConfig) []*load {
	slices.SortFunc(files, func(a, b heldFile) int {
		return cmp.Or(cmp.Compare(a.held.Target, b.held.Target), cmp.Compare(a.file.schema.Version, b.file.schema.Version),
			cmp.Compare(a.file.schema.Fingerprint, b.file.schema.Fingerprint), compareChains(a.file.chain, b.file.chain), cmp.Compare(a.file.first, b.file.first))
	})
	var out []*load
	for _, f := range files {
		name, err := warehouse.ParseName(f.held.Target)
		if err != nil {
			continue // no loader holds such a one
		}
		most := limit.Files
		if n, ok := led.portions[portionOfHeld(f.held.Target)]; ok {
			most = min(most, n)
		}
		last := len(out) - 1
		if last < 0 || out[last].name != name || out[last].files[0].schema.Fingerprint != f.file.schema.Fingerprint ||
			len(out[last].files) >= most || config.Bytes(out[last].bytes+f.file.Bytes) > limit.Bytes {
			out = append(out, &load{name: name})
			last++
		}
		ld := out[last]
		ld.files, ld.repair = append(ld.files, f.file), append(ld.repair, f.held)
		ld.rows, ld.bytes = ld.rows+f.file.Rows, ld.bytes+f.file.Bytes
	}
	return out
}

// portionOfHeld is the name under which patience keeps the portions of a
// target's held files, which are not those of its loads.
func portionOfHeld(target string) string { return target + " held" }

// portion is the name under which patience keeps the portions of a load.
func (ld *load) portion() string {
	if len(ld.repair) > 0 {
		return portionOfHeld(ld.target())
	}
	return ld.target()
}

// rounds puts retries, which are in order of their targets, into groups of one
// that may run side by side: a target's files come one after another.
func rounds(retries []*load) [][][]*load {
	var out [][][]*load
	of := map[string]int{}
	for _, ld := range retries {
		n := of[ld.target()]
		of[ld.target()]++
		if n == len(out) {
			out = append(out, nil)
		}
		out[n] = append(out[n], []*load{ld})
	}
	return out
}

// heldLoad is the load of a held target, from where it was held. It has no
// files when there is nothing left to load; then it only lets the target go.
func (w *waves) heldLoad(ctx context.Context, led *ledger, target string, held *heldTarget) (*load, error) {
	chains, err := w.seen.since(ctx, target, held)
	if err != nil {
		return nil, err
	}
	ld := gather(chains, led, w.cfg.Wave, target)[target]
	if ld == nil {
		name, err := warehouse.ParseName(target)
		if err != nil {
			return nil, err
		}
		ld = &load{name: name, wasHeld: true, spans: map[warehouse.Chain]*span{}, remain: map[warehouse.Chain]int64{}}
	}
	for i, ch := range chains {
		if _, has := ld.remain[ch.id]; !has && ch.next < w.seen.chains[i].next {
			ld.remain[ch.id] = ch.next // the rest is read when this is loaded
		}
	}
	return ld, nil
}
