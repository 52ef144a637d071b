package batcher

import (
	"sync"
	"time"
)

// pauseReason says why nothing is taken in; its text is the label.
type pauseReason string

const (
	pauseNone    pauseReason = ""
	pauseMemory  pauseReason = "memory"  // a budget of memory
	pauseDisk    pauseReason = "disk"    // the budget of the disk, or the disk itself
	pauseStore   pauseReason = "store"   // either of them, while the store does not take calls
	pauseRejects pauseReason = "rejects" // of one chain, whose records are rejected
)

func pauseReasons() []pauseReason {
	return []pauseReason{pauseMemory, pauseDisk, pauseStore, pauseRejects}
}

// pauses tells metrics and health how long intake has been paused and why.
type pauses struct {
	metrics *metrics

	mu     sync.Mutex // guards what follows
	reason pauseReason
	since  time.Time
	marked time.Time
}

// mark notes that intake is paused at now, or with pauseNone that it is not.
func (p *pauses) mark(reason pauseReason, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason != pauseNone {
		p.metrics.pauseSeconds.WithLabelValues(string(p.reason)).Add(now.Sub(p.marked).Seconds())
	}
	if reason != p.reason {
		if p.reason != pauseNone {
			p.metrics.paused.WithLabelValues(string(p.reason)).Set(0)
		}
		if p.reason == pauseNone {
			p.since = now
		}
		if reason != pauseNone {
			p.metrics.paused.WithLabelValues(string(reason)).Set(1)
		}
	}
	p.reason, p.marked = reason, now
}

// now returns why intake is paused and since when.
func (p *pauses) now() (pauseReason, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason, p.since
}
