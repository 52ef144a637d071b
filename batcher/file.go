package batcher

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// partKey names a part of a range: the rows of one table and hour, and of one
// version for a mirrored table.
type partKey struct {
	schema, table string
	hour          int64 // unix hours
	version       int   // of a mirror
}

// part gathers the rows of a partKey: in a chunk first, then in a file, and in
// another one when that is full or its schema has grown.
type part struct {
	key    partKey
	chunk  *chunk       // of events
	mirror *mirrorChunk // of a mirrored table
	open   *openFile    // nil: none
	done   []finished
}

// openFile is a Parquet file that takes further rows.
type openFile struct {
	w       *parquetout.Writer
	path    string
	schema  lake.Schema
	first   int64
	last    int64
	minAt   time.Time
	maxAt   time.Time
	longest map[string]int
}

// finished is a verified file on the spool.
type finished struct {
	path   string
	schema lake.Schema
	file   lake.File // all but its key
}

const (
	chunkRows  = 8192
	chunkBytes = 4 << 20
)

func (p *part) name() string { return p.key.schema + "." + p.key.table }

// onHeap is what a byte takes of the heap: itself and, until it is collected,
// about as much garbage and room to grow.
const onHeap = 2

// holds says what the part takes up.
func (p *part) holds() (h held) {
	h.chunks = onHeap * p.roomHeld()
	if p.open != nil {
		h.groups, h.disk = onHeap*p.open.w.BufferedBytes(), p.open.w.WrittenBytes()
	}
	for _, d := range p.done {
		h.disk += d.file.Bytes
	}
	return h
}

// groupHeld is the size of the row group that may be written early: with fewer
// rows it would make the file worse than it makes memory better.
func (p *part) groupHeld() int64 {
	if p.open == nil || p.open.w.BufferedRows() < parquetout.MinRowGroup {
		return 0
	}
	return p.open.w.BufferedBytes()
}

// size estimates the part's files.
func (p *part) size() (n int64) {
	n = p.bytesHeld() / 3
	if p.open != nil {
		n += p.open.w.EstimatedBytes()
	}
	for _, d := range p.done {
		n += d.file.Bytes
	}
	return n
}

// flushWhenFull hands the chunk on when it has the size of a write.
func (p *part) flushWhenFull(ctx context.Context, s *span) error {
	if !p.isFull() {
		return nil
	}
	return p.flush(ctx, s)
}

func (p *part) isFull() bool { return p.rowsHeld() >= chunkRows || p.bytesHeld() >= chunkBytes }

func (p *part) rowsHeld() int {
	switch {
	case p.mirror != nil:
		return p.mirror.rows
	case p.chunk != nil:
		return p.chunk.rows()
	}
	return 0
}

func (p *part) bytesHeld() int64 {
	switch {
	case p.mirror != nil:
		return p.mirror.bytes
	case p.chunk != nil:
		return p.chunk.bytes
	}
	return 0
}

// roomHeld is the memory that the rows take, or would.
func (p *part) roomHeld() int64 {
	if p.chunk != nil {
		return max(p.chunk.bytes, p.chunk.room)
	}
	return p.bytesHeld()
}

// flush freezes the chunk and writes it to the open file, or to a new one where
// the schema has grown.
func (p *part) flush(ctx context.Context, s *span) error {
	if p.rowsHeld() == 0 {
		if p.chunk != nil {
			p.chunk.giveRoom()
		}
		return nil
	}
	if p.mirror != nil {
		m := p.mirror
		p.mirror = newMirrorChunk(m.schema)
		return p.write(s, m.schema, m.freeze(), m.first, m.last, m.minAt, m.maxAt)
	}
	c := p.chunk
	schema, err := s.extend(ctx, p)
	if err != nil {
		return err
	}
	f := c.freeze(schema, &s.cast)
	for _, whole := range f.copies {
		s.sendCopy(ctx, whole)
	}
	full := p.isFull()
	p.chunk = newChunk(c.shape, c.rules, schema.Columns, c.counts)
	err = p.write(s, schema, f, c.offsets[0], c.offsets[len(c.offsets)-1], c.minAt, c.maxAt)
	if err == nil && full { // the next one is likely to be, too; one that was written for memory's sake gives it back
		p.chunk.takeRoom(c)
	}
	return err
}

