package batcher

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

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
	rules   *tableRules
	columns []*column
	byName  map[string]*column
	byPath  map[string]*column
	nowhere map[reason]*column // what byPath has for paths that get no column
	spots   spots              // by node of a path
	wanted  []spot             // by leaf of the row being written
	strays  []stray
	whole   map[int]*wire.Rejected // by row: the record, where a value of it may be too large for the lake
	copies  map[int]bool           // rows that do have such a value
	offsets []int64                // of the rows
	bytes   int64                  // estimate of what it holds
	room    int64                  // what it has taken over from the chunk before
	counts  *valueCounts
	frozen  bool // takes no further columns

	minAt, maxAt time.Time // received_at
}

// newChunk begins a chunk with the columns that are registered.
func newChunk(sh *shape, rules *tableRules, registered []lake.SchemaColumn, counts *valueCounts) *chunk {
	c := &chunk{
		shape: sh, rules: rules, counts: counts, nowhere: map[reason]*column{},
		byName: make(map[string]*column, len(registered)+16), byPath: make(map[string]*column, len(registered)+16),
	}
	if len(registered) == 0 {
		for i, f := range sh.fixed {
			registered = append(registered, lake.SchemaColumn{Name: f.Name, Type: f.Type, Path: sh.fixedPaths[i]})
		}
	}
	for i, r := range registered {
		col := &column{name: r.Name, path: r.Path, fixed: i < len(sh.fixed), values: parquetout.NewColumn(r.Type), text: r.Type == wire.String}
		c.columns = append(c.columns, col)
		c.byName[r.Name] = col
		if !col.fixed {
			c.link(col)
		}
	}
	return c
}

func (c *chunk) rows() int { return len(c.offsets) }

// takeRoom fills the columns' builders of a chunk that was written, which are
// empty and have room for as many rows again.
func (c *chunk) takeRoom(from *chunk) {
	for _, col := range c.columns {
		if old := from.byName[col.name]; old != nil && old.values != nil && old.values.Type() == col.values.Type() {
			col.values = old.values
			c.room += old.values.HeldBytes()
		}
	}
}

// giveRoom gives back what the chunk, which is empty, has taken over.
func (c *chunk) giveRoom() {
	if c.room == 0 {
		return
	}
	for _, col := range c.columns {
		col.values = parquetout.NewColumn(col.values.Type())
	}
	c.room = 0
}

// eventRow is what an event's row needs beside its leaves.
type eventRow struct {
	id         string
	receivedAt time.Time
	table      string // of the event, for the column event
	partition  int32
	offset     int64
	whole      *wire.Rejected // the record, where a value of it may be too large for the lake
}

