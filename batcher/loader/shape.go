package loader

import (
	"fmt"
	"slices"

	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// kind says how rows come into a target.
type kind string

// The kinds of targets.
const (
	kindAppend  kind = "append"
	kindMirror  kind = "mirror"
	kindMetrics kind = "metrics"
	kindRepair  kind = "repair" // a held file that is tried again
	kindSwap    kind = "swap"   // a full poll's table takes a mirror's place
)

// tableInfo is what the lake's schema objects say of a target.
type tableInfo struct {
	kind   kind
	key    []string
	cursor string
	types  map[string]string // Redshift's type by column, where the origin decides
	since  map[string]int    // the version that brought a column
}

// dropped are those of the columns that sh adds that were there before: a load
// adds all columns of a version, and existing has one of as new a version.
func (info tableInfo) dropped(sh shape, existing warehouse.Existing) []string {
	newest := 0
	for name := range existing {
		newest = max(newest, info.since[name])
	}
	var out []string
	for _, c := range sh.adds {
		if v := info.since[c.Name]; v > 0 && v <= newest {
			out = append(out, c.Name)
		}
	}
	return out
}

// shape is what a table must become before a load fits in.
type shape struct {
	name    warehouse.Name
	create  bool
	layout  warehouse.Layout
	columns []warehouse.Column // all that the load writes, with the target's types
	adds    []warehouse.Column
	widens  []warehouse.Column // with the type to get
	renames [][2]string        // columns, from and to, in order
	as      warehouse.Name     // the table whose place it is to take; zero: its own
}

// columnsOf returns the columns of a load's files, each once, in file order and
// newest version last, with the longest value of each.
// A column that changed its type is the target's fault: its table must be made
// anew.
func columnsOf(bySchema [][]dueFile) ([]warehouse.Column, error) {
	var out []warehouse.Column
	at := map[string]int{}
	for _, files := range bySchema {
		for _, c := range files[0].schema.Columns {
			i, ok := at[c.Name]
			if !ok {
				i = len(out)
				at[c.Name] = i
				out = append(out, warehouse.Column{Name: c.Name, Lake: c.Type})
			}
			if out[i].Lake != c.Type {
				return nil, fmt.Errorf("column %s was %s and is %s", c.Name, out[i].Lake, c.Type)
			}
			for _, f := range files {
				out[i].Longest = max(out[i].Longest, f.MaxBytes[c.Name])
			}
		}
	}
	return out, nil
}

// fit compares columns with a table as it is. It returns an error, the target's
// fault, where a column cannot take every value without cutting or rounding it.
func fit(name warehouse.Name, columns []warehouse.Column, existing warehouse.Existing, info tableInfo, layout warehouse.Layout) (shape, error) {
	sh := shape{name: name, create: existing == nil, layout: layout, columns: slices.Clone(columns)}
	for i := range sh.columns {
		c := &sh.columns[i]
		has, ok := existing[c.Name]
		switch {
		case !ok:
			c.Type = newType(*c, info)
			if !sh.create {
				sh.adds = append(sh.adds, *c)
			}
		case !warehouse.Fits(c.Lake, has):
			return sh, fmt.Errorf("column %s of %s is %s, which does not hold every %s", c.Name, name, has.SQL(), c.Lake)
		default:
			c.Type = has
			if wider, need := warehouse.Widened(has.Width, c.Longest); need && has.Kind == warehouse.Varchar {
				c.Type = wider
				sh.widens = append(sh.widens, *c)
			}
		}
		if !warehouse.Fits(c.Lake, c.Type) {
			return sh, fmt.Errorf("column %s of %s is to be %s, which does not hold every %s", c.Name, name, c.Type.SQL(), c.Lake)
		}
	}
	if n := len(existing) + len(sh.adds); n > 1600 {
		return sh, fmt.Errorf("%s would have %d columns; Redshift's tables have at most 1600", name, n)
	}
	return sh, nil
}

// newType is the type of a column that the table lacks: the origin's word where
// there is one, else by lake type.
func newType(c warehouse.Column, info tableInfo) warehouse.Type {
	own := warehouse.TargetType(c.Name, c.Lake, c.Longest)
	word, ok := info.types[c.Name]
	if !ok {
		return own
	}
	t := warehouse.ParseType(word)
	switch {
	case (t.Kind == warehouse.Varchar || t.Kind == warehouse.Varbyte) && t.Width == 0:
		t.Width = own.Width
		if t.Kind == warehouse.Varchar && t.Width == 0 {
			t.Width = warehouse.MaxVarchar // json into VARCHAR
		}
	case t.Kind == warehouse.Varchar && t.Width < c.Longest:
		t, _ = warehouse.Widened(t.Width, c.Longest)
	}
	return t
}

// layoutOf returns the layout that a new table of a target gets; ld is its
// first load.
func layoutOf(info tableInfo, ld *load) warehouse.Layout {
	switch info.kind {
	case kindMirror:
		return ld.whileSmall(warehouse.MirrorLayout(info.key, info.cursor))
	case kindMetrics:
		return warehouse.Layout{Style: "ALL", SortKey: []string{"day", "metric"}}
	case kindAppend, kindRepair, kindSwap:
	}
	return warehouse.EventLayout()
}

// whileSmall is l, copied to all nodes unless the first load is too large for
// that already.
func (ld *load) whileSmall(l warehouse.Layout) warehouse.Layout {
	if ld.rows >= warehouse.SmallRows || ld.bytes >= warehouse.SmallMB<<20 {
		return l
	}
	return l.Copied()
}

// kindOf tells a target's kind by its files alone: a mirror's end with the
// batcher's own columns, and metrics have one fixed target.
func kindOf(name warehouse.Name, columns wire.Columns) kind {
	cols := make([]warehouse.Column, len(columns))
	for i, c := range columns {
		cols[i].Name = c.Name
	}
	if _, ok := warehouse.OriginColumns(cols); ok {
		return kindMirror
	}
	if name.Schema == warehouse.Schema {
		return kindMetrics
	}
	return kindAppend
}

// staged returns a schema's staging table, with the target's types.
func staged(loadID string, files []dueFile, columns []warehouse.Column, info tableInfo) warehouse.Staging {
	byName := map[string]warehouse.Column{}
	for _, c := range columns {
		byName[c.Name] = c
	}
	st := warehouse.Staging{Name: "stg_" + loadID + "_" + wire.Schema8(files[0].schema.Fingerprint)}
	for _, c := range files[0].schema.Columns {
		col, ok := byName[c.Name]
		if !ok { // the batcher's own column of a mirror: it stays in staging
			col = warehouse.Column{Name: c.Name, Lake: c.Type}
			for _, f := range files {
				col.Longest = max(col.Longest, f.MaxBytes[c.Name])
			}
		}
		col.Lake = c.Type
		st.Columns = append(st.Columns, col)
	}
	switch info.kind {
	case kindMirror:
		if len(info.key) == 1 && files[0].schema.Columns.Index(info.key[0]) >= 0 {
			st.Dist = info.key
		}
	case kindAppend:
		st.Dist, st.Sort = []string{"id"}, []string{"received_at"}
	case kindMetrics, kindRepair, kindSwap:
	}
	return st
}
