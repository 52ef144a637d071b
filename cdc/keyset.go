package cdc

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// queryKind is what a page reads.
type queryKind int

const (
	queryStamp  queryKind = iota // stamps from lo on, by stamp and key
	queryID                      // ids above cursor, by id
	queryLoad                    // rows by key, behind above and up to upTo
	queryXmin                    // postgres: row versions since the transaction cursor, by blocks
	queryRange                   // keys from above on and below upTo, by key
	queryRows                    // rows with these keys
	queryHeap                    // every row as it lies, of a table without a key; see streamer
	queryNulls                   // rows without a stamp, by key
	queryWindow                  // a column from lo (stamps) or floor (integers) on, by it and key
)

// query asks for a page.
type query struct {
	kind   queryKind
	lo     time.Time // stamps from here on
	floor  string    // queryWindow of integers: values from here on; "" for all
	after  []string  // position: the last row's cursor and key in the origin's text
	above  []string  // queryLoad: keys behind this one, unless after tells more; of its first columns
	upTo   []string  // queryLoad: keys up to this one; nil for all
	cursor string    // ids above it; "" for all
	keep   time.Time // rows from this stamp on, or above keepID, will be read again
	keepID string
	until  time.Time  // a full page that ends beyond this stamp is the last one
	top    string     // queryWindow of integers: or beyond this value; "" for none
	block  int64      // queryXmin: the first block
	blocks int64      // and how many; 0 for all that follow
	limit  int        // 0: all
	bytes  int64      // a page that has so many ends there; 0: no bound
	skip   int        // rows that are passed over
	keys   [][]string // queryRows: the keys in the origin's text
}

// dialect is what differs between origins in the text of a page's SELECT.
type dialect interface {
	// bind appends a parameter that is compared with c and returns its placeholder.
	bind(b *statement, c *column, text string) string
	// from is the condition that the stamp c shows a moment at or after t.
	from(b *statement, c *column, t time.Time) string
	// text is the column as the text that bind takes back.
	text(c *column) string
	// version is the expression of the row's version, or "" to hash the row.
	version() string
	// ident quotes a name.
	ident(name string) string
	// compare is the condition that the columns, read as one value with the
	// first weighing most, are op (>, >=, < or <=) the texts: in the form that an
	// index serves.
	compare(b *statement, op string, cols []*column, texts []string) string
}

// heapDialect is PostgreSQL's, whose rows say which transaction wrote them.
type heapDialect interface {
	// heap are the conditions of a range of blocks.
	heap(b *statement, q query) []string
	// since is the condition that a row was written by transaction xid or later.
	since(b *statement, xid string) string
}

// compareRows compares rows as values, which PostgreSQL and SQLite serve from an index.
func compareRows(d dialect, b *statement, op string, cols []*column, texts []string) string {
	names, marks := make([]string, len(cols)), make([]string, len(cols))
	for i, c := range cols {
		names[i], marks[i] = d.ident(c.name), d.bind(b, c, texts[i])
	}
	if len(cols) == 1 {
		return names[0] + " " + op + " " + marks[0]
	}
	return fmt.Sprintf("(%s) %s (%s)", strings.Join(names, ", "), op, strings.Join(marks, ", "))
}

// statement is a SELECT under construction. It can build nothing but SELECTs.
type statement struct {
	sql    strings.Builder
	values []string
	oids   []uint32
}

// selectPage builds a page: the columns in order, then version, position and
// the flags keep and past.
func selectPage(d dialect, p *plan, q query) *statement {
	b := &statement{}
	rel := &p.rel
	b.sql.WriteString("SELECT ")
	for i := range rel.columns {
		c := &rel.columns[i]
		if c.expr != "" {
			b.sql.WriteString(c.expr)
		} else {
			b.sql.WriteString(d.ident(c.name))
		}
		b.sql.WriteString(", ")
	}
	if v := d.version(); v != "" {
		b.sql.WriteString(v + ", ")
	}
	order := p.order(q.kind)
	for _, c := range order {
		b.sql.WriteString(d.text(c) + ", ")
	}
	keep, past := flags(d, b, p, q)
	fmt.Fprintf(&b.sql, "%s, %s FROM %s.%s AS t", keep, past, d.ident(rel.schema), d.ident(rel.table))
	if where := conditions(d, b, p, q, order); len(where) > 0 {
		b.sql.WriteString(" WHERE " + strings.Join(where, " AND "))
	}
	if len(order) == 0 && q.kind != queryHeap {
		return b
	}
	names := make([]string, len(order))
	for i, c := range order {
		names[i] = "t." + d.ident(c.name) // the position's columns have the same names
	}
	if len(names) > 0 {
		fmt.Fprintf(&b.sql, " ORDER BY %s", strings.Join(names, ", "))
	}
	if q.limit > 0 {
		fmt.Fprintf(&b.sql, " LIMIT %d", q.limit)
	}
	if q.skip > 0 {
		fmt.Fprintf(&b.sql, " OFFSET %d", q.skip)
	}
	return b
}

// order is what pages of a kind are sorted by; the last row's values are the position.
func (p *plan) order(kind queryKind) []*column {
	var out []*column
	first := -1
	switch kind {
	case queryID:
		return append(out, &p.rel.columns[p.id])
	case queryStamp:
		first = p.stamp
	case queryWindow:
		first = p.window()
	case queryXmin:
		return nil
	case queryLoad, queryRange, queryRows, queryNulls, queryHeap:
	}
	if first >= 0 {
		out = append(out, &p.rel.columns[first])
	}
	for _, k := range p.key {
		if k != first {
			out = append(out, &p.rel.columns[k])
		}
	}
	return out
}

