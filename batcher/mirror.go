package batcher

import (
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// mirrorChunk gathers rows of one version of a mirrored table. Nothing is
// inferred: the columns are the origin's, and the fixed ones after them.
type mirrorChunk struct {
	schema       lake.Schema
	columns      []*parquetout.Column
	rows         int
	bytes        int64
	first, last  int64
	minAt, maxAt time.Time
}

func newMirrorChunk(s lake.Schema) *mirrorChunk {
	m := &mirrorChunk{schema: s}
	for _, c := range s.Columns {
		m.columns = append(m.columns, parquetout.NewColumn(c.Type))
	}
	return m
}

// changeRow is what a change's row needs beside the origin's columns.
type changeRow struct {
	change     event.Change
	pass, page int64
	partition  int32
	offset     int64
}

func (c changeRow) readAt() time.Time { return time.UnixMilli(c.change.TSMillis).UTC() }

func (m *mirrorChunk) add(c changeRow, row *mirrorRow) {
	n := len(m.columns) - len(mirrorFixed())
	for i := range n {
		row.values[i].put(m.columns[i])
		m.bytes += int64(len(row.values[i].bytes)) + 9
	}
	fixed := m.columns[n:]
	fixed[0].AppendBytes([]byte(c.change.Op))
	fixed[1].AppendInt(c.pass)
	fixed[2].AppendInt(c.page)
	fixed[3].AppendBytes([]byte(c.change.Source.Strategy))
	fixed[4].AppendBytes([]byte(c.change.Source.Poll))
	fixed[5].AppendInt(max(c.change.TSMicros, c.change.TSMillis*1000))
	fixed[6].AppendInt(int64(c.partition))
	fixed[7].AppendInt(c.offset)
	at := c.readAt()
	if m.rows == 0 {
		m.first, m.minAt, m.maxAt = c.offset, at, at
	}
	if at.Before(m.minAt) {
		m.minAt = at
	}
	if at.After(m.maxAt) {
		m.maxAt = at
	}
	m.last = c.offset
	m.rows++
	m.bytes += 96
}

func (m *mirrorChunk) freeze() frozen {
	f := frozen{longest: map[string]int{}}
	for i, c := range m.schema.Columns {
		if c.Type == wire.String || c.Type == wire.JSON {
			f.longest[c.Name] = m.columns[i].Longest()
		}
	}
	f.record = parquetout.NewRecord(m.columns)
	return f
}