func (p *part) write(s *span, schema lake.Schema, f frozen, first, last int64, minAt, maxAt time.Time) error {
	if p.open != nil && p.open.schema.Version != schema.Version {
		if err := p.close(s); err != nil {
			return err
		}
	}
	if p.open == nil {
		if err := p.create(s, schema, first, minAt); err != nil {
			return err
		}
	}
	o := p.open
	if err := o.w.Append(f.record); err != nil {
		return err
	}
	o.last = last
	if minAt.Before(o.minAt) {
		o.minAt = minAt
	}
	if maxAt.After(o.maxAt) {
		o.maxAt = maxAt
	}
	for name, n := range f.longest {
		o.longest[name] = max(o.longest[name], n)
	}
	if o.w.EstimatedBytes() >= int64(s.env.cfg.File.MaxBytes) {
		return p.close(s)
	}
	return nil
}

func (p *part) create(s *span, schema lake.Schema, first int64, minAt time.Time) error {
	o := s.env.cfg.parquet()
	o.Plain = []string{"id", "_offset"}
	if h, ok := s.env.habits.of(p.name()); ok {
		o.Ratio, o.Plain = h.ratio, append(o.Plain, h.plain...)
	}
	o.Disk = s.env.disk
	path := filepath.Join(s.env.cfg.Disk.Dir, fmt.Sprintf("%s-%d.parquet", s.attempt, s.env.fileSeq.Add(1)))
	w, err := parquetout.Create(path, schema.FileColumns(), o)
	if err != nil {
		return err
	}
	p.open = &openFile{w: w, path: path, schema: schema, first: first, minAt: minAt, longest: map[string]int{}}
	s.env.metrics.openFiles.Inc()
	return nil
}

// close finishes and verifies the open file.
func (p *part) close(s *span) error {
	if p.open == nil {
		return nil
	}
	o := p.open
	p.open = nil
	s.env.metrics.openFiles.Dec()
	for _, kv := range [][2]string{
		{"v", "1"},
		{"table", p.name()},
		{"schema", o.schema.Fingerprint},
		{"topic", s.id.Topic},
		{"partition", strconv.Itoa(int(s.id.Partition))},
		{"first", strconv.FormatInt(o.first, 10)},
		{"next", strconv.FormatInt(o.last+1, 10)},
		{"rows", strconv.FormatInt(o.w.Rows(), 10)},
		{"order", "_offset"},
	} {
		o.w.SetMeta("millstream."+kv[0], kv[1])
	}
	start := time.Now()
	foot, err := o.w.Finish()
	s.verifying += time.Since(start)
	if err != nil {
		if errors.Is(err, parquetout.ErrVerify) {
			s.env.metrics.verifyFailures.Inc()
		}
		return err
	}
	s.env.habits.learn(p.name(), foot)
	hour := time.Unix(p.key.hour*3600, 0).UTC()
	p.done = append(p.done, finished{path: o.path, schema: o.schema, file: lake.File{
		Table: p.name(), DT: hour.Format("2006-01-02"), HH: hour.Format("15"), Schema: wire.Schema8(o.schema.Fingerprint),
		First: o.first, Next: o.last + 1, Rows: foot.Rows, Bytes: foot.Bytes, SHA256: foot.SHA256, CRC32C: foot.CRC32C,
		MinReceivedAt: lake.Time{Time: o.minAt}, MaxReceivedAt: lake.Time{Time: o.maxAt}, MaxBytes: o.longest,
	}})
	return nil
}

// drop removes what is on the spool. It may be called twice.
func (p *part) drop(m *metrics) {
	if p.open != nil {
		p.open.w.Abort()
		p.open = nil
		m.openFiles.Dec()
	}
	for _, d := range p.done {
		removeFile(d.path)
	}
	p.done = nil
}