// window is the column of a window: a stamp, else an integer.
func (p *plan) window() int {
	if p.stamp >= 0 {
		return p.stamp
	}
	return p.id
}

func conditions(d dialect, b *statement, p *plan, q query, order []*column) []string {
	var where []string
	switch q.kind {
	case queryStamp:
		where = append(where, d.from(b, &p.rel.columns[p.stamp], q.lo))
	case queryWindow:
		if p.stamp >= 0 {
			where = append(where, d.from(b, &p.rel.columns[p.stamp], q.lo))
		} else if q.floor != "" {
			where = append(where, d.compare(b, ">=", order[:1], []string{q.floor}))
		}
	case queryXmin:
		where = d.(heapDialect).heap(b, q)
	case queryNulls:
		where = append(where, d.ident(p.rel.columns[p.stamp].name)+" IS NULL")
	case queryID:
		if q.cursor != "" && len(q.after) == 0 {
			where = append(where, d.compare(b, ">", order[:1], []string{q.cursor}))
		}
	case queryRange:
		if len(q.above) > 0 {
			where = append(where, d.compare(b, ">=", order, q.above))
		}
		if len(q.upTo) > 0 {
			where = append(where, d.compare(b, "<", order, q.upTo))
		}
	case queryRows:
		where = append(where, anyOf(d, b, order, q.keys))
	case queryLoad:
		if len(q.above) > 0 && len(q.after) == 0 {
			where = append(where, d.compare(b, ">", order[:len(q.above)], q.above))
		}
		if len(q.upTo) > 0 {
			where = append(where, d.compare(b, "<=", order[:len(q.upTo)], q.upTo))
		}
	case queryHeap:
	}
	if len(q.after) > 0 && q.kind != queryXmin {
		where = append(where, d.compare(b, ">", order, q.after))
	}
	if p.cfg.Rows.Where != "" {
		where = append(where, "("+p.cfg.Rows.Where+")")
	}
	return where
}

// anyOf is the condition that the columns are one of the keys.
func anyOf(d dialect, b *statement, cols []*column, keys [][]string) string {
	if len(cols) == 1 {
		marks := make([]string, len(keys))
		for i, k := range keys {
			marks[i] = d.bind(b, cols[0], k[0])
		}
		return d.ident(cols[0].name) + " IN (" + strings.Join(marks, ", ") + ")"
	}
	either := make([]string, len(keys))
	for i, k := range keys {
		all := make([]string, len(cols))
		for n, c := range cols {
			all[n] = d.ident(c.name) + " = " + d.bind(b, c, k[n])
		}
		either[i] = "(" + strings.Join(all, " AND ") + ")"
	}
	return "(" + strings.Join(either, " OR ") + ")"
}

// selectDigest builds the digest of a range: the number of its rows, and expr.
func selectDigest(d dialect, p *plan, q query, expr string) *statement {
	b := &statement{}
	fmt.Fprintf(&b.sql, "SELECT count(*), %s FROM %s.%s", expr, d.ident(p.rel.schema), d.ident(p.rel.table))
	if where := conditions(d, b, p, q, p.order(q.kind)); len(where) > 0 {
		b.sql.WriteString(" WHERE " + strings.Join(where, " AND "))
	}
	return b
}

// flags are two conditions on each row that only the origin can compare exactly.
func flags(d dialect, b *statement, p *plan, q query) (keep, past string) {
	keep, past = "1=0", "1=0"
	if q.kind == queryXmin {
		return d.(heapDialect).since(b, q.keepID), past
	}
	if q.kind == queryNulls {
		return "1=1", past // the next poll reads them again
	}
	var keeps []string
	polls := q.kind == queryStamp || q.kind == queryID
	if q.kind == queryStamp || q.kind == queryWindow && p.stamp >= 0 {
		stamp := &p.rel.columns[p.stamp]
		if polls {
			keeps = append(keeps, d.from(b, stamp, q.keep))
		}
		past = d.from(b, stamp, q.until)
	} else if q.kind == queryWindow && q.top != "" {
		past = d.compare(b, ">", []*column{&p.rel.columns[p.id]}, []string{q.top})
	}
	if polls && p.id >= 0 {
		if id := &p.rel.columns[p.id]; q.keepID != "" {
			keeps = append(keeps, d.compare(b, ">", []*column{id}, []string{q.keepID}))
		} else {
			keeps = append(keeps, "1=1")
		}
	}
	if len(keeps) > 0 {
		keep = "(" + strings.Join(keeps, " OR ") + ")"
	}
	return keep, "(" + past + ")"
}

// evenBorders cuts the integers between two into n parts of the same width.
// Borders are the last values of all parts but the last.
func evenBorders(lo, hi int64, n int) []string {
	width := uint64(hi-lo)/uint64(n) + 1 //nolint:gosec // wraps to the distance
	var out []string
	for i := 1; i < n; i++ {
		at := lo + int64(width*uint64(i)) - 1 //nolint:gosec // within the distance, but for the last ones
		if at >= hi || at < lo {
			break
		}
		out = append(out, strconv.FormatInt(at, 10))
	}
	return out
}

func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
