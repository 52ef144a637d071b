package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lane is the unit of order and of trouble: one partition of the events, or the whole topic of dead letters. Within a
// lane records reach the producer in the order of their acceptance, and no lane waits for another.
//
//	direct ──a record fails, or waits for ack_timeout──▶ spooled: what waits is appended first, new records behind it
//	   ◀──all frames are with the producer, and one was acknowledged──┘
type lane struct {
	name      string
	dead      bool
	topic     string
	partition int32        // −1: all of the topic
	count     atomic.Int32 // partitions of the topic
	unacked   atomic.Int64 // records that the producer holds
	spooled   atomic.Bool  // written under mu

	mu         sync.Mutex // guards what follows; the spool's lock and the client's are taken below it
	head, tail *entry     // what the producer holds, or has failed, in the order of production
	held       int64      // their bytes
	queued     int        // frames and barriers with the writer
	next       position   // the first frame that was not handed over
	last       position   // the end of the last frame
	handed     bool       // since it spooled, the producer had something of it
	acked      bool       // since it spooled, Kafka has taken something
	parked     bool       // it has a pass of its own
	rewinding  bool       // something failed: it is handed over again when the producer has let go of all
	probing    bool       // something failed, and Kafka has taken nothing since: frames go one by one
	soloing    bool       // frames go one by one
	soloUntil  position   // those before it were refused in a batch
	backoff    time.Duration
	resume     time.Time
	turning    time.Time     // until then new records wait
	closed     bool          // records belong elsewhere, or will soon
	turn       int           // rises when next goes back
	window     *atomic.Int64 // bytes of all spooled lanes with the producer
	room       chan struct{} // one element: something may be handed over
	parking    chan struct{} // one element: a pass of its own should begin
	drained    chan struct{} // of all lanes; one element: one has become direct
}

func newLane(name, topic string, dead bool, partition int32, window *atomic.Int64, drained chan struct{}) *lane {
	return &lane{
		window: window, name: name, topic: topic, dead: dead, partition: partition,
		room: make(chan struct{}, 1), parking: make(chan struct{}, 1), drained: drained,
	}
}

// entry is a record that the producer holds. It is the record's context, by which the promise finds it.
type entry struct {
	ln         *lane
	r          *kgo.Record
	rq         *request // nil for one that came from the spool
	prev, next *entry
	at         time.Time
	size       int64
	pos, end   position // of its frame
	framed     bool     // it has one, and that is durable
	queued     bool     // it will have one
	told       bool     // the request knows how this record fared
	gone       bool     // it was unlinked
	failed     bool     // the producer has let go of it, and Kafka does not have it
	content    bool     // for what it holds
	solo       bool
	letters    int8 // dead letters that were tried in its place
	counted    bool // in the window
}

// An entry is a context that never ends. It must not look at itself: the client may ask it after its promise.

func (*entry) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }
func (*entry) Done() <-chan struct{}                   { return nil }
func (*entry) Err() error                              { return nil }
func (*entry) Value(any) any                           { return nil }

func (ln *lane) link(e *entry) {
	if e.prev = ln.tail; e.prev != nil {
		e.prev.next = e
	} else {
		ln.head = e
	}
	ln.tail = e
	ln.held += e.size
	if e.counted {
		ln.window.Add(e.size)
	}
	ln.unacked.Add(1)
}

func (ln *lane) unlink(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		ln.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		ln.tail = e.prev
	}
	e.prev, e.next, e.gone = nil, nil, true
	ln.held -= e.size
	if e.counted {
		ln.window.Add(-e.size)
	}
	ln.soloing = ln.soloing && !e.solo
	ln.unacked.Add(-1)
}

// position is the first frame that Kafka has not acknowledged, or end if there is none. Later frames of the lane stand
// at end or behind it, for none is on its way.
func (ln *lane) position(end position) position {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for e := ln.head; e != nil; e = e.next {
		if e.framed {
			return e.pos
		}
	}
	if ln.queued == 0 && !ln.next.before(ln.last) {
		return end
	}
	return ln.next
}

// settle does what follows from the state of ln: it goes back to a failed frame, or becomes direct. The caller holds
// the lane. True means that a pass of its own must begin.
func (ln *lane) settle() (park bool) {
	if ln.rewinding {
		return ln.rewind()
	}
	ready := ln.spooled.Load() && !ln.next.before(ln.last) && ln.held <= laneWindow && !ln.soloing && !ln.parked && (ln.acked || !ln.handed)
	switch {
	case ready && ln.queued == 0:
		ln.spooled.Store(false)
		ln.backoff, ln.turning = 0, time.Time{}
		poke(ln.drained)
	case ready && ln.acked: // under load there is always a frame with the writer
		if now := time.Now(); now.Sub(ln.turning) > time.Second {
			ln.turning = now.Add(turnPatience)
		}
	}
	return false
}

