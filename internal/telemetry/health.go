package telemetry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// State is what a check found; the greater one is the worse.
type State int

// The states of a check and, by the worst of them, of the process.
const (
	StateReady    State = iota // does its work
	StateDegraded              // does its work, but somebody should look
	StateNotReady              // does not do its work; balancers should look elsewhere
)

func (s State) String() string {
	switch s {
	case StateReady:
		return "ready"
	case StateDegraded:
		return "degraded"
	case StateNotReady:
		return "not ready"
	}
	panic(fmt.Sprintf("BUG: health state %d", int(s)))
}

// MarshalText serves JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Check is what a check found, with a sentence for a person: what is, since when, what to do.
type Check struct {
	State    State  `json:"state"`
	Sentence string `json:"sentence"`
}

// Ready returns a Check that found nothing wrong.
func Ready(format string, args ...any) Check {
	return Check{StateReady, fmt.Sprintf(format, args...)}
}

// Degraded returns a Check that somebody should look at.
func Degraded(format string, args ...any) Check {
	return Check{StateDegraded, fmt.Sprintf(format, args...)}
}

// NotReady returns a Check that takes the process out of service.
func NotReady(format string, args ...any) Check {
	return Check{StateNotReady, fmt.Sprintf(format, args...)}
}

// CheckFunc finds out how something is. It is called for each question, from several goroutines at once, and should
// answer from memory: after checkTimeout it counts as not ready.
type CheckFunc func(context.Context) Check

// checkTimeout is below the usual time-out of probes, so that the sentence gets through.
const checkTimeout = 800 * time.Millisecond

// Health knows the checks of a process. Its methods may be called from any goroutine.
type Health struct {
	mu     sync.Mutex // guards what follows; never held while a check runs
	checks map[string]CheckFunc
}

// NewHealth returns a Health without checks, which is ready.
func NewHealth() *Health { return &Health{checks: map[string]CheckFunc{}} }

// Register adds a check, in place of an earlier one of that name: a role that is built anew registers again.
func (h *Health) Register(name string, check CheckFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = check
}

// Drain makes the process not ready from now on, with sentence as the reason: it is about to stop.
func (h *Health) Drain(sentence string) {
	h.Register("stop", func(context.Context) Check { return Check{StateNotReady, sentence} })
}

// Report is the health of a process at one moment.
type Report struct {
	State  State        `json:"state"` // the worst of Checks
	Checks []NamedCheck `json:"checks"`
}

// NamedCheck is a line of a Report.
type NamedCheck struct {
	Name string `json:"name"`
	Check
}

// Report runs all checks and returns them in the order of their names. It takes no longer than checkTimeout.
func (h *Health) Report(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h.mu.Lock()
	results := make(chan NamedCheck, len(h.checks)) // room for all: none waits for a reader that has gone
	waiting := make(map[string]bool, len(h.checks))
	for name, check := range h.checks {
		waiting[name] = true
		go func() { results <- NamedCheck{name, check(ctx)} }()
	}
	h.mu.Unlock()

	report := Report{Checks: make([]NamedCheck, 0, len(waiting))}
	for len(waiting) > 0 {
		select {
		case c := <-results:
			delete(waiting, c.Name)
			report.Checks = append(report.Checks, c)
		case <-ctx.Done():
			for name := range waiting {
				report.Checks = append(report.Checks, NamedCheck{name, NotReady("The check gave no answer within %s.", checkTimeout)})
			}
			clear(waiting)
		}
	}
	slices.SortFunc(report.Checks, func(a, b NamedCheck) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range report.Checks {
		report.State = max(report.State, c.State)
	}
	return report
}

// String is the report for people: the state, then a line for each check.
func (r Report) String() string {
	var b strings.Builder
	b.WriteString(r.State.String() + "\n")
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "%s: %s: %s\n", c.Name, c.State, c.Sentence)
	}
	return b.String()
}
