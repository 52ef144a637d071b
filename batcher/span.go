package batcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// addChange takes a record of a topic of changes.
func (s *span) addChange(ctx context.Context, rec *kgo.Record) error {
	h, err := wire.ParseChangeHeaders(rec.Headers)
	if err != nil {
		s.reject(ctx, rec, unknownSource, event.CodeBadChange, err.Error())
		s.count(rec, unknownSource, rec.Timestamp, outRejected)
		return nil
	}
	schemaName, tableName, dotted := strings.Cut(h.Table, ".")
	folder := s.env.names.MirrorSchema(h.Source, schemaName)
	key := partKey{schema: folder, table: s.env.names.Origin(tableName)}
	refuse := func(code event.Code, day time.Time, problem error) {
		s.reject(ctx, rec, h.Source, code, problem.Error())
		s.count(rec, folder, day, outRejected)
	}
	if !dotted {
		refuse(event.CodeBadChange, rec.Timestamp, fmt.Errorf("header table: %q is not schema.table", h.Table))
		return nil
	}
	if h.Kind != wire.KindChange || len(rec.Value) == 0 {
		problem, err := s.mark(ctx, rec, h, folder+"."+key.table)
		if err != nil {
			return err
		}
		if problem != nil {
			refuse(event.CodeBadChange, rec.Timestamp, problem)
			return nil
		}
		s.count(rec, folder, rec.Timestamp, outMark)
		return nil
	}
	change, err := wire.DecodeChange(rec.Value)
	if err != nil {
		refuse(event.CodeBadChange, rec.Timestamp, err)
		return nil
	}
	row := changeRow{change: change, partition: rec.Partition, offset: rec.Offset}
	if y := row.readAt().Year(); y < 1 || y > 9999 {
		refuse(event.CodeBadChange, rec.Timestamp, fmt.Errorf("ts_ms %d is not within the years 1 to 9999", change.TSMillis))
		return nil
	}
	if row.pass, row.page, err = wire.PassAndPage(change.Source.Sequence); err != nil {
		refuse(event.CodeBadChange, row.readAt(), err)
		return nil
	}
	schema, known, err := s.mirrorSchema(ctx, folder+"."+key.table, h.Schema)
	if err != nil {
		return err
	}
	if !known {
		refuse(event.CodeSchemaUnknown, row.readAt(), fmt.Errorf("the lake has no schema %s of %s.%s", h.Schema, folder, key.table))
		return nil
	}
	object := change.After
	if change.Op == event.OpDelete {
		object, err = keyOnly(schema, change.Before)
	}
	if err == nil {
		err = s.row.read(schema, object)
	}
	if err != nil {
		refuse(event.CodeBadChange, row.readAt(), err)
		return nil
	}
	if n, most := s.row.size(), s.env.cfg.Limits.MaxRowBytes; n > most {
		refuse(event.CodeRowTooLarge, row.readAt(), fmt.Errorf("a row of %d bytes; at most %d fit a row", n, most))
		return nil
	}
	if s.row.cleaned > 0 {
		s.countsOf(folder + "." + key.table).cut[reasonCharacters] += int64(s.row.cleaned)
	}
	key.hour, key.version = floorDiv(row.readAt().Unix(), 3600), schema.Version
	p := s.parts[key]
	if p == nil {
		p = &part{key: key, mirror: newMirrorChunk(schema)}
		s.parts[key] = p
	}
	p.mirror.add(row, &s.row)
	s.load.rows++
	s.count(rec, folder, row.readAt(), outRow)
	return p.flushWhenFull(ctx, s)
}

func (s *span) mirrorSchema(ctx context.Context, table, schema16 string) (schema lake.Schema, known bool, err error) {
	err = s.env.retry(ctx, "schema of "+table, func(ctx context.Context) (err error) {
		schema, known, err = s.env.registry.mirror(ctx, table, schema16)
		if errors.Is(err, errOtherKind) { // its schema mark was rejected for that
			known, err = false, nil
		}
		return err
	})
	return schema, known, err
}

// mark takes a control record. problem says why the record is none.
func (s *span) mark(ctx context.Context, rec *kgo.Record, h wire.ChangeHeader, target string) (problem, err error) {
	switch h.Kind {
	case wire.KindChange: // a tombstone
		return nil, nil
	case wire.KindSchema:
		mark, problem := wire.DecodeTableSchema(h.Body)
		if problem != nil {
			return problem, nil
		}
		err := s.env.retry(ctx, "schema of "+target, func(ctx context.Context) error {
			err := s.env.registry.announce(ctx, target, s.env.names, mark)
			if errors.Is(err, errBadMark) || errors.Is(err, errOtherKind) {
				problem, err = err, nil
			}
			return err
		})
		return problem, err
	case wire.KindPoll:
		if _, problem := wire.DecodePoll(h.Body); problem != nil {
			return problem, nil
		}
		s.marks = append(s.marks, pollMark(rec.Offset, target, h.Body))
		return nil, nil
	}
	return fmt.Errorf("header kind: unknown kind %q", h.Kind), nil
}

// pollMark is a poll's mark as a commit has it (lake.Mark): with all members
// that cdc gave it, also those that this version does not know.
func pollMark(offset int64, target string, body []byte) json.RawMessage {
	out := fmt.Appendf(nil, `{"offset":%d,"target":%q`, offset, target)
	for m := membersOf(trim(body)); ; {
		key, raw, ok := m.next()
		if !ok {
			break
		}
		if k := string(key); k != `"offset"` && k != `"target"` {
			out = append(append(append(append(out, ','), key...), ':'), raw...)
		}
	}
	var b bytes.Buffer
	if err := json.Compact(&b, append(out, '}')); err != nil {
		panic("BUG: a mark that was decoded is no JSON: " + err.Error())
	}
	return b.Bytes()
}

// keyOnly returns the key's columns of a deleted row, whatever else the change
// tells of it.
func keyOnly(s lake.Schema, before json.RawMessage) (json.RawMessage, error) {
	if len(trim(before)) == 0 || trim(before)[0] != '{' {
		return nil, errNoObject
	}
	out := []byte{'{'}
	for m := membersOf(trim(before)); ; {
		rawKey, raw, ok := m.next()
		if !ok {
			return append(out, '}'), nil
		}
		key, _ := text(nil, rawKey)
		i := originIndex(s, string(key))
		if len(s.Key) > 0 && (i < 0 || !slices.Contains(s.Key, s.Columns[i].Name)) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, rawKey...), ':'), raw...)
	}
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
