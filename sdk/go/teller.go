package millstream

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// teller calls OnResult, from a goroutine that lives while there is something to tell: a callback that blocks holds up
// neither the sender nor, while it is idle, a goroutine.
type teller struct {
	call  func([]Result)
	bound int

	mu      sync.Mutex
	waiting [][]Result
	held    int           // results in waiting
	busy    chan struct{} // closed when the goroutine ends; nil while there is none
	panics  uint64
	untold  uint64
}

// add takes results over.
func (t *teller) add(rs []Result) {
	if t.call == nil || len(rs) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held > 0 && t.held+len(rs) > t.bound {
		t.untold += uint64(len(rs))
		return
	}
	t.waiting = append(t.waiting, rs)
	t.held += len(rs)
	if t.busy == nil {
		t.busy = make(chan struct{})
		go t.run(t.busy) // wait waits for it
	}
}

func (t *teller) run(busy chan struct{}) {
	defer close(busy)
	for {
		t.mu.Lock()
		if len(t.waiting) == 0 {
			t.busy = nil
			t.mu.Unlock()
			return
		}
		rs := t.waiting[0]
		t.waiting[0], t.waiting = nil, t.waiting[1:]
		t.mu.Unlock()
		t.one(rs)
		t.mu.Lock()
		t.held -= len(rs)
		t.mu.Unlock()
	}
}

func (t *teller) one(rs []Result) {
	defer func() {
		if recover() != nil {
			t.mu.Lock()
			t.panics++
			t.mu.Unlock()
		}
	}()
	t.call(rs)
}

// wait returns when all is told, or at the end of ctx.
func (t *teller) wait(ctx context.Context) {
	t.mu.Lock()
	busy := t.busy
	t.mu.Unlock()
	if busy == nil {
		return
	}
	select {
	case <-busy:
	case <-ctx.Done():
	}
}

func (t *teller) failures() (panics, untold uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.panics, t.untold
}

// limiter writes a line of each kind once in a while.
type limiter struct {
	log  *slog.Logger
	mu   sync.Mutex
	next map[string]time.Time
}

func (l *limiter) warn(kind, message string, args ...any) {
	l.every(time.Minute, kind, message, args...)
}

func (l *limiter) once(kind, message string, args ...any) {
	l.every(1<<62, kind, message, args...)
}

func (l *limiter) every(d time.Duration, kind, message string, args ...any) {
	now := time.Now()
	l.mu.Lock()
	quiet := now.Before(l.next[kind])
	if !quiet {
		if l.next == nil {
			l.next = map[string]time.Time{}
		}
		l.next[kind] = now.Add(d)
	}
	l.mu.Unlock()
	if !quiet {
		l.log.Warn(message, args...) //nolint:sloglint // a literal of the caller's
	}
}
