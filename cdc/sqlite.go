package cdc

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// sqliteOrigin reads a SQLite file. Pages go through read-only handles; the
// sampler's handle is writable, for taking the write lock and giving it back.
type sqliteOrigin struct {
	cfg    SourceConfig
	file   string
	pages  *sql.DB
	writer *sql.DB
	epoch  time.Time // for the monotonic clock
}

func newSQLite(c SourceConfig) (*sqliteOrigin, error) {
	file, err := sqliteFile(c.DSN.Reveal())
	if err != nil {
		return nil, err
	}
	o := &sqliteOrigin{cfg: c, file: file, epoch: time.Now()}
	open := func(mode string, conns int, pragmas ...string) (*sql.DB, error) {
		pragmas = append(pragmas, fmt.Sprintf("busy_timeout(%d)", c.Timeouts.Lock.Milliseconds()))
		u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: url.Values{"mode": {mode}, "_pragma": pragmas}.Encode()}
		db, err := sql.Open("sqlite", u.String())
		if err == nil {
			db.SetMaxOpenConns(conns)
			db.SetMaxIdleConns(conns)
		}
		return db, err
	}
	if o.pages, err = open("ro", c.Connections.Max, "query_only(1)"); err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	if o.writer, err = open("rw", 1); err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	return o, nil
}

// sqliteFile takes the path out of file:/path?options or a plain path.
func sqliteFile(dsn string) (string, error) {
	rest, isURI := strings.CutPrefix(dsn, "file:")
	if !isURI {
		return dsn, nil
	}
	rest, _, _ = strings.Cut(rest, "?")
	path, err := url.PathUnescape(strings.TrimPrefix(rest, "//"))
	if err != nil || path == "" {
		return "", errors.New("dsn: must be a path or file:/path/shop.db")
	}
	return path, nil
}

func (o *sqliteOrigin) name() string {
	return strings.TrimSuffix(filepath.Base(o.file), filepath.Ext(o.file))
}

func (o *sqliteOrigin) close() {
	_ = o.pages.Close()  // nothing was written through either handle
	_ = o.writer.Close() // nor is there anybody to tell
}

// look takes and gives back the write lock: at that moment no writing
// transaction is open, so whatever commits later takes the lock after t0.
func (o *sqliteOrigin) look(ctx context.Context) (reading, error) {
	now := time.Now()
	r := reading{t0: now.UTC().Truncate(time.Microsecond), mono: now.Sub(o.epoch), basis: basisLock, server: "sqlite"}
	if o.cfg.Horizon.Method == string(basisLookback) {
		r.basis = basisLookback
		return r, nil
	}
	conn, err := o.writer.Conn(ctx)
	if err == nil {
		defer func() { _ = conn.Close() }() // it goes back to the pool
		if _, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err == nil {
			_, err = conn.ExecContext(ctx, "ROLLBACK")
		}
	}
	if o.cfg.Horizon.Method == "auto" && (sqliteCode(err) == sqliteReadonly || sqliteCode(err) == sqliteCantOpen) {
		r.basis = basisLookback // the file can only be read
		return r, nil
	}
	return r, sqliteErr("take the write lock", err)
}

// SQLite's primary result codes (sqlite.org/rescode.html).
const (
	sqliteBusy     = 5
	sqliteLocked   = 6
	sqliteReadonly = 8
	sqliteCantOpen = 14
)

