package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

const (
	windowRows = 200_000 // of one chain, that are compared at a time
	maxNamed   = 20      // rows of a table that are named
)

// window is a part of a target's rows in one chain.
type window struct {
	from, to int64 // offsets
	files    []lake.File
	optional []lake.File // held when the snapshot was taken, and perhaps loaded since
}

// rowComparer compares the rows of lake and warehouse, chain by chain.
type rowComparer struct {
	*verifier
	conn  *warehouse.Conn
	named map[string]int // by target

	// Of the chain that is read.
	id      lake.ChainID
	windows map[string]*window // by target
	rows    int64              // in windows
}

// compareRows compares (partition, offset) of every row that the snapshot's
// positions cover. Below a position nothing moves, so no transaction is held
// open for it.
func (v *verifier) compareRows(ctx context.Context) error {
	if !v.o.Rows || len(v.stored.positions) == 0 {
		return nil
	}
	conn, err := v.Warehouse.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &rowComparer{verifier: v, conn: conn, named: map[string]int{}}
	for _, id := range sortedChains(v.ends) {
		if ofEvents(id) {
			if err := c.chain(ctx, id); err != nil {
				return fmt.Errorf("compare rows of %s: %w", id, err)
			}
		}
	}
	return c.strays(ctx)
}

// targets are the tables of events that the snapshot has, in order.
func (c *rowComparer) targets() []string {
	var out []string
	for _, target := range slices.Sorted(maps.Keys(c.stored.positions)) {
		source, _, _ := strings.Cut(target, ".")
		mirror := c.stored.origin(target) != ""
		if c.ofSource(source) && source != warehouse.Schema && !mirror && !c.books.changes[source] && !slices.Contains(c.stored.gone, target) {
			out = append(out, target)
		}
	}
	return out
}

func (c *rowComparer) chain(ctx context.Context, id lake.ChainID) error {
	c.id, c.windows, c.rows = id, map[string]*window{}, 0
	first := c.begins[id]
	for _, target := range c.targets() {
		if _, ok := c.stored.positions[target][id]; ok {
			c.windows[target] = &window{from: first, to: first}
		}
	}
	_, err := c.Lake.Walk(ctx, id, first, func(commit lake.Commit) error { return c.take(ctx, commit) })
	var format *lake.FormatError
	if err != nil && !errors.Is(err, lake.ErrChainGap) && !errors.As(err, &format) { // those have been told of
		return err
	}
	for _, target := range slices.Sorted(maps.Keys(c.windows)) {
		w := c.windows[target]
		w.to = max(w.to, c.stored.positions[target][id])
		if err := c.flush(ctx, target, w); err != nil {
			return err
		}
	}
	return nil
}

