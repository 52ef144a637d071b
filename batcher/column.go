package batcher

import (
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// column is a column of a chunk. While it is new its values stay as they came:
// its type is known when the chunk is frozen, from all of them.
type column struct {
	name, path string
	fixed      bool
	text       bool               // is one of strings, and registered
	values     *parquetout.Column // nil while the column is new
	want       wire.LakeType      // of a new column; "": what the join of saw says
	fresh      []freshValue
	saw        kinds
	siblings   []*column // take what is castable to them as well
	refused    reason    // why values have no column; the column itself holds nothing then
	// of the row being written:
	row  int // rows+1 of the row that has claimed the column
	leaf int
}

type freshValue struct {
	row  int
	raw  []byte // a copy
	path string // "" for the column's own
	// spare says that another column has the value, too: it is no loss if this
	// one does not take it.
	spare bool
}

// pad brings the column to a row with nulls.
func (col *column) pad(row int) {
	if n := row - col.values.Len(); n > 0 {
		col.values.AppendNulls(n)
	}
}

// link makes a registered column the one of its path, or a sibling of that.
func (c *chunk) link(col *column) {
	if base := c.byPath[col.path]; base != nil && lake.IsSibling(col.name) {
		base.siblings = append(base.siblings, col)
		return
	}
	if c.rules.drops(col.name) {
		col = c.refuse(reasonDropped)
	}
	c.byPath[col.path] = col
}

// columnOf returns the column of a path, which may be new or one that says why
// there is none; nil if no table of this shape has a column for it.
func (c *chunk) columnOf(n *node) *column {
	if !c.shape.discovers(n.root) {
		return nil
	}
	if col, known := c.byPath[n.path]; known {
		return col
	}
	col := c.discover(n.path)
	if col.refused == "" || len(c.byPath) < 4*c.rules.limit { // names that never end must not end in memory
		c.byPath[n.path] = col
	}
	return col
}

func (c *chunk) discover(path string) *column {
	name := columnName(c.rules.names, path, c.shape.fixed)
	switch col := c.byName[name]; {
	case c.rules.drops(name):
		return c.refuse(reasonDropped)
	case col != nil:
		return col
	case len(c.columns) >= c.rules.limit:
		return c.refuse(reasonColumns)
	}
	return c.begin(&column{name: name, path: path, want: c.rules.types[name]})
}

// begin adds a new column.
func (c *chunk) begin(col *column) *column {
	c.columns = append(c.columns, col)
	c.byName[col.name] = col
	return col
}

func (c *chunk) refuse(why reason) *column {
	if c.nowhere[why] == nil {
		c.nowhere[why] = &column{refused: why}
	}
	return c.nowhere[why]
}

// hold keeps a value of a new column until the column has its type.
func (c *chunk) hold(col *column, row int, path string, raw []byte, spare bool) {
	v := freshValue{row: row, raw: slices.Clone(raw), spare: spare}
	if path != col.path {
		v.path = path
	}
	col.fresh = append(col.fresh, v)
	col.saw |= kindOf(v.raw)
	c.bytes += int64(len(v.raw)) + 48
}

// place puts a value into its column and into that one's siblings. What none of
// them has in full goes to _unmapped. written is false if the column itself has
// not got a value.
func (c *chunk) place(col *column, row int, path string, raw []byte, cast *caster) (written bool) {
	got := c.put(col, row, raw, cast)
	if got == misfit && !col.fixed && !c.frozen {
		c.promote(col, raw)
	}
	kept := got == fits || got == cleaned || got == digested
	for _, s := range col.siblings {
		if s.values == nil {
			c.hold(s, row, path, raw, kept) // settle sees to the rest
			kept = true
			continue
		}
		s.pad(row)
		beside := c.put(s, row, raw, cast)
		kept = kept || beside == fits || beside == cleaned
	}
	if !kept {
		why := reasonMisfit
		if got == lossy {
			why = reasonCut
		}
		c.stray(row, path, raw, why)
	}
	return got != misfit
}

// put puts a value into a column and counts what it has lost there.
func (c *chunk) put(col *column, row int, raw []byte, cast *caster) fit {
	c.bytes += int64(len(raw)) + 8
	got := cast.put(col.values, raw)
	switch got {
	case lossy:
		if t := col.values.Type(); t == wire.String {
			c.counts.cut[reasonLength]++
		} else {
			c.counts.cut[reasonDigits]++
		}
	case cleaned:
		c.counts.cut[reasonCharacters]++
	case digested:
		c.tooLarge(row)
	case fits, misfit:
	}
	return got
}

// promote gives a column that does not take raw a sibling that does: of doubles
// at once for a number beside integers, of strings after many misfits. A column
// is promoted once.
func (c *chunk) promote(col *column, raw []byte) {
	if len(col.siblings) > 0 || len(c.columns) >= c.rules.limit {
		return
	}
	suffix, want := "", wire.LakeType("")
	switch {
	case col.values.Type() == wire.Int64 && isDouble(raw):
		suffix, want = lake.SuffixFloat, wire.Float64
	case c.rules.misfit(col.name):
		suffix, want = lake.SuffixStr, wire.String
	default:
		return
	}
	s := c.begin(&column{name: lake.Sibling(col.name, suffix), path: col.path, want: want})
	col.siblings = append(col.siblings, s)
}

// wants returns the columns that the lake does not know yet, by name.
func (c *chunk) wants() []lake.SchemaColumn {
	var out []lake.SchemaColumn
	for _, col := range c.columns {
		if col.values != nil {
			continue
		}
		w := lake.SchemaColumn{Name: col.name, Type: col.want, Path: col.path}
		if w.Type == "" {
			w.Type = col.saw.lakeType()
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b lake.SchemaColumn) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// adopt gives every column of s its builder, in the order of s. Columns that
// another batcher has registered meanwhile come in, as siblings too.
func (c *chunk) adopt(s lake.Schema) []*parquetout.Column {
	ordered := make([]*parquetout.Column, len(s.Columns))
	for i, sc := range s.Columns {
		col := c.byName[sc.Name]
		if col == nil {
			col = c.begin(&column{name: sc.Name, path: sc.Path})
			c.link(col)
		}
		if col.values == nil { // the lake's type holds, whoever registered it
			col.values = parquetout.NewColumn(sc.Type)
		}
		ordered[i] = col.values
	}
	return ordered
}

// settle casts the values of a new column to the type that it has got.
func (c *chunk) settle(col *column, cast *caster) {
	for _, v := range col.fresh {
		path := col.path
		if v.path != "" {
			path = v.path
		}
		switch {
		case col.values == nil && !v.spare: // the table has as many columns as it may
			c.stray(v.row, path, v.raw, reasonColumns)
		case col.values == nil:
		case v.spare:
			col.pad(v.row)
			c.put(col, v.row, v.raw, cast)
		default:
			col.pad(v.row)
			c.place(col, v.row, path, v.raw, cast)
		}
	}
	col.fresh = nil
}
