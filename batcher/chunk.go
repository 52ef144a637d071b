package batcher

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// column is a column of a chunk. While it is new its values stay as they came:
// its type is known when the chunk is frozen, from all of them.
type column struct {
	name, path string
	values     *parquetout.Column // nil while the column is new
	fresh      []freshValue
	saw        kinds
	// of the row being written:
	row  int // rows+1 of the row that has claimed the column
	leaf int
}

type freshValue struct {
	row  int
	raw  []byte // a copy
	path string // "" for the column's own
}

// stray is a value that has no place in a column of its row, or not all of it.
type stray struct {
	row  int
	path string
	raw  []byte // a copy
}

// chunk gathers rows of one table of events until they go to a file. It does no
// I/O: what its new columns become is decided by freeze, with the schema that
// the lake has agreed to.
type chunk struct {
	shape   *shape
	names   *lake.Namer
	limit   int // columns
	columns []*column
	byName  map[string]*column
	byPath  map[string]*column // nil: has no column
	wanted  []*column          // by leaf of the row being written
	strays  []stray
	offsets []int64 // of the rows
	bytes   int64   // estimate of what it holds
	counts  *valueCounts

	minAt, maxAt time.Time // received_at
}

// valueCounts counts what did not fit as it came.
type valueCounts struct{ misfits, lossy, cleaned, overLimit int64 }

// newChunk begins a chunk with the columns that are registered.
func newChunk(sh *shape, names *lake.Namer, limit int, registered []lake.SchemaColumn, counts *valueCounts) *chunk {
	c := &chunk{
		shape: sh, names: names, limit: limit, counts: counts,
		byName: make(map[string]*column, len(registered)+16), byPath: make(map[string]*column, len(registered)+16),
	}
	if len(registered) == 0 {
		for i, f := range sh.fixed {
			registered = append(registered, lake.SchemaColumn{Name: f.Name, Type: f.Type, Path: sh.fixedPaths[i]})
		}
	}
	for i, r := range registered {
		col := &column{name: r.Name, path: r.Path, values: parquetout.NewColumn(r.Type)}
		c.columns = append(c.columns, col)
		c.byName[r.Name] = col
		if i >= len(sh.fixed) && r.Path != "" {
			c.byPath[r.Path] = col
		}
	}
	return c
}

func (c *chunk) rows() int { return len(c.offsets) }

// eventRow is what an event's row needs beside its leaves.
type eventRow struct {
	id         string
	receivedAt time.Time
	table      string // of the event, for the column event
	partition  int32
	offset     int64
}

// add appends a row. isTracks leaves properties out: the event's own table has
// them.
func (c *chunk) add(r eventRow, p *parsed, cast *caster, isTracks bool) {
	row := c.rows()
	fixed := c.columns[:len(c.shape.fixed)]
	n := len(fixed)
	fixed[0].values.AppendBytes([]byte(r.id))
	fixed[1].values.AppendTime(r.receivedAt)
	for i := 2; i < n-3; i++ {
		path := c.shape.fixedPaths[i]
		if path == "" {
			fixed[i].values.AppendBytes([]byte(r.table))
			continue
		}
		raw, ok := p.top(path)
		if !ok || !c.put(fixed[i], row, []byte(path), raw, cast) {
			fixed[i].values.AppendNulls(1)
		}
	}
	fixed[n-2].values.AppendInt(int64(r.partition))
	fixed[n-1].values.AppendInt(r.offset)
	c.claim(row, p, isTracks)
	c.write(row, p, cast, isTracks)

	c.offsets = append(c.offsets, r.offset)
	c.bytes += int64(len(r.id)) + int64(8*n)
	if row == 0 || r.receivedAt.Before(c.minAt) {
		c.minAt = r.receivedAt
	}
	if row == 0 || r.receivedAt.After(c.maxAt) {
		c.maxAt = r.receivedAt
	}
}

// claim decides which leaf gets which column: of two with one name the one with
// the smaller path, and the other is a stray.
func (c *chunk) claim(row int, p *parsed, isTracks bool) {
	c.wanted = c.wanted[:0]
	for i, l := range p.leaves {
		col := c.columnOf(l, p, isTracks)
		c.wanted = append(c.wanted, col)
		if col == nil {
			continue
		}
		if col.row == row+1 && string(p.path(p.leaves[col.leaf])) <= string(p.path(l)) {
			continue
		}
		col.row, col.leaf = row+1, i
	}
}

func (c *chunk) write(row int, p *parsed, cast *caster, isTracks bool) {
	for i, l := range p.leaves {
		col := c.wanted[i]
		if col == nil || col.leaf != i || col.row != row+1 {
			if !c.leftOut(l, p, isTracks) {
				c.stray(row, p.path(l), l.raw)
			}
			continue
		}
		if col.values == nil {
			v := freshValue{row: row, raw: slices.Clone(l.raw)}
			if path := p.path(l); string(path) != col.path {
				v.path = string(path)
			}
			col.fresh = append(col.fresh, v)
			col.saw |= kindOf(v.raw)
			c.bytes += int64(len(v.raw)) + 48
			continue
		}
		if col.values.Len() < row {
			col.values.AppendNulls(row - col.values.Len())
		}
		c.put(col, row, p.path(l), l.raw, cast)
	}
}

