package warehouse

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/wire"
)

// Column is a column of a target together with what files say of it.
type Column struct {
	Name    string
	Lake    wire.LakeType
	Type    Type // in the target
	Longest int  // bytes of the longest value in the files of a load
	// Encoding is that of a column which the new one takes the place of; empty:
	// by type.
	Encoding string
}

// Layout says how a new table lies on the cluster.
type Layout struct {
	DistKey string   // a column; empty: Style
	Style   string   // EVEN, ALL or AUTO, where there is no DistKey
	SortKey []string // columns
}

// A table of the kinds that are copied to all nodes, so that no join with it
// moves rows, has fewer rows than SmallRows, and they take less than SmallMB.
const (
	SmallRows = 1_000_000
	SmallMB   = 64
)

// Copied is the layout of such a table while it is small. Maintenance spreads
// it when it outgrows that.
func (l Layout) Copied() Layout {
	l.DistKey, l.Style = "", "ALL"
	return l
}

// EventLayout is the layout of tables of events: a twin meets its twin on one
// node, and the join that looks for it reads little of the table.
func EventLayout() Layout { return Layout{DistKey: "id", SortKey: []string{"received_at"}} }

// LatestLayout is the layout of users and accounts.
func LatestLayout() Layout { return Layout{DistKey: "id", SortKey: []string{"id"}} }

// MirrorLayout is the layout of a mirrored table with this key and cursor.
func MirrorLayout(key []string, cursor string) Layout {
	l := Layout{Style: "EVEN", SortKey: key}
	if len(key) == 1 {
		l.DistKey = key[0]
	}
	if cursor != "" {
		l.SortKey = []string{cursor}
	}
	return l
}

// CreateTable returns the statement that creates a table. All columns may be
// null and none has a default: a NOT NULL could never be dropped and a default
// forbids widening.
func (c Config) CreateTable(n Name, columns []Column, l Layout) string {
	return c.CreateTableLike(n, n, columns, l)
}

// CreateTableLike returns the statement that creates table n by what the
// configuration says of the table as, whose place n is to take.
func (c Config) CreateTableLike(n, as Name, columns []Column, l Layout) string {
	l, overridden := c.layoutFor(as, l)
	if overridden {
		c.Keys = KeysRules
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", n.SQL())
	for i, col := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", Ident(col.Name), col.Type.SQL())
		switch {
		case c.Keys == KeysAuto:
		case len(l.SortKey) > 0 && l.SortKey[0] == col.Name:
			b.WriteString(" ENCODE raw") // a compressed first sort column makes range scans read too much
		default:
			b.WriteString(" ENCODE " + cmp.Or(col.Encoding, col.Type.encoding()))
		}
	}
	b.WriteString(")" + c.layout(columns, l))
	return b.String()
}

func (c Config) layout(columns []Column, l Layout) string {
	if c.Keys == KeysAuto {
		return " DISTSTYLE AUTO SORTKEY AUTO ENCODE AUTO"
	}
	has := func(name string) bool {
		return slices.ContainsFunc(columns, func(col Column) bool { return col.Name == name && col.Type.Kind != Super })
	}
	out := " DISTSTYLE EVEN"
	switch {
	case l.DistKey != "" && has(l.DistKey):
		out = " DISTKEY (" + Ident(l.DistKey) + ")"
	case l.Style != "":
		out = " DISTSTYLE " + l.Style
	}
	sort := slices.DeleteFunc(slices.Clone(l.SortKey), func(name string) bool { return !has(name) })
	if len(sort) > 0 {
		out += " SORTKEY (" + idents(sort) + ")"
	}
	return out
}

// AddColumn returns the statement that adds a column: Redshift takes one a
// statement.
func (c Config) AddColumn(n Name, col Column) string {
	s := fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", n.SQL(), Ident(col.Name), col.Type.SQL())
	if c.Keys != KeysAuto {
		s += " ENCODE " + col.Type.encoding()
	}
	return s
}

// Widen returns the statement that widens a VARCHAR. Redshift refuses it
// inside a transaction.
func Widen(n Name, column string, to Type) string {
	return fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s", n.SQL(), Ident(column), to.SQL())
}

// CreateSchema returns the statements that create a schema.
func (c Config) CreateSchema(schema string) []string {
	out := []string{"CREATE SCHEMA IF NOT EXISTS " + Ident(schema)}
	for _, g := range c.Grants {
		out = append(out, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", Ident(schema), grantTo(g)))
	}
	return out
}

// GrantTable returns the statements that let those of the configuration read a new
// table.
func (c Config) GrantTable(n Name) []string {
	out := make([]string, len(c.Grants))
	for i, g := range c.Grants {
		out[i] = fmt.Sprintf("GRANT SELECT ON %s TO %s", n.SQL(), grantTo(g))
	}
	return out
}
