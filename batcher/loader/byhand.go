package loader

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// ByHand is what somebody does to held work from the command line, beside a
// loader that may be running. It takes turns with it at the gate and needs no
// lease.
type ByHand struct {
	Config    Config
	Warehouse *warehouse.Client
	// Of Reload alone:
	Lake  *lake.Lake
	Dedup dedup.Config
	Log   *slog.Logger

	pause time.Duration // between tries of a reload that has to wait; 0: swapPause
}

// gated runs do behind the gate.
func (b ByHand) gated(ctx context.Context, c *warehouse.Conn, do func() error) error {
	gate := warehouse.Gate{Timeout: b.Config.GateTimeout, Statement: b.Warehouse.Config().StatementTimeout}
	return gate.Do(ctx, c, warehouse.AnyFence, do)
}

// Retry has what is held of target tried in the loader's next wave, and returns
// it. It is an error if nothing is held of it.
func (b ByHand) Retry(ctx context.Context, target string) ([]warehouse.Held, error) {
	return b.change(ctx, func(h warehouse.Held) bool {
		return h.Target == target && h.FileKey != warehouse.NothingHeld && h.Reason != warehouse.Skipped
	},
		func([]warehouse.Held) []string { return []string{warehouse.RetryHeld(target)} },
		"nothing is held of "+target)
}

// Skip gives up for good on the held file of that key, for the reason why, and
// returns what was held.
func (b ByHand) Skip(ctx context.Context, key, why string) ([]warehouse.Held, error) {
	return b.change(ctx, func(h warehouse.Held) bool {
		return h.FileKey == key && key != warehouse.WholeTarget && key != warehouse.NothingHeld && h.Reason != warehouse.Skipped
	},
		func(found []warehouse.Held) []string {
			var out []string
			for _, h := range found {
				out = append(out, warehouse.SkipFile(h, why))
			}
			return out
		},
		"no file "+key+" is held")
}

// change runs statements about what is held and wanted.
func (b ByHand) change(ctx context.Context, wanted func(warehouse.Held) bool, statements func([]warehouse.Held) []string, none string) ([]warehouse.Held, error) {
	conn, err := b.Warehouse.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var found []warehouse.Held
	err = b.gated(ctx, conn, func() error {
		all, err := conn.Held(ctx)
		if err != nil {
			return err
		}
		for _, h := range all {
			if wanted(h) {
				found = append(found, h)
			}
		}
		if len(found) == 0 {
			return fmt.Errorf("%s; %s", none, whatIsHeld(all))
		}
		for _, st := range statements(found) {
			if _, err := conn.Exec(ctx, st); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// whatIsHeld names what there is, for somebody who asked for something else.
func whatIsHeld(all []warehouse.Held) string {
	var targets, files []string
	for _, h := range all {
		switch {
		case h.FileKey == warehouse.NothingHeld || h.Reason == warehouse.Skipped:
		case h.FileKey == warehouse.WholeTarget:
			targets = append(targets, h.Target)
		default:
			files = append(files, h.FileKey+" of "+h.Target)
		}
	}
	if len(targets)+len(files) == 0 {
		return "nothing is held at all"
	}
	const most = 10
	slices.Sort(targets)
	slices.Sort(files)
	list := append(slices.Compact(targets), slices.Compact(files)...)
	if len(list) > most {
		list = append(list[:most], fmt.Sprintf("and %d more", len(list)-most))
	}
	return "held are " + strings.Join(list, ", ")
}