// put writes a value and sees to what is left of it.
func (c *chunk) put(col *column, row int, path, raw []byte, cast *caster) (written bool) {
	c.bytes += int64(len(raw)) + 8
	switch cast.put(col.values, raw) {
	case misfit:
		c.counts.misfits++
		c.stray(row, path, raw)
		return false
	case lossy:
		c.counts.lossy++
		c.stray(row, path, raw)
	case cleaned:
		c.counts.cleaned++
	case fits:
	}
	return true
}

// leftOut says whether a leaf is in another table or in a fixed column.
func (c *chunk) leftOut(l leaf, p *parsed, isTracks bool) bool {
	switch l.root {
	case rootTop:
		path := p.path(l)
		return slices.ContainsFunc(c.shape.fixedPaths, func(f string) bool { return f == string(path) }) || isTracks && string(path) == "properties"
	case rootProperties:
		return isTracks
	case rootContext, rootTraits:
	}
	return false
}

// columnOf returns the leaf's column, which may be new, or nil.
func (c *chunk) columnOf(l leaf, p *parsed, isTracks bool) *column {
	switch {
	case l.root == rootTop, l.root == rootProperties && (isTracks || c.shape.root != "properties"),
		l.root == rootTraits && c.shape.root != "traits":
		return nil
	}
	if col, known := c.byPath[string(p.path(l))]; known {
		return col
	}
	path := string(p.path(l))
	name := columnName(c.names, path, c.shape.fixed)
	col := c.byName[name]
	if col == nil {
		if len(c.columns) >= c.limit {
			c.counts.overLimit++
			if len(c.byPath) < 4*c.limit { // a table of names that never end must not end in memory
				c.byPath[path] = nil
			}
			return nil
		}
		col = &column{name: name, path: path}
		c.columns = append(c.columns, col)
		c.byName[name] = col
	}
	c.byPath[path] = col
	return col
}

func (c *chunk) stray(row int, path, raw []byte) {
	c.strays = append(c.strays, stray{row, string(path), slices.Clone(raw)})
	c.bytes += int64(len(path) + len(raw) + 48)
}

// wants returns the columns that the lake does not know yet, by name.
func (c *chunk) wants() []lake.SchemaColumn {
	var out []lake.SchemaColumn
	for _, col := range c.columns {
		if col.values == nil {
			out = append(out, lake.SchemaColumn{Name: col.name, Type: col.saw.lakeType(), Path: col.path})
		}
	}
	slices.SortFunc(out, func(a, b lake.SchemaColumn) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// frozen is a chunk as a record of one schema version.
type frozen struct {
	record   parquetout.Record
	longest  map[string]int   // of string and json columns
	tooLarge map[int64][]byte // by offset: what was too large for _unmapped
}

// freeze turns the rows into a record with the columns of s, which has at least
// those that the chunk began with and those it wants. It ends the chunk.
func (c *chunk) freeze(s lake.Schema, cast *caster) frozen {
	f := frozen{longest: map[string]int{}, tooLarge: map[int64][]byte{}}
	ordered := make([]*parquetout.Column, len(s.Columns))
	for i, sc := range s.Columns {
		col := c.byName[sc.Name]
		switch {
		case col == nil:
			ordered[i] = parquetout.NewColumn(sc.Type)
		case col.values == nil: // the lake's type holds, whoever registered it
			ordered[i] = parquetout.NewColumn(sc.Type)
			col.values = ordered[i]
			c.settle(col, cast)
		default:
			ordered[i] = col.values
		}
	}
	c.writeUnmapped(&f)
	for i, col := range ordered {
		col.AppendNulls(c.rows() - col.Len())
		if t := s.Columns[i].Type; t == wire.String || t == wire.JSON {
			f.longest[s.Columns[i].Name] = col.Longest()
		}
	}
	f.record = parquetout.NewRecord(ordered)
	return f
}

// settle casts the values of a new column to the type that it has got.
func (c *chunk) settle(col *column, cast *caster) {
	for _, v := range col.fresh {
		col.values.AppendNulls(v.row - col.values.Len())
		path := col.path
		if v.path != "" {
			path = v.path
		}
		c.put(col, v.row, []byte(path), v.raw, cast)
	}
	col.fresh = nil
}

func (c *chunk) writeUnmapped(f *frozen) {
	slices.SortStableFunc(c.strays, func(a, b stray) int { return a.row - b.row })
	out := c.byName["_unmapped"].values
	var buf []byte
	for i := 0; i < len(c.strays); {
		row := c.strays[i].row
		buf = append(buf[:0], '{')
		for ; i < len(c.strays) && c.strays[i].row == row; i++ {
			if len(buf) > 1 {
				buf = append(buf, ',')
			}
			buf = append(appendString(buf, []byte(c.strays[i].path)), ':')
			raw, _ := jsonText(nil, c.strays[i].raw)
			buf = append(buf, raw...)
		}
		buf = append(buf, '}')
		out.AppendNulls(row - out.Len())
		if len(buf) > maxText {
			f.tooLarge[c.offsets[row]] = slices.Clone(buf)
			buf = digest(buf)
		}
		out.AppendBytes(buf)
	}
	c.strays = nil
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
