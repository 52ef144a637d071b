package ingest

import (
	"slices"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

// wouldReject is an event that was accepted because its plan is tried out.
type wouldReject struct {
	at        time.Time
	seq       uint64 // of this process
	source    string
	code      event.Code
	message   string
	typ       event.Type
	event     string // a track call's name
	messageID string // as sent
	size      int
}

// keepWould bounds how many of them a process remembers.
const keepWould = 1000

// dryRuns remembers what tracking plans with dry_run would have refused last.
type dryRuns struct {
	mu   sync.Mutex // guards what follows
	ring []wouldReject
	seq  uint64
}

// add notes events of a source, in their order.
func (d *dryRuns) add(source string, list []wouldReject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range list {
		d.seq++
		w.seq, w.source = d.seq, source
		if len(d.ring) < keepWould {
			d.ring = append(d.ring, w)
		} else {
			d.ring[(d.seq-1)%keepWould] = w
		}
	}
}

// list returns those of a source, or of all if it is empty, newest first.
func (d *dryRuns) list(source string) []wouldReject {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []wouldReject
	for i := range uint64(len(d.ring)) {
		if w := d.ring[(d.seq-1-i)%keepWould]; source == "" || w.source == source {
			out = append(out, w)
		}
	}
	return slices.Clip(out)
}