// turnPatience is how long new records wait for a lane whose last frames are being written, so that it becomes direct.
const turnPatience = 100 * time.Millisecond

// shut says whether new records have to wait or go elsewhere. The caller holds the lane.
func (ln *lane) shut() bool {
	return ln.closed || !ln.turning.IsZero() && time.Now().Before(ln.turning)
}

// rewind goes back to the first failed frame once the producer holds none behind it: what it held could overtake.
func (ln *lane) rewind() (park bool) {
	for e := ln.head; e != nil; e = e.next {
		if !e.failed || e.queued {
			return false
		}
	}
	first, wait := true, false
	for ln.head != nil {
		e := ln.head
		ln.unlink(e)
		if e.framed && (first || e.pos.before(ln.next)) {
			ln.next, first = e.pos, false
		}
		if e.framed && e.content {
			ln.soloUntil = later(ln.soloUntil, e.end)
		}
		wait = wait || !e.content
		if e.rq != nil {
			if !e.told {
				e.told = true
				e.rq.told(refuse(codeNotDurable, "Kafka does not take it; repeat the request"))
			}
			e.rq.leave()
		}
	}
	ln.rewinding, ln.soloing = false, false
	if wait {
		// Between a failure and its promise a second frame could still be handed over, and taken.
		ln.probing, ln.acked = true, false
		ln.backoff = min(max(2*ln.backoff, time.Second), 30*time.Second)
		ln.resume = time.Now().Add(ln.backoff)
	}
	behind := !first || ln.next.before(ln.last) // what has failed may be read before the writer says where it ends
	ln.handed = ln.handed && behind             // without a frame there is nothing that could be acknowledged
	park = !ln.parked && behind
	ln.parked = ln.parked || park
	ln.turn++
	return park
}

// written hears of the writer that a frame is durable, or why not.
func (ln *lane) written(it *item, pos, end position, ref *refusal) {
	ln.mu.Lock()
	ln.queued--
	if ref == nil || it.rq == nil {
		ln.last = later(ln.last, end)
	}
	e := it.e
	switch {
	case it.rq == nil: // a barrier
	case e == nil:
		it.rq.told(ref)
	default:
		e.queued = false
		if ref == nil {
			e.framed, e.pos, e.end = true, pos, end
			if it.turn == ln.turn { // else the lane has gone back to one before it
				ln.next = later(ln.next, end) // the producer has it: it is not handed over again
			}
		}
		if !e.told {
			e.told = true
			it.rq.told(ref)
		}
	}
	park := ln.settle()
	ln.mu.Unlock()
	if park {
		poke(ln.parking)
	}
}

// lanes are the lanes of the two topics as they are now.
type lanes struct {
	events   []*lane
	rejected *lane
	all      []*lane
}

// of returns the lane of a record: by the topic that the record is marked for, and by its key's hash.
func (l *lanes) of(dead bool, hash uint32) *lane {
	if dead {
		return l.rejected
	}
	return l.events[partition(hash, len(l.events))]
}

// place is the partition of a record of ln.
func (ln *lane) place(hash uint32) int32 {
	if ln.partition >= 0 {
		return ln.partition
	}
	return partition(hash, int(ln.count.Load()))
}

// spooled counts the lanes that do not reach Kafka directly.
func (l *lanes) spooled() int {
	n := 0
	for _, ln := range l.all {
		if ln.spooled.Load() {
			n++
		}
	}
	return n
}

// partition is where Kafka's own clients put a key with this murmur2.
func partition(hash uint32, n int) int32 {
	return int32(hash&0x7fffffff) % int32(n) //nolint:gosec // Kafka has fewer partitions than 2^31
}

// murmur2 is the hash of Kafka's default partitioner (org.apache.kafka.common.utils.Utils).
func murmur2(b []byte) uint32 {
	const m = 0x5bd1e995
	h := 0x9747b28c ^ uint32(len(b)) //nolint:gosec // keys are short
	for ; len(b) >= 4; b = b[4:] {
		k := (uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24) * m
		h = h*m ^ (k^k>>24)*m
	}
	if len(b) > 0 {
		for i, c := range b {
			h ^= uint32(c) << (8 * i)
		}
		h *= m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
