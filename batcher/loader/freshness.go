package loader

import (
	"sync"
	"time"
)

// freshTargets is how many targets have a label of their own; the later ones
// share otherTargets.
const (
	freshTargets = 200
	otherTargets = "other"
)

// freshness knows through when targets are loaded, for the metrics. It is safe
// for concurrent use.
type freshness struct {
	mu     sync.Mutex
	labels map[string]string    // by target
	loaded map[string]time.Time // newest received_at by target, since this process began
	own    int                  // targets with a label of their own
}

// through notes that target holds rows received up to at.
func (f *freshness) through(target string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.label(target)
	if at.After(f.loaded[target]) {
		f.loaded[target] = at
	}
}

// label is called with mu held.
func (f *freshness) label(target string) string {
	if f.labels == nil {
		f.labels, f.loaded = map[string]string{}, map[string]time.Time{}
	}
	label, known := f.labels[target]
	if !known {
		if label = otherTargets; f.own < freshTargets {
			label, f.own = target, f.own+1
		}
		f.labels[target] = label
	}
	return label
}

// due is what a label's targets wait for.
type due struct {
	rows int64
	age  time.Duration // of the newest loaded row against the newest committed one, of the target with most
}

// report returns what each label's targets wait for, when loads are all that
// waits. A target of which this process has loaded nothing counts from its
// oldest row on.
func (f *freshness) report(loads map[string]*load) map[string]due {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]due{}
	for _, label := range f.labels {
		out[label] = due{}
	}
	for target, ld := range loads {
		var oldest, newest time.Time
		for _, file := range ld.files {
			if oldest.IsZero() || file.MinReceivedAt.Before(oldest) {
				oldest = file.MinReceivedAt.Time
			}
			if file.MaxReceivedAt.After(newest) {
				newest = file.MaxReceivedAt.Time
			}
		}
		label := f.label(target)
		if at := f.loaded[target]; !at.IsZero() {
			oldest = at
		}
		d := out[label]
		d.rows += ld.rows
		d.age = max(d.age, newest.Sub(oldest))
		out[label] = d
	}
	return out
}
