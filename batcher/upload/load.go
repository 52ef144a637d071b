package upload

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// load brings Parquet objects into a table.
type load struct {
	conn    *warehouse.Conn
	client  *warehouse.Client // for a new connection, should this one break
	cfg     warehouse.Config
	gate    *warehouse.Gate
	name    warehouse.Name
	id      string
	append  bool
	table   *Table
	columns []warehouse.Column
	started time.Time
	wait    time.Duration                              // of the last transaction for those who hold the table
	pause   func(context.Context, time.Duration) error // between tries of the last transaction
}

// plan looks at what is there. For an append it returns the types of the
// table's columns.
func (l *load) plan(ctx context.Context) (map[string]wire.LakeType, error) {
	res, err := l.conn.Exec(ctx, "SELECT 1 FROM millstream.positions WHERE target = "+warehouse.Literal(l.name.String())+" LIMIT 1")
	if err != nil {
		return nil, err
	}
	if len(res.Rows) > 0 {
		return nil, fmt.Errorf("%s is a table that the loader fills: choose another name by --as", l.name)
	}
	there, err := l.relations(ctx)
	if err != nil {
		return nil, err
	}
	if r := there[l.name.Table]; r.kind == "v" {
		return nil, fmt.Errorf("%s is a view: choose another name by --as, or DROP VIEW %s", l.name, l.name.SQL())
	}
	if !l.append {
		return nil, l.guard(ctx, there)
	}
	if _, ok := there[l.name.Table]; !ok {
		return nil, fmt.Errorf("%s does not exist: upload without --append makes it", l.name)
	}
	all, err := l.conn.Columns(ctx, []warehouse.Name{l.name})
	if err != nil {
		return nil, err
	}
	types := map[string]wire.LakeType{}
	for name, t := range all[l.name] {
		types[name] = lakeType(t)
	}
	return types, nil
}

// lakeType is the type in which values of a column are read from a file; empty
// for one that no file can fill.
func lakeType(t warehouse.Type) wire.LakeType {
	switch t.Kind {
	case warehouse.Varchar, warehouse.TimeOfDay, warehouse.TimeTZ:
		return wire.String
	case warehouse.Numeric:
		return wire.Decimal(t.Precision, t.Scale)
	case warehouse.Super:
		return wire.JSON
	case warehouse.Boolean:
		return wire.Bool
	case warehouse.SmallInt:
		return wire.Int16
	case warehouse.Integer:
		return wire.Int32
	case warehouse.BigInt:
		return wire.Int64
	case warehouse.Real:
		return wire.Float32
	case warehouse.Double:
		return wire.Float64
	case warehouse.Timestamp, warehouse.TimestampTZ:
		return wire.Timestamp
	case warehouse.Date:
		return wire.Date
	default:
		return ""
	}
}

// match compares the names in a file's header with the table's columns.
func match(name warehouse.Name, header []*Column, types map[string]wire.LakeType) error {
	var known []string
	for n := range types {
		known = append(known, n)
	}
	slices.Sort(known)
	for _, c := range header {
		typ, ok := types[c.Name]
		switch {
		case !ok:
			best := config.Nearest(c.Name, known)
			if best != "" {
				best = "; did you mean " + best + "?"
			}
			return fmt.Errorf("%s has no column %s%s (it has %s); upload without --append replaces the table", name, c.Name, best, strings.Join(known, ", "))
		case typ == "":
			return fmt.Errorf("column %s of %s has a type that no CSV file can fill", c.Name, name)
		}
	}
	return nil
}

func (l *load) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if s == "" {
			continue
		}
		if _, err := l.conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// stage copies the parts into a temporary table and counts; empty for a file
// without rows.
func (l *load) stage(ctx context.Context, u *Uploader, parts []part, manifest string) (warehouse.Staging, error) {
	staging := warehouse.Staging{Name: "stg_" + l.id, Columns: l.columns}
	if l.append {
		if err := l.widen(ctx); err != nil {
			return staging, err
		}
	}
	if len(parts) == 0 {
		return warehouse.Staging{}, nil
	}
	var m wire.Manifest
	for _, p := range parts {
		m.Entries = append(m.Entries, wire.ManifestEntry{URL: "s3://" + u.Lake.Store.Bucket() + "/" + p.key, Mandatory: true, Meta: wire.ManifestMeta{ContentLength: p.bytes}})
	}
	body, err := m.Encode()
	if err != nil {
		return staging, err
	}
	if err := u.Lake.Store.Create(ctx, manifest, body); err != nil {
		return staging, fmt.Errorf("put %s: %w", manifest, err)
	}
	statement, err := l.cfg.Copy(staging.Name, u.Lake.Store.Bucket(), manifest)
	if err != nil {
		return staging, err
	}
	if err := l.exec(ctx, staging.Create(), statement); err != nil {
		return staging, err
	}
	res, err := l.conn.Exec(ctx, warehouse.LastCopyCount)
	if err != nil {
		return staging, err
	}
	if len(res.Rows) != 1 || res.Rows[0][0] != strconv.FormatInt(l.table.Rows, 10) {
		return staging, fmt.Errorf("COPY brought %v rows, the file has %d: nothing was changed", res.Rows, l.table.Rows)
	}
	return staging, nil
}

// widen makes room in the table for longer texts; Redshift refuses that in a
// transaction.
func (l *load) widen(ctx context.Context) error {
	for i, c := range l.columns {
		if c.Type.Kind != warehouse.Varchar {
			continue
		}
		if to, needed := warehouse.Widened(c.Type.Width, c.Longest); needed {
			if _, err := l.conn.Exec(ctx, warehouse.Widen(l.name, c.Name, to)); err != nil && !warehouse.SameSize(err) {
				return err
			}
			l.columns[i].Type = to
		}
	}
	return nil
}

// into returns the statement that brings the staged rows into a table.
func (l *load) into(target warehouse.Name, staging warehouse.Staging) string {
	if staging.Name == "" {
		return ""
	}
	return warehouse.Insert{Target: target, Staging: staging}.SQL()
}

func (l *load) history(parts []part) string {
	var bytes int64
	for _, p := range parts {
		bytes += p.bytes
	}
	return warehouse.InsertLoads([]warehouse.Load{{
		ID: l.id, Target: l.name.String(), Kind: "upload", Files: len(parts), Bytes: bytes, Staged: l.table.Rows, Inserted: l.table.Rows, StartedAt: l.started,
	}})
}

// target returns the columns of the table: those that are there, or new ones.
func target(t *Table, existing warehouse.Existing) []warehouse.Column {
	out := make([]warehouse.Column, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = warehouse.Column{Name: c.Name, Lake: c.Type, Longest: c.Longest, Type: warehouse.TargetType(c.Name, c.Type, c.Longest)}
		if typ, ok := existing[c.Name]; ok {
			out[i].Type = typ
		}
	}
	return out
}
