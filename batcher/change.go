package batcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

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
	return s.mirrorPart(ctx, rec, folder, key, schema, row)
}

// mirrorPart adds the row that was read to its part.
func (s *span) mirrorPart(ctx context.Context, rec *kgo.Record, folder string, key partKey, schema lake.Schema, row changeRow) error {
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
