package ingest

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// TailFilter says which records somebody watches; zero members do not matter.
type TailFilter struct {
	Source   string
	Type     event.Type
	Event    string // the name of a track call
	User     string // userId, else anonymousId
	Rejected bool   // dead letters only
}

// Match says whether rec is watched: a record of the events or, if dead, of the dead letters.
func (f *TailFilter) Match(rec *kgo.Record, dead bool) bool {
	if f.Rejected && !dead || f.Source != "" && !hasHeader(rec, wire.HeaderSource, f.Source) ||
		f.Type != "" && !hasHeader(rec, wire.HeaderType, string(f.Type)) {
		return false
	}
	switch {
	case f.Event == "" && f.User == "":
		return true
	case dead:
		name, user := glance(rec.Value, new(index), tailDepth)
		return (f.Event == "" || string(name) == f.Event) && (f.User == "" || string(user) == f.User)
	}
	_, user, _ := bytes.Cut(rec.Key, []byte{'/'})
	return (f.Event == "" || hasHeader(rec, wire.HeaderEvent, f.Event)) && (f.User == "" || string(user) == f.User)
}

// tailDepth is how deep a dead letter may be nested whose event or user is looked for.
const tailDepth = 500

func hasHeader(rec *kgo.Record, name, value string) bool {
	v, ok := wire.Find(rec.Headers, name)
	return ok && string(v) == value
}

// AppendTailLine appends rec, which came from Kafka, as one line of JSON without its end:
//
//	{"source":"app","accepted":{…}}  an event as it is stored
//	{"source":"app","rejected":{…}}  a dead letter as GET /v1/rejections shows it
func AppendTailLine(dst []byte, rec *kgo.Record, dead bool) []byte {
	if !dead && !json.Valid(rec.Value) { // somebody else's record
		source, _ := wire.Find(rec.Headers, wire.HeaderSource)
		dst = append(appendQuoted(append(dst, `{"source":`...), source), `,"accepted":`...)
		return append(appendQuoted(dst, rec.Value), '}')
	}
	return appendTail(dst, rec, dead, true)
}

// appendTail is AppendTailLine for a value that is known to be JSON. known says that the record has its place.
func appendTail(dst []byte, rec *kgo.Record, dead, known bool) []byte {
	source, _ := wire.Find(rec.Headers, wire.HeaderSource)
	dst = appendQuoted(append(dst, `{"source":`...), source)
	if dead {
		v := newLetter(rec, new(index), tailDepth).view()
		if !known {
			v.ID = ""
		}
		return append(append(append(dst, `,"rejected":`...), bytes.TrimSpace(encodeJSON(v))...), '}')
	}
	dst = append(dst, `,"accepted":`...)
	for _, c := range rec.Value {
		if c == '\n' || c == '\r' { // between tokens, for strings have none
			c = ' '
		}
		dst = append(dst, c)
	}
	return append(dst, '}')
}

// tails shows those who watch what this process accepts and rejects.
type tails struct {
	cfg     Tail
	readers atomic.Pointer[[]*tailReader] // nil: nobody watches. The slice is never changed
	dropped prometheus.Counter
	closed  chan struct{} // closed when all have to end

	mu     sync.Mutex // guards changes of readers, and ending
	ending bool
}

func newTails(cfg Tail, reg prometheus.Registerer) *tails {
	t := &tails{cfg: cfg, closed: make(chan struct{})}
	with := promauto.With(reg)
	t.dropped = with.NewCounter(prometheus.CounterOpts{
		Name: "millstream_ingest_tail_dropped_total", Help: "Lines that were not shown to somebody who watches, for being behind.",
	})
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "millstream_ingest_tail_readers", Help: "Those who watch events come in.",
	}, func() float64 { return float64(len(t.watching())) })
	return t
}

// watching is one atomic load.
func (t *tails) watching() []*tailReader {
	if list := t.readers.Load(); list != nil {
		return *list
	}
	return nil
}

// open adds a reader, if there is room for one.
func (t *tails) open(want TailFilter) (*tailReader, *refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.watching()
	switch {
	case t.ending:
		return nil, refuse(codeDraining, "this process is stopping")
	case len(list) >= t.cfg.Readers:
		return nil, refuse(codeOverloaded, "too many are watching already")
	}
	r := &tailReader{want: want, most: t.cfg.Buffer, dropped: t.dropped, wake: make(chan struct{}, 1)}
	t.readers.Store(new(append(slices.Clone(list), r)))
	return r, nil
}

// leave removes a reader. It may be called twice.
func (t *tails) leave(r *tailReader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(t.watching()), func(other *tailReader) bool { return other == r })
	if len(rest) == 0 {
		t.readers.Store(nil)
		return
	}
	t.readers.Store(&rest)
}

// close ends all readers, and refuses others. It may be called twice.
func (t *tails) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ending {
		t.ending = true
		close(t.closed)
	}
}

// tailReader is what somebody who watches has not read yet.
type tailReader struct {
	want    TailFilter
	most    int // lines
	dropped prometheus.Counter
	wake    chan struct{} // one element: there is something to read

	mu     sync.Mutex // guards what follows
	lines  [][]byte   // shared with other readers
	bytes  int
	missed int // lines since the last one of lines
}

// tailBytes bounds the lines that wait for a reader.
const tailBytes = 2 << 20

// offer adds a line, unless the reader is too far behind. It never waits.
func (r *tailReader) offer(line func() []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missed > 0 || len(r.lines) >= r.most || r.bytes >= tailBytes {
		r.missed++
		r.dropped.Inc()
		return
	}
	l := line()
	r.lines = append(r.lines, l)
	r.bytes += len(l)
	poke(r.wake)
}

// take returns the lines that wait, and how many were dropped behind them.
func (r *tailReader) take() (lines [][]byte, missed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines, missed = r.lines, r.missed
	r.lines, r.bytes, r.missed = nil, 0, 0
	return lines, missed
}

// show offers what became of rq to readers. Its records are durable; their memory is pooled, so lines are copies.
func (rq *request) show(readers []*tailReader) {
	rejected := rq.srv.producer.cfg.Names().Rejected()
	for i := range rq.records {
		made := &rq.records[i]
		if letter, ok := rq.condemned[made]; ok {
			made = letter
		}
		// The producer may hold a spooled one still, and write where Kafka has put it.
		rec := &kgo.Record{Key: made.Key, Value: made.Value, Headers: made.Headers, Timestamp: rq.received}
		var (
			line []byte
			dead = made.Topic == rejected
		)
		for _, r := range readers {
			if r.want.Match(rec, dead) {
				r.offer(func() []byte {
					if line == nil {
						line = append(appendTail(make([]byte, 0, len(rec.Value)+64), rec, dead, false), '\n')
					}
					return line
				})
			}
		}
	}
}