// add appends a row.
func (c *chunk) add(r eventRow, p *parsed, cast *caster) {
	row := c.rows()
	fixed := c.columns[:len(c.shape.fixed)]
	n := len(fixed)
	if r.whole != nil {
		c.keepWhole(row, r.whole)
	}
	fixed[0].values.AppendString(r.id)
	fixed[1].values.AppendTime(r.receivedAt)
	for i := 2; i < n-3; i++ {
		top := c.shape.fixedTops[i]
		if top == 0 {
			fixed[i].values.AppendString(r.table)
			continue
		}
		raw := p.tops[top]
		if raw == nil || !c.place(fixed[i], row, c.shape.fixedPaths[i], raw, cast) {
			fixed[i].values.AppendNulls(1)
		}
	}
	fixed[n-2].values.AppendInt(int64(r.partition))
	fixed[n-1].values.AppendInt(r.offset)
	c.claim(row, p)
	c.write(row, p, cast)

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
func (c *chunk) claim(row int, p *parsed) {
	c.wanted = c.wanted[:0]
	for i, l := range p.leaves {
		at := c.spotOf(l.node)
		c.wanted = append(c.wanted, at)
		col := at.column
		if col == nil || col.refused != "" {
			continue
		}
		if col.row == row+1 && p.leaves[col.leaf].path <= l.path {
			continue
		}
		col.row, col.leaf = row+1, i
	}
}

func (c *chunk) write(row int, p *parsed, cast *caster) {
	for i, l := range p.leaves {
		at := &c.wanted[i]
		col := at.column
		switch {
		case col == nil:
			if !at.leftOut || at.first && !p.firstOf(l) {
				c.stray(row, l.path, l.raw, reasonUnknown)
			}
		case col.refused != "":
			c.stray(row, l.path, l.raw, col.refused)
		case col.leaf != i || col.row != row+1:
			c.stray(row, l.path, l.raw, reasonCollision)
		case col.values == nil:
			c.hold(col, row, l.path, l.raw, false)
		case l.plain && col.text && len(col.siblings) == 0 && len(l.raw) <= maxText:
			col.pad(row)
			col.values.AppendBytes(l.raw[1 : len(l.raw)-1])
			c.bytes += int64(len(l.raw)) + 8
		default:
			col.pad(row)
			c.place(col, row, l.path, l.raw, cast)
		}
	}
}

// spotOf returns what to do with the values of a path.
func (c *chunk) spotOf(n *node) spot {
	if n.id == 0 {
		return c.find(n)
	}
	at := c.spots.of(n)
	if at.id == 0 {
		found := c.find(n)
		found.id = n.id
		*at = found
		c.spots.used++
	}
	return *at
}

func (c *chunk) find(n *node) spot {
	if col := c.columnOf(n); col != nil {
		return spot{column: col}
	}
	member := ""
	switch n.root {
	case rootTop:
		if slices.Contains(c.shape.omits, n.path) {
			return spot{leftOut: true}
		}
		first := n.top != 0 && slices.Contains(c.shape.fixedTops, n.top)
		return spot{leftOut: first, first: first}
	case rootContext:
		member = memberContext
	case rootProperties:
		member = memberProperties
	case rootTraits:
		member = memberTraits
	}
	return spot{leftOut: slices.Contains(c.shape.omits, member) || slices.Contains(c.shape.fixedPaths, member)}
}

func (c *chunk) stray(row int, path string, raw []byte, why reason) {
	c.counts.unmapped[why]++
	c.strays = append(c.strays, stray{row, path, slices.Clone(raw)})
	c.bytes += int64(len(path) + len(raw) + 48)
}

// frozen is a chunk as a record of one schema version.
type frozen struct {
	record  parquetout.Record
	longest map[string]int   // of string and json columns
	copies  []*wire.Rejected // records of which a value was too large for the lake
}

// freeze turns the rows into a record with the columns of s, which has at least
// those that the chunk began with. Values of a new column that it lacks go to
// _unmapped. It ends the chunk.
func (c *chunk) freeze(s lake.Schema, cast *caster) frozen {
	c.frozen = true
	f := frozen{longest: map[string]int{}}
	ordered := c.adopt(s)
	for _, col := range c.columns {
		c.settle(col, cast)
	}
	c.writeUnmapped()
	for i, col := range ordered {
		col.AppendNulls(c.rows() - col.Len())
		if t := s.Columns[i].Type; t == wire.String || t == wire.JSON {
			f.longest[s.Columns[i].Name] = col.Longest()
		}
	}
	f.record = parquetout.NewRecord(ordered)
	for _, row := range slices.Sorted(maps.Keys(c.copies)) {
		f.copies = append(f.copies, c.whole[row])
	}
	return f
}

func (c *chunk) writeUnmapped() {
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
			buf = digest(buf)
			c.tooLarge(row)
		}
		out.AppendBytes(buf)
	}
	c.strays = nil
}

// keepWhole keeps a record until the chunk is frozen.
func (c *chunk) keepWhole(row int, whole *wire.Rejected) {
	if c.whole == nil {
		c.whole = map[int]*wire.Rejected{}
	}
	c.whole[row] = whole
	c.bytes += int64(len(whole.Original))
}

// tooLarge notes that the row has a digest in place of a value.
func (c *chunk) tooLarge(row int) {
	if c.whole[row] == nil {
		panic("BUG: a value is too large that nobody expected to be")
	}
	c.counts.cut[reasonSize]++
	if c.copies == nil {
		c.copies = map[int]bool{}
	}
	c.copies[row] = true
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
