package ingest

import (
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// held returns a direct lane whose producer holds n records of a request that nobody waits for.
func heldLane(n int) (*lane, []*entry) {
	ln := newLane("0", "events", false, 0, &atomic.Int64{}, nil)
	rq := &request{done: make(chan struct{}, 1)}
	rq.users.Store(1 << 20)
	rq.waiting.Store(1 << 20)
	var all []*entry
	for range n {
		e := &entry{ln: ln, r: &kgo.Record{}, rq: rq, size: 10}
		ln.link(e)
		all = append(all, e)
	}
	return ln, all
}

func TestLaneGoesBackToAFailedFrameWhateverIsWrittenLater(t *testing.T) {
	t.Parallel()
	ln, all := heldLane(2)
	ln.spooled.Store(true)
	items := make([]item, 2)
	for i, e := range all { // it spools; the writer has only the first of the two frames in its hands
		e.queued, ln.queued = true, ln.queued+1
		items[i] = item{ln: ln, rq: e.rq, e: e, size: 10, turn: ln.turn}
	}
	ln.written(&items[0], position{1, 16}, position{1, 26}, nil)
	equal(t, "what the producer has is not handed over again", ln.next == position{1, 26}, true)
	ln.mu.Lock()
	ln.unlink(all[1]) // Kafka has taken it
	all[0].failed, ln.rewinding = true, true
	park := ln.settle()
	ln.mu.Unlock()
	equal(t, "a pass begins", park, true)
	ln.written(&items[1], position{1, 26}, position{1, 36}, nil)
	equal(t, "next", ln.next == position{1, 16}, true)
	equal(t, "position", ln.position(position{1, 36}) == position{1, 16}, true)
}
