package ingest

import (
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// wouldReject is an event that was accepted because its plan is tried out.
type wouldReject struct {
	at        time.Time
	seq       int64 // of this process
	source    string
	code      event.Code
	message   string
	typ       event.Type
	event     string // a track call's name
	messageID string // as sent
	requestID string
	index     int
	key       string // fingerprint
	size      int
}

// keepWould bounds how many of them a process remembers.
const keepWould = 1000

// dryRuns remembers what tracking plans with dry_run would have refused last.
type dryRuns struct {
	mu   sync.Mutex // guards what follows
	ring []wouldReject
	seq  int64     // how many there were
	lost time.Time // when the last one came that is forgotten
}

// add notes events of a source, in their order.
func (d *dryRuns) add(source string, list []wouldReject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range list {
		w.seq, w.source = d.seq, source
		if len(d.ring) < keepWould {
			d.ring = append(d.ring, w)
		} else {
			at := d.seq % keepWould
			d.lost = d.ring[at].at
			d.ring[at] = w
		}
		d.seq++
	}
}

// page answers a question, newest first, in the words of dead letters. They have no id: the events were accepted.
func (d *dryRuns) page(q *question) letterPage {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := letterPage{Rejections: []letterView{}, Complete: d.lost.IsZero() || d.lost.Before(q.since)}
	var last place
	for i := range int64(len(d.ring)) {
		l := d.ring[(d.seq-1-i)%keepWould].letter()
		if l.at.Before(q.since) || !q.matches(l) {
			continue
		}
		if len(out.Rejections) == q.limit {
			out.Next = new(cursorOf(last))
			break
		}
		v := l.view()
		v.ID, last = "", l.place
		out.Rejections = append(out.Rejections, v)
	}
	return out
}

func (w *wouldReject) letter() *letter {
	return &letter{
		place: place{at: w.at, offset: w.seq}, event: w.event,
		r: wire.Rejected{
			Stage: event.StageIngest, Code: w.code, Message: w.message, Source: w.source, MessageID: w.messageID, Type: string(w.typ),
			RequestID: w.requestID, Index: w.index, Key: w.key, Size: w.size,
		},
	}
}
