package ingest

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// request is the state of one request. It is pooled: it returns to the pool when the handler has answered and Kafka's
// client has let go of the last record, whichever is later, for records point into its buffers.
type request struct {
	srv      *Server
	access   *access // nil until the key is known
	kind     routeKind
	typ      event.Type // of single routes
	id       string
	received time.Time
	tick     uint64 // of srv.recent, when the body was read

	body    *buffer
	partial []byte // of a body that was refused while it was read
	size    int    // of the body on the wire
	first   int    // place in the batch of what is replayed
	held    int64  // bytes held at the gate
	wanted  int64  // with those that it did not give
	buried  int64  // bytes of dead letters besides those of the body

	idx       index
	scan      scanner
	arena     arena
	stamper   stamper
	caller    caller  // before the rules of the source
	clean     cleaned // of sources with rules
	records   []kgo.Record
	made      []made  // of each record
	ids       []mark  // of the records of events
	places    []int32 // of ids in a table, where there are many
	scratch   []byte
	headers   []kgo.RecordHeader
	refused   []refused
	hidden    int             // suppressed events of which the sender hears nothing
	repeats   int             // events that were durable already, or stand in the batch twice
	accepted  [6]tally        // by place in event.Types
	flagged   [16]int         // by bit
	envelope  []byte          // of the batch, for dead letters; built once
	stampHdr  []byte          // received_at as a header's value
	planned   [outcomeEnd]int // by what the tracking plan made of events
	planSpent int             // steps of its schemas
	would     []wouldReject   // dry runs

	entries   []entry                     // of the records
	users     atomic.Int32                // handler, producer and spool
	waiting   atomic.Int32                // records that are not durable yet
	failed    atomic.Pointer[refusal]     // a record was not taken, and may be later
	spooled   atomic.Bool                 // a record is durable on disk
	mu        sync.Mutex                  // guards lost
	lost      []*kgo.Record               // refused for what they or their neighbours hold
	condemned map[*kgo.Record]*kgo.Record // records that Kafka refused, with their dead letters
	done      chan struct{}               // one element when waiting falls to zero
}

type tally struct{ events, bytes int }

// Slabs that are larger than this are not kept.
const keepRecords = 1 << 11

func (s *Server) newRequest(id string, rt route) *request {
	rq, ok := s.requests.Get().(*request)
	if !ok {
		rq = &request{srv: s, done: make(chan struct{}, 1)}
		rq.stamper.hash = sha256.New()
	}
	rq.id, rq.kind, rq.typ = id, rt.kind, rt.typ
	rq.received = s.now().UTC().Truncate(time.Millisecond)
	rq.users.Store(1)
	return rq
}

// expect is called before the first of n records is produced.
func (rq *request) expect(n int) {
	rq.users.Add(int32(n))     //nolint:gosec // a batch is bounded
	rq.waiting.Store(int32(n)) //nolint:gosec // a batch is bounded
}

// told hears once of each record that it is durable, or why not. The last one wakes the handler, if that still waits.
func (rq *request) told(ref *refusal) {
	if ref != nil {
		rq.failed.Store(ref)
	}
	if rq.waiting.Add(-1) == 0 {
		if rq.failed.Load() == nil && rq.unrefused() {
			rq.srv.recent.add(rq.ids) // also long after a 503, so that the repeated request is known
		}
		rq.done <- struct{}{}
	}
}

// lose hears of a record that Kafka refused for what it or its neighbours hold.
func (rq *request) lose(r *kgo.Record) {
	rq.mu.Lock()
	rq.lost = append(rq.lost, r)
	rq.mu.Unlock()
	rq.told(nil)
}

// unrefused says whether Kafka took every record at once.
func (rq *request) unrefused() bool {
	rq.mu.Lock()
	defer rq.mu.Unlock()
	return len(rq.lost) == 0
}

// leave gives up one use of rq. After the last one its memory belongs to other requests.
func (rq *request) leave() {
	if rq.users.Add(-1) > 0 {
		return
	}
	rq.release(rq.held)
	rq.srv.buffers.put(rq.body)
	select {
	case <-rq.done: // nobody waited for it
	default:
	}
	rq.idx.reset()
	rq.arena.reset()
	rq.clean.reset()
	if cap(rq.records) > keepRecords {
		rq.records, rq.entries, rq.headers, rq.made, rq.ids, rq.places = nil, nil, nil, nil, nil, nil
	}
	if cap(rq.refused) > keepRecords {
		rq.refused = nil
	}
	clear(rq.records)
	clear(rq.entries)
	clear(rq.headers)
	clear(rq.refused)
	hash := rq.stamper.hash
	*rq = request{
		srv: rq.srv, idx: rq.idx, arena: rq.arena, clean: rq.clean, records: rq.records[:0], headers: rq.headers[:0], refused: rq.refused[:0],
		made: rq.made[:0], ids: rq.ids[:0], places: rq.places[:0], scratch: rq.scratch, entries: rq.entries[:0], done: rq.done,
	}
	rq.stamper.hash = hash
	rq.srv.requests.Put(rq)
}

// Values of headers that never change. The producer only reads them.
var (
	versionHeader = []byte(wire.Version)
	typeHeaders   = [...][]byte{[]byte("track"), []byte("identify"), []byte("page"), []byte("screen"), []byte("group"), []byte("alias")}
)

func typeAt(t event.Type) int {
	switch t {
	case event.Track:
		return 0
	case event.Identify:
		return 1
	case event.Page:
		return 2
	case event.Screen:
		return 3
	case event.Group:
		return 4
	case event.Alias:
		return 5
	}
	panic("BUG: event of an unknown type")
}

// appendEventHeaders is wire.AppendEventHeaders without its copies; a test holds the two together.
func (rq *request) appendEventHeaders(f *facts) []kgo.RecordHeader {
	lo := len(rq.headers)
	rq.headers = append(rq.headers,
		kgo.RecordHeader{Key: wire.HeaderV, Value: versionHeader},
		kgo.RecordHeader{Key: wire.HeaderSource, Value: rq.access.source.header},
		kgo.RecordHeader{Key: wire.HeaderType, Value: typeHeaders[typeAt(f.typ)]},
		kgo.RecordHeader{Key: wire.HeaderEvent, Value: f.name},
		kgo.RecordHeader{Key: wire.HeaderMessageID, Value: f.messageID},
		kgo.RecordHeader{Key: wire.HeaderReceivedAt, Value: rq.stampHdr},
	)
	return rq.headers[lo:len(rq.headers):len(rq.headers)]
}
