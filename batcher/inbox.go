package batcher

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/wire"
)

// inbox is what the poll loop and the policy leave for a chain: records, the
// end of the log, and what it is asked to do. It is bounded by the poll loop,
// which stops fetching while all inboxes together hold too much.
type inbox struct {
	mu     sync.Mutex // guards what follows
	recs   []*kgo.Record
	bytes  int64
	high   int64     // offset that the log's next record will get
	next   int64     // offset of the record to be read next
	last   time.Time // when the one before it was received
	closed bool
	end    cut    // revoke or drain, once the chain is asked to end
	relief relief // what the policy asks for, until it is done

	wake chan struct{}
}

func newInbox() inbox { return inbox{wake: make(chan struct{}, 1)} }

// put leaves records and says where the log ends.
func (b *inbox) put(recs []*kgo.Record, high int64) {
	b.mu.Lock()
	b.high = max(b.high, high)
	if !b.closed {
		b.recs = append(b.recs, recs...)
		for _, r := range recs {
			b.bytes += recordBytes(r)
		}
	}
	b.mu.Unlock()
	b.ring()
}

// ring has the chain look at its inbox.
func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// finish asks the chain to commit what it has and to end. What was not yet taken
// is read again by the next owner.
func (b *inbox) finish(why cut) {
	b.mu.Lock()
	b.closed, b.end, b.recs, b.bytes = true, why, nil, 0
	b.mu.Unlock()
	b.ring()
}

// ask leaves a relief.
func (b *inbox) ask(r relief) {
	b.mu.Lock()
	b.relief = r
	b.mu.Unlock()
	b.ring()
}

// orders returns what the chain is asked to do.
func (b *inbox) orders() (relief, cut) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.relief, b.end
}

// relieved notes that a relief has been done.
func (b *inbox) relieved() {
	b.mu.Lock()
	b.relief = reliefNone
	b.mu.Unlock()
}

// take returns up to n records of up to size bytes in all, but one if there is one.
func (b *inbox) take(n int, size int64) []*kgo.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := 0
	for ; i < min(n, len(b.recs)) && (i == 0 || size > 0); i++ {
		size -= recordBytes(b.recs[i])
	}
	recs := slices.Clone(b.recs[:i])
	clear(b.recs[:i]) // or the array would keep them until it is outgrown
	b.recs = b.recs[i:]
	for _, r := range recs {
		b.bytes -= recordBytes(r)
	}
	if len(b.recs) > 0 {
		b.ring()
	}
	return recs
}

func (b *inbox) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// read notes how far the chain is, and when the last record was received.
func (b *inbox) read(next int64, last time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next, b.last = next, last
}

// behind returns how many offsets lie between the record that is to be read next
// and the end of the log, and when that record was received: if it has not been
// fetched yet, when the one before it was.
func (b *inbox) behind() (offsets int64, received time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.recs) > 0 {
		return max(0, b.high-b.next), receivedAt(b.recs[0])
	}
	return max(0, b.high-b.next), b.last
}

// receivedAt is when ingest took an event in, or when another record was made.
func receivedAt(r *kgo.Record) time.Time {
	if v, ok := wire.Find(r.Headers, wire.HeaderReceivedAt); ok {
		if ms, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return time.UnixMilli(ms)
		}
	}
	return r.Timestamp
}

// recordBytes is what a record takes of the heap, with its headers and the
// client's own part.
func recordBytes(r *kgo.Record) int64 { return onHeap * (int64(len(r.Value)) + 448) }
