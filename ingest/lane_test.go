package ingest

import (
	"sync/atomic"
	"testing"
	"time"

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

// A frame is there for the drain when it is synced, and that may be before the writer tells its lane where it ends.
func TestLaneGoesBackToAFailedFrameWhoseEndItDoesNotKnow(t *testing.T) {
	t.Parallel()
	ln, all := heldLane(1)
	ln.spooled.Store(true)
	e := all[0]
	e.rq, e.framed, e.told, e.pos, e.end = nil, true, true, position{1, 16}, position{1, 26}
	ln.next, ln.handed, ln.queued = e.end, true, 1 // it was handed over; ln.last still stands at the beginning
	ln.mu.Lock()
	e.failed, ln.rewinding = true, true
	park := ln.settle()
	ln.mu.Unlock()
	equal(t, "a pass begins", park, true)
	equal(t, "next", ln.next == position{1, 16}, true)
	p := &producer{}
	p.reached(&lanes{all: []*lane{ln}}, position{1, 26}) // the pass of all lanes has read on
	equal(t, "next stays", ln.next == position{1, 16}, true)
	equal(t, "position", ln.position(position{1, 26}) == position{1, 16}, true)
}

// Under load there is always a frame with the writer. New records wait for it, for a moment, and the lane is direct.
func TestLaneBecomesDirectUnderLoad(t *testing.T) {
	t.Parallel()
	ln, all := heldLane(1)
	ln.spooled.Store(true)
	ln.handed, ln.acked, ln.queued = true, true, 1
	ln.next, ln.last = position{1, 36}, position{1, 36}
	ln.settle()
	equal(t, "spooled", ln.spooled.Load(), true)
	equal(t, "new records wait", ln.shut(), true)
	ln.written(&item{ln: ln, rq: all[0].rq, size: 10}, position{1, 36}, position{1, 46}, nil)
	equal(t, "spooled, for a frame was not handed over", ln.spooled.Load(), true)
	ln.mu.Lock()
	ln.next = position{1, 46} // it was
	ln.settle()
	ln.mu.Unlock()
	equal(t, "spooled", ln.spooled.Load(), false)
	equal(t, "new records wait", ln.shut(), false)
	ln.spooled.Store(true)
	ln.turning, ln.queued = time.Now().Add(-turnPatience), 1
	ln.settle()
	equal(t, "it tries again before a second has passed", ln.shut(), false)
	ln.turning = time.Now().Add(-2 * time.Second)
	ln.settle()
	equal(t, "it tries again", ln.shut(), true)
}
