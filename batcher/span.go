package batcher

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// span is the open range of a chain: the offsets [first, next) and what became
// of their records. One goroutine at a time owns it.
type span struct {
	env     *env
	id      lake.ChainID
	attempt string // ULID; names the commit's writer
	first   int64
	next    int64
	prev    *int64

	load    load
	last    outcome // of the newest record
	refusal string  // why a record was rejected last
	parts   map[partKey]*part
	account map[accountKey]*lake.Accounting
	marks   []json.RawMessage
	records map[outcome]prometheus.Counter
	routes  map[routeKey]*route
	counts  map[string]*valueCounts // by table

	verifying time.Duration   // its files, so far
	copied    map[string]bool // ids of records whose copies are among the dead letters

	lastAccount *lake.Accounting // the one that was asked for last
	lastDay     int64            // since 1970
	lastRoute   *route
	lastSource  string // whose folder was asked for last
	lastFolder  string

	cast   caster
	parsed parsed
	row    mirrorRow

	letters   sync.WaitGroup // dead letters that are not yet acknowledged
	lettersMu sync.Mutex     // guards lettersErr
	letterErr error
}

type accountKey struct{ source, dt string }

// outcome is what became of a record.
type outcome string

const (
	outRow       outcome = "row"
	outDuplicate outcome = "duplicate"
	outRejected  outcome = "rejected"
	outMark      outcome = "mark"
	outHole      outcome = "hole"
)

func outcomes() []outcome { return []outcome{outRow, outDuplicate, outRejected, outMark, outHole} }

func newSpan(e *env, id lake.ChainID, first int64, prev *int64) *span {
	s := &span{
		env: e, id: id, attempt: event.ULID(time.Now()), first: first, next: first, prev: prev,
		records: map[outcome]prometheus.Counter{}, routes: map[routeKey]*route{}, parts: map[partKey]*part{}, account: map[accountKey]*lake.Accounting{}, counts: map[string]*valueCounts{}, copied: map[string]bool{},
	}
	for _, o := range outcomes() {
		s.records[o] = e.metrics.records.WithLabelValues(id.Topic, string(o))
	}
	s.parsed.depth = e.cfg.Limits.FlattenDepth
	return s
}

// accountOf returns the account of a source and day.
func (s *span) accountOf(source string, day time.Time) *lake.Accounting {
	number := floorDiv(day.Unix(), 24*3600)
	if a := s.lastAccount; a != nil && s.lastDay == number && a.Source == source {
		return a
	}
	k := accountKey{source, dayOf(day)}
	a := s.account[k]
	if a == nil {
		a = &lake.Accounting{Source: k.source, DT: k.dt}
		s.account[k] = a
	}
	s.lastAccount, s.lastDay = a, number
	return a
}

func floorDiv(n, by int64) int64 {
	if n < 0 {
		return (n - by + 1) / by
	}
	return n / by
}

// count enters a record into the accounts.
func (s *span) count(rec *kgo.Record, source string, day time.Time, what outcome) {
	a := s.accountOf(source, day)
	a.Records++
	s.last = what
	switch what {
	case outRow:
		a.Primary++
	case outDuplicate:
		a.Duplicates++
	case outRejected:
		a.Rejected++
	case outMark:
		a.Marks++
	case outHole:
		panic("BUG: a hole is no record")
	}
	if s.load.records == 0 {
		s.load.opened = time.Now()
	}
	s.load.records++
	s.next = rec.Offset + 1
	s.records[what].Inc()
}

// addEvent takes a record of the topic of events whose headers were readable.
func (s *span) addEvent(ctx context.Context, rec *kgo.Record, h wire.EventHeader, duplicate bool) error {
	folder := s.folder(h.Source)
	if duplicate {
		s.count(rec, folder, h.ReceivedAt, outDuplicate)
		return nil
	}
	refuse := func(code event.Code, why string) {
		s.reject(ctx, rec, h.Source, code, why)
		s.count(rec, folder, h.ReceivedAt, outRejected)
	}
	if code, why := s.parse(h, rec.Value); code != "" {
		refuse(code, why)
		return nil
	}
	to, problem, err := s.route(ctx, folder, h)
	if err != nil {
		return err
	}
	if problem != nil {
		refuse(event.CodeSchemaUnknown, problem.Error())
		return nil
	}
	row := eventRow{id: h.MessageID, table: to.table, receivedAt: h.ReceivedAt, partition: rec.Partition, offset: rec.Offset}
	if s.parsed.unmappedBound(rec.Value) > maxText {
		row.whole = wholeRecord(rec, h.Source)
	}
	for _, p := range to.parts {
		p.chunk.add(row, &s.parsed, &s.cast)
		s.load.rows++
		if err := p.flushWhenFull(ctx, s); err != nil {
			return err
		}
	}
	s.count(rec, folder, h.ReceivedAt, outRow)
	return nil
}

// parse reads an event into s.parsed, or says why it can become no row.
func (s *span) parse(h wire.EventHeader, value []byte) (code event.Code, why string) {
	if why := oddHeader(h); why != "" {
		return event.CodeMissingField, why
	}
	if err := s.parsed.parse(value); err != nil {
		return event.CodeBadJSON, "the value " + err.Error()
	}
	if h.Type == event.Track && h.Event == "" {
		return event.CodeMissingField, "a track call without a name"
	}
	if most := s.env.cfg.Limits.MaxRowBytes; len(value) > most && s.parsed.size() > most {
		return event.CodeRowTooLarge, fmt.Sprintf("a row of %d bytes; at most %d fit a row", s.parsed.size(), most)
	}
	return "", ""
}

// measure brings what the parts hold into the load.
func (s *span) measure() load {
	s.load.held, s.load.chunk, s.load.group, s.load.bytes, s.load.files = held{}, 0, 0, 0, 0
	for _, p := range s.parts {
		s.load.held = s.load.held.plus(p.holds())
		s.load.chunk = max(s.load.chunk, onHeap*p.roomHeld())
		s.load.group = max(s.load.group, onHeap*p.groupHeld())
		s.load.bytes += p.size()
		s.load.files += len(p.done)
		if p.open != nil || p.rowsHeld() > 0 {
			s.load.files++
		}
	}
	return s.load
}

// writeChunk hands the largest chunk to its file, however few its rows are.
func (s *span) writeChunk(ctx context.Context) error {
	if p := s.largest((*part).roomHeld); p != nil {
		return p.flush(ctx, s)
	}
	return nil
}

// writeGroup brings the largest row group to disk, of those that have enough rows.
func (s *span) writeGroup() error {
	if p := s.largest((*part).groupHeld); p != nil {
		return p.open.w.FlushRowGroup()
	}
	return nil
}

// largest returns the part of most weight, or nil if none has any.
func (s *span) largest(weight func(*part) int64) (most *part) {
	for _, p := range s.parts {
		if w := weight(p); w > 0 && (most == nil || w > weight(most)) {
			most = p
		}
	}
	return most
}

// drop gives up the span's files.
func (s *span) drop() {
	for _, p := range s.parts {
		p.drop(s.env.metrics)
	}
}