func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func sqliteErr(doing string, err error) error {
	switch sqliteCode(err) {
	case 0:
		if err == nil {
			return nil
		}
	case sqliteBusy, sqliteLocked:
		return fmt.Errorf("%s: %w: %w", doing, errBusy, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (o *sqliteOrigin) describe(ctx context.Context, schema, table string, stamps []string) (relation, error) {
	if schema != "main" {
		return relation{}, refuse("table_missing", "write main."+table, "SQLite has no schema %s", schema)
	}
	tx, err := o.pages.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return relation{}, sqliteErr("begin", err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	var kind string
	err = tx.QueryRowContext(ctx, `SELECT type FROM sqlite_schema WHERE name = ? AND type IN ('table', 'view')`, table).Scan(&kind)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return relation{}, refuse("table_missing", "create it, or mend its name in the configuration", "there is no table %s in %s", table, o.file)
	case err != nil:
		return relation{}, sqliteErr("describe "+table, err)
	case kind == "view":
		return relation{}, refuse("not_a_table", "name its tables", "%s is a view", table)
	}
	rel := relation{schema: schema, table: table}
	var pk []string
	if rel.columns, pk, rel.print, err = sqliteColumns(ctx, tx, table); err != nil {
		return rel, sqliteErr("describe "+table, err)
	}
	if len(pk) > 0 {
		rel.indexes = append(rel.indexes, index{columns: pk, unique: true, primary: true})
	}
	if err := sqliteIndexes(ctx, tx, &rel); err != nil {
		return rel, sqliteErr("indexes of "+table, err)
	}
	for _, stamp := range stamps {
		if i := rel.index(stamp); i >= 0 {
			if err := sqliteStampClass(ctx, tx, &rel, i); err != nil {
				return rel, err
			}
		}
	}
	return rel, nil
}

func sqliteColumns(ctx context.Context, tx *sql.Tx, table string) (cols []column, pk []string, print string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT name, type, "notnull", coalesce(dflt_value, ''), pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid`, table)
	if err != nil {
		return nil, nil, "", err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	hash := sha256.New()
	places := map[int]string{}
	for rows.Next() {
		var (
			name, declared, dflt string
			notNull              bool
			place, hidden        int
		)
		if err := rows.Scan(&name, &declared, &notNull, &dflt, &place, &hidden); err != nil {
			return nil, nil, "", err
		}
		fmt.Fprintf(hash, "%q %q %t %q %d %d\n", name, declared, notNull, dflt, place, hidden)
		if hidden == 1 {
			continue // of a virtual table: no part of its rows
		}
		c := sqliteColumn(name, declared)
		c.notNull = notNull
		c.filled = hidden > 1 || dflt != "" && !strings.EqualFold(dflt, "NULL")
		cols = append(cols, c)
		if place > 0 {
			places[place] = name
		}
	}
	for i := 1; i <= len(places); i++ {
		pk = append(pk, places[i])
	}
	return cols, pk, hex.EncodeToString(hash.Sum(nil)), rows.Err()
}

func sqliteIndexes(ctx context.Context, tx *sql.Tx, rel *relation) error {
	rows, err := tx.QueryContext(ctx, `SELECT l.name, l."unique", i.name FROM pragma_index_list(?) l, pragma_index_info(l.name) i WHERE l.partial = 0 ORDER BY l.name, i.seqno`, rel.table)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	last := ""
	for rows.Next() {
		var (
			name   string
			unique bool
			col    sql.NullString // NULL is an expression or the rowid
		)
		if err := rows.Scan(&name, &unique, &col); err != nil {
			return err
		}
		if name != last {
			rel.indexes, last = append(rel.indexes, index{unique: unique}), name
		}
		x := &rel.indexes[len(rel.indexes)-1]
		x.columns = append(x.columns, col.String)
	}
	return rows.Err()
}

// sqliteStampClass finds out whether stamps are texts or unix seconds: all
// numbers sort below all texts, so a column that holds both has no order.
func sqliteStampClass(ctx context.Context, tx *sql.Tx, rel *relation, i int) error {
	c := &rel.columns[i]
	least, greatest, err := sqliteClasses(ctx, tx, rel.table, c.name)
	if err != nil {
		return sqliteErr("stamps of "+rel.table, err)
	}
	switch {
	case least == "blob" || greatest == "blob" || least != greatest:
		return refuse("cursor_format", "store all of them as ISO 8601 text in UTC or all as unix seconds", "%s.%s holds %s and %s", rel.table, c.name, least, greatest)
	case least == "number":
		c.integer = true
	case least == "":
		c.integer = c.kind == valueInt
	}
	if c.cursor == cursorInteger || c.kind == valueText {
		c.cursor = cursorStamp // stamps of these types are common, and checked page by page
	}
	return nil
}

// sqliteClasses returns number, text, blob or "" of an empty column.
func sqliteClasses(ctx context.Context, tx *sql.Tx, table, col string) (least, greatest string, err error) {
	text := fmt.Sprintf(`SELECT (SELECT typeof(min(%[1]s)) FROM %[2]s), (SELECT typeof(max(%[1]s)) FROM %[2]s)`, quoteIdent(col), quoteIdent(table))
	err = tx.QueryRowContext(ctx, text).Scan(&least, &greatest)
	class := map[string]string{"integer": "number", "real": "number", "text": "text", "blob": "blob", "null": ""}
	return class[least], class[greatest], err
}

func (o *sqliteOrigin) largest(ctx context.Context, p *plan) (string, error) {
	var v sql.NullInt64
	text := fmt.Sprintf(`SELECT max(%s) FROM %s`, quoteIdent(p.rel.columns[p.id].name), quoteIdent(p.rel.table))
	if err := o.pages.QueryRowContext(ctx, text).Scan(&v); err != nil {
		return "", sqliteErr("largest id of "+p.name, err)
	}
	if !v.Valid {
		return "", nil
	}
	return strconv.FormatInt(v.Int64, 10), nil
}

func (o *sqliteOrigin) read(ctx context.Context, p *plan, q query) (*page, error) {
	started := time.Now()
	var pg *page
	err := o.inside(ctx, p, func(ctx context.Context, tx *sql.Tx) error {
		var err error
		pg, err = o.rows(ctx, tx, p, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	pg.at, pg.took = started, time.Since(started)
	return pg, nil
}

// inside runs f in a read transaction, if the table is what the plan says.
func (o *sqliteOrigin) inside(ctx context.Context, p *plan, f func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Snapshot)
	defer cancel()
	return o.insideFor(ctx, p, f)
}

// insideFor is inside for as long as ctx lasts.
func (o *sqliteOrigin) insideFor(ctx context.Context, p *plan, f func(context.Context, *sql.Tx) error) error {
	tx, err := o.pages.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return sqliteErr("begin", err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	_, _, print, err := sqliteColumns(ctx, tx, p.rel.table)
	if err != nil {
		return sqliteErr("describe "+p.name, err)
	}
	if print != p.rel.print {
		return errChanged
	}
	if p.stamp >= 0 {
		c := &p.rel.columns[p.stamp]
		least, greatest, err := sqliteClasses(ctx, tx, p.rel.table, c.name)
		if err != nil {
			return sqliteErr("stamps of "+p.name, err)
		}
		want := map[bool]string{true: "number", false: "text"}[c.integer]
		if least != "" && least != want || greatest != "" && greatest != want {
			return errChanged // planned anew, which refuses a mixture
		}
	}
	return f(ctx, tx)
}

func (o *sqliteOrigin) rows(ctx context.Context, tx *sql.Tx, p *plan, q query) (*page, error) {
	b := selectPage(sqliteDialect{}, p, q)
	args := make([]any, len(b.values))
	for i, v := range b.values {
		args[i] = parseSQLiteLiteral(v)
	}
	rows, err := tx.QueryContext(ctx, b.sql.String(), args...)
	if err != nil {
		return nil, sqliteErr("read "+p.name, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	cols, order := len(p.rel.columns), len(p.order(q.kind))
	values := make([]any, cols+order+2)
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	pg, enc := &page{}, newEncoder(p)
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, sqliteErr("read "+p.name, err)
		}
		r, err := sqliteRow(enc, values[:cols])
		if err != nil {
			return nil, err
		}
		if q.kind == queryRange {
			for _, v := range values[cols : cols+order] {
				r.texts = append(r.texts, sqliteLiteral(v))
			}
		}
		r.keep = values[cols+order] == int64(1)
		pg.past = values[cols+order+1] == int64(1)
		if pg.add(r, q) {
			for _, v := range values[cols : cols+order] {
				pg.last = append(pg.last, sqliteLiteral(v))
			}
			break
		}
	}
	return pg, sqliteErr("read "+p.name, rows.Err())
}

// sqliteRow encodes a row. A stamp whose text does not sort by time ends the
// table, since rows would be missed.
func sqliteRow(enc *encoder, values []any) (row, error) {
	p := enc.p
	enc.begin()
	var stamp time.Time
	for i := range p.rel.columns {
		enc.sqlite(&p.rel.columns[i], values[i])
		if i == p.stamp && values[i] != nil {
			t, ok := sqliteStamp(&p.rel.columns[i], values[i])
			if !ok {
				return row{}, refuse("cursor_format", "store stamps as ISO 8601 text in UTC or as unix seconds", "%s.%s holds %s, which does not sort by time", p.name, p.rel.columns[i].name, toldSQLite(values[i]))
			}
			stamp = t
		}
	}
	r, err := enc.take("")
	if !stamp.IsZero() {
		r.stamp = stamp.UnixMicro()
	}
	return r, err
}