// take adds a commit's files to the windows of their targets and compares them
// when there are enough.
func (c *rowComparer) take(ctx context.Context, commit lake.Commit) error {
	for _, f := range commit.Files {
		w := c.windows[f.Table]
		source, _, _ := strings.Cut(f.Table, ".")
		if w == nil || !c.wanted(source, f.DT) || c.stored.positions[f.Table][c.id] < commit.Next {
			continue
		}
		switch c.stateOf(c.id, commit, f) {
		case isLoaded:
			w.files = append(w.files, f)
		case isHeld, isSkipped, isDue, isGone:
			w.optional = append(w.optional, f)
		}
		w.to = commit.Next
		c.rows += f.Rows
	}
	if c.rows < windowRows {
		return nil
	}
	c.rows = 0
	for _, target := range slices.Sorted(maps.Keys(c.windows)) {
		if w := c.windows[target]; len(w.files)+len(w.optional) > 0 {
			if err := c.flush(ctx, target, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush compares a window and begins the next one.
func (c *rowComparer) flush(ctx context.Context, target string, w *window) error {
	if w.from >= w.to {
		return nil
	}
	want, maybe, err := c.inLake(ctx, w)
	if err != nil {
		return err
	}
	name, err := warehouse.ParseName(target)
	if err != nil {
		return err
	}
	bounds := fmt.Sprintf(`"_partition" = %d AND "_offset" >= %d AND "_offset" < %d AND "received_at" >= %s AND "received_at" < %s`,
		c.id.Partition, w.from, w.to, warehouse.Time(c.o.From), warehouse.Time(c.end()))
	have, err := c.numbers(ctx, fmt.Sprintf(`SELECT "_offset" FROM %s WHERE %s ORDER BY 1`, name.SQL(), bounds))
	if err != nil {
		return err
	}
	missing := maps.Clone(want)
	for i, at := range have {
		_, wanted := want[at]
		switch {
		case i > 0 && have[i-1] == at:
			c.name(target, "partition %d, offset %d: is in the warehouse more than once", c.id.Partition, at)
		case !wanted && !maybe[at]:
			c.name(target, "partition %d, offset %d: is in the warehouse and in no committed file", c.id.Partition, at)
		}
		delete(missing, at)
	}
	if err := c.missing(ctx, target, w, missing); err != nil {
		return err
	}
	w.from, w.files, w.optional = w.to, nil, nil
	return nil
}

// inLake reads which offsets a window has in the lake, with their files, and
// which of them may or may not be in the warehouse: those of files that are held,
// and any in the place of a file that cannot be read.
func (c *rowComparer) inLake(ctx context.Context, w *window) (want map[int64]string, maybe map[int64]bool, err error) {
	want, maybe = map[int64]string{}, map[int64]bool{}
	for _, f := range w.files {
		err := c.offsets(ctx, c.id, f, func(at int64) { want[at] = f.Key })
		if c.unread(f, err) {
			for at := f.First; at < f.Next; at++ {
				if maybe[at] = true; want[at] == f.Key {
					delete(want, at) // what could be read of it
				}
			}
			continue
		}
		if err != nil {
			return nil, nil, err
		}
	}
	for _, f := range w.optional {
		err := c.offsets(ctx, c.id, f, func(at int64) { maybe[at] = true })
		if err != nil && !c.unread(f, err) {
			return nil, nil, err
		}
	}
	return want, maybe, nil
}

// missing names the rows that the loader has not left out as duplicates.
func (c *rowComparer) missing(ctx context.Context, target string, w *window, rows map[int64]string) error {
	if len(rows) == 0 {
		return nil
	}
	left, err := c.numbers(ctx, fmt.Sprintf(`SELECT offset_ FROM millstream.duplicates WHERE target = %s AND part = %d AND offset_ >= %d AND offset_ < %d`,
		warehouse.Literal(target), c.id.Partition, w.from, w.to))
	if err != nil {
		return err
	}
	for _, at := range left {
		delete(rows, at)
	}
	for _, at := range slices.Sorted(maps.Keys(rows)) {
		c.name(target, "partition %d, offset %d: is missing from the warehouse; it is in %s", c.id.Partition, at, rows[at])
	}
	return nil
}

// strays names rows of no chain, and rows beyond what a chain has. Rows above
// the snapshot's ends may have been committed and loaded since: whatever is in
// the warehouse by now lies below the ends that are read after it.
func (c *rowComparer) strays(ctx context.Context) error {
	for _, target := range c.targets() {
		name, err := warehouse.ParseName(target)
		if err != nil {
			return err
		}
		known := []string{"FALSE"}
		for _, id := range sortedChains(c.ends) {
			if ofEvents(id) {
				known = append(known, fmt.Sprintf(`"_partition" = %d AND "_offset" < %d`, id.Partition, c.ends[id]))
			}
		}
		res, err := c.conn.Exec(ctx, fmt.Sprintf(`SELECT "_partition", "_offset", "id" FROM %s WHERE "received_at" >= %s AND "received_at" < %s
AND ("_partition" IS NULL OR "_offset" IS NULL OR NOT (%s)) ORDER BY 2 DESC LIMIT %d`,
			name.SQL(), warehouse.Time(c.o.From), warehouse.Time(c.end()), strings.Join(known, " OR "), 10*maxNamed))
		if err != nil {
			return err
		}
		for _, row := range res.Rows {
			is, err := c.committed(ctx, row[0], row[1])
			if err != nil {
				return err
			}
			if !is {
				c.name(target, "partition %s, offset %s, id %s: is in the warehouse and in no commit", orNull(row[0]), orNull(row[1]), orNull(row[2]))
			}
		}
	}
	return nil
}

// committed says whether commits have come to an offset by now.
func (c *rowComparer) committed(ctx context.Context, partition, offset string) (bool, error) {
	part, err := strconv.ParseInt(partition, 10, 32)
	if err != nil {
		return false, nil //nolint:nilerr // a row without a partition is nobody's
	}
	at, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		return false, nil //nolint:nilerr // nor is one without an offset
	}
	for id := range c.ends {
		if !ofEvents(id) || id.Partition != int32(part) {
			continue
		}
		if at >= c.ends[id] {
			last, ok, err := c.Lake.Last(ctx, id, -1)
			if err != nil {
				return false, err
			}
			if ok {
				c.ends[id] = max(c.ends[id], last.Next)
			}
		}
		return at < c.ends[id], nil
	}
	return false, nil
}

func orNull(s string) string {
	if s == "" {
		return "NULL"
	}
	return s
}

// name adds a row to the report: the first of each table one by one.
func (c *rowComparer) name(target, format string, args ...any) {
	if c.named[target]++; c.named[target] <= maxNamed {
		c.report.Rows = append(c.report.Rows, target+": "+fmt.Sprintf(format, args...))
	}
	if c.named[target] == 1 {
		c.finding("%s: rows differ", target)
	}
	if c.named[target] == maxNamed+1 {
		c.report.Rows = append(c.report.Rows, target+": and more")
	}
}

func (c *rowComparer) numbers(ctx context.Context, query string) ([]int64, error) {
	res, err := c.conn.Exec(ctx, query)
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(res.Rows))
	for i, row := range res.Rows {
		if out[i], err = strconv.ParseInt(row[0], 10, 64); err != nil {
			return nil, err
		}
	}
	return out, nil
}
