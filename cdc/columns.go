package cdc

import "slices"

// pickColumns leaves out what columns.only and columns.except do not want.
// Everything behind the plan reads the columns that are left; pages compare the
// definition of all.
func (p *plan) pickColumns() error {
	c := p.cfg.Columns
	for _, name := range append(slices.Clone(c.Only), c.Except...) {
		if p.rel.index(name) < 0 {
			return refuse("column_missing", "mend columns: in the configuration", "%s has no column %s", p.name, name)
		}
	}
	if len(c.Only)+len(c.Except) == 0 {
		return nil
	}
	p.rel.columns = slices.DeleteFunc(slices.Clone(p.rel.columns), func(col column) bool {
		return slices.Contains(c.Except, col.name) || len(c.Only) > 0 && !slices.Contains(c.Only, col.name)
	})
	if len(p.rel.columns) == 0 {
		return refuse("no_columns", "mend columns: in the configuration", "%s has no column that is read", p.name)
	}
	for _, x := range p.rel.indexes {
		if x.primary && slices.ContainsFunc(x.columns, func(n string) bool { return p.rel.index(n) < 0 }) {
			return refuse("key_missing", "leave the columns of the primary key in", "columns: of %s leaves out a column of its primary key", p.name)
		}
	}
	return nil
}
