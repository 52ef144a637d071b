package rollup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/telemetry"
)

// trouble remembers what hinders the role, by what it concerns.
type trouble struct {
	mu    sync.Mutex
	since map[string]time.Time
	why   map[string]error
}

func newTrouble() *trouble {
	return &trouble{since: map[string]time.Time{}, why: map[string]error{}}
}

func (t *trouble) set(what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.since[what]; !ok {
		t.since[what] = time.Now()
	}
	t.why[what] = err
}

func (t *trouble) clear(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.since, what)
	delete(t.why, what)
}

// check is not ready while something hinders counting; refused definitions
// hinder nothing, so they only degrade.
func (t *trouble) check(context.Context) telemetry.Check {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.why) == 0 {
		return telemetry.Ready("Metrics are counted.")
	}
	var lines []string
	state := telemetry.NotReady
	for what, err := range t.why {
		lines = append(lines, fmt.Sprintf("%s, for %s: %s", what, time.Since(t.since[what]).Round(time.Second), err))
	}
	slices.Sort(lines)
	if _, ok := t.why["definitions"]; ok && len(t.why) == 1 {
		state = telemetry.Degraded
	}
	return state("%s", strings.Join(lines, "; "))
}

// retry repeats do until it succeeds, ctx ends, or its error is one of final.
// Meanwhile the role is in trouble with what.
func retry(ctx context.Context, t *trouble, log *slog.Logger, what string, do func() error, final ...error) error {
	wait := 50 * time.Millisecond
	for n := 0; ; n++ {
		err := do()
		if err == nil {
			t.clear(what) // also that of a worker that ended in the midst of it
			if n > 0 {
				log.Info("trouble is over", "what", what, "attempts", n+1)
			}
			return nil
		}
		for _, f := range final {
			if errors.Is(err, f) {
				t.clear(what)
				return err
			}
		}
		if ctx.Err() != nil {
			return err
		}
		t.set(what, err)
		if n == 0 || n%10 == 0 {
			log.Warn("trouble, trying again", "what", what, "attempts", n+1, "err", err)
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2)) //nolint:gosec // jitter
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		wait = min(2*wait, 5*time.Second)
	}
}
