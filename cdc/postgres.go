package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// appName leads the names of our sessions: the sampler leaves them out.
const appName = "millstream-cdc/"

// pgOrigin reads a PostgreSQL database. Pages use nothing that outlives their
// transaction, so that they work behind a pooler in transaction mode.
type pgOrigin struct {
	source string
	cfg    SourceConfig
	conf   *pgconn.Config
	epoch  time.Time // for the monotonic clock

	mu   sync.Mutex // guards idle
	idle []*pgconn.PgConn

	primary *pgconn.Config // where look asks
	replica bool           // pages are read from a standby of it
	sampler *pgconn.PgConn // look's own; nil until used
	method  basis          // found by the self-test
	tested  time.Time
	standby bool // look asks a standby
	system  string
	server  string
	faults  faults
}

func newPostgres(source string, c SourceConfig) (*pgOrigin, error) {
	conf, err := pgconn.ParseConfig(c.DSN.Reveal())
	if err != nil {
		// The parser's message would repeat the DSN.
		return nil, errors.New("dsn: must be postgres://user:password@host:port/database, or host=… user=… dbname=…")
	}
	conf.ConnectTimeout = c.Connections.Timeout
	conf.RuntimeParams["application_name"] = appName + source
	conf.RuntimeParams["client_encoding"] = "UTF8"
	o := &pgOrigin{source: source, cfg: c, conf: conf, primary: conf, epoch: time.Now()}
	if c.HorizonDSN != "" {
		if o.primary, err = pgconn.ParseConfig(c.HorizonDSN.Reveal()); err != nil {
			return nil, errors.New("horizon_dsn: must be postgres://user:password@host:port/database, or host=… user=… dbname=…")
		}
		o.replica, o.primary.ConnectTimeout = true, c.Connections.Timeout
		maps.Copy(o.primary.RuntimeParams, conf.RuntimeParams)
	}
	return o, nil
}

func (o *pgOrigin) name() string { return o.conf.Database }

func (o *pgOrigin) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.idle {
		closeConn(c)
	}
	o.idle = nil
	if o.sampler != nil {
		closeConn(o.sampler)
	}
}

func closeConn(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // its transaction, if any, ends with it
}

func (o *pgOrigin) connect(ctx context.Context, conf *pgconn.Config) (*pgconn.PgConn, error) {
	c, err := pgconn.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("connect to %s:%d: %w", conf.Host, conf.Port, err)
	}
	return c, nil
}

// with lends a connection; one that f leaves in a transaction is closed.
func (o *pgOrigin) with(ctx context.Context, f func(*pgconn.PgConn) error) error {
	o.mu.Lock()
	var c *pgconn.PgConn
	if n := len(o.idle); n > 0 {
		c, o.idle = o.idle[n-1], o.idle[:n-1]
	}
	o.mu.Unlock()
	if c == nil {
		var err error
		if c, err = o.connect(ctx, o.conf); err != nil {
			return err
		}
	}
	err := o.await(ctx, c)
	if err == nil {
		err = f(c)
	}
	if err != nil && !c.IsClosed() && c.TxStatus() != 'I' {
		_, _ = c.Exec(ctx, "ROLLBACK").ReadAll() // what fails here is closed below
	}
	if c.IsClosed() || c.TxStatus() != 'I' {
		closeConn(c)
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.idle = append(o.idle, c)
	return err
}

// frame begins a transaction whose snapshot is taken by its first SELECT, and
// locks the table before that: through an older snapshot a rewritten or
// truncated table is empty, not old.
func (o *pgOrigin) frame(table, schema, name string) string {
	t := o.cfg.Timeouts
	app := appName + o.source + "/" + table
	var b strings.Builder
	b.WriteString("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ")
	set := func(k, v string) { fmt.Fprintf(&b, "SET LOCAL %s = %s; ", k, quoteLiteral(v)) }
	set("statement_timeout", millis(t.Statement))
	set("lock_timeout", millis(t.Lock))
	set("idle_in_transaction_session_timeout", millis(t.Idle))
	set("row_security", "off")
	set("jit", "off")
	set("timezone", "UTC")
	set("datestyle", "ISO, YMD")
	set("intervalstyle", "iso_8601")
	set("extra_float_digits", "1")
	set("bytea_output", "hex")
	set("application_name", app)
	if name != "" && !o.faults.unlockedPage {
		fmt.Fprintf(&b, "LOCK TABLE %s.%s IN ACCESS SHARE MODE", quoteIdent(schema), quoteIdent(name))
	}
	return b.String()
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// pagePrint is what a page compares with its plan: identity, file node, columns,
// and the leaves of a partitioned table with their file nodes, since ATTACH does
// not wait for a page's lock.
const pagePrint = `SELECT c.oid = to_regclass($2), pg_relation_filenode(c.oid), encode(sha256(convert_to(string_agg(concat_ws(':', a.attnum, a.attname, a.atttypid,
  a.atttypmod, a.attnotnull, a.attcollation, a.attgenerated), ',' ORDER BY a.attnum), 'UTF8')), 'hex'),
  CASE WHEN c.relkind = 'p' THEN (SELECT string_agg(concat(t.relid::oid, ':', pg_relation_filenode(t.relid)), ',' ORDER BY t.relid::oid)
    FROM pg_partition_tree(c.oid) t WHERE t.isleaf) END
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.oid = $1 AND a.attnum > 0 AND NOT a.attisdropped GROUP BY c.oid, c.relkind`

func (o *pgOrigin) read(ctx context.Context, p *plan, q query) (*page, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Snapshot)
	defer cancel()
	started := time.Now()
	var pg *page
	err := o.with(ctx, func(c *pgconn.PgConn) error {
		if _, err := c.Exec(ctx, o.frame(p.name+"/"+p.strategy.Name, p.rel.schema, p.rel.table)).ReadAll(); err != nil {
			return err
		}
		var err error
		pg, err = o.batch(ctx, c, p, q)
		return err
	})
	if err != nil {
		return nil, pgErr("read "+p.name, err)
	}
	pg.at, pg.took = started, time.Since(started)
	return pg, nil
}

// batch reads fingerprint and page and ends the transaction, in one round trip.
func (o *pgOrigin) batch(ctx context.Context, c *pgconn.PgConn, p *plan, q query) (*page, error) {
	qualified := quoteIdent(p.rel.schema) + "." + quoteIdent(p.rel.table)
	st := selectPage(pgDialect{o.faults}, p, q)
	params, formats := pgParams(st), pgFormats(p, q)
	var b pgconn.Batch
	b.ExecParams(pagePrint, [][]byte{[]byte(p.oid()), []byte(qualified)}, []uint32{26, 25}, nil, nil)
	b.ExecParams(st.sql.String(), params, st.oids, nil, formats)
	b.ExecParams("COMMIT", nil, nil, nil, nil)
	res := c.ExecBatch(ctx, &b)
	same := res.NextResult() && samePrint(res.ResultReader(), p)
	var pg *page
	var err error
	if res.NextResult() {
		pg, err = pgRows(res.ResultReader(), p, q)
	}
	closed := res.Close()
	switch {
	case closed != nil:
		return nil, closed
	case !same:
		return nil, errChanged
	}
	return pg, err
}

// samePrint says whether the table is still what was planned.
func samePrint(r *pgconn.ResultReader, p *plan) bool {
	same := false
	for r.NextRow() {
		v := r.Values()
		same = string(v[0]) == "t" && string(v[1]) == p.rel.rewrite && string(v[2]) == p.rel.print && string(v[3]) == strings.Join(p.rel.leaves, ",")
	}
	return same
}

func pgRows(r *pgconn.ResultReader, p *plan, q query) (*page, error) {
	pg, enc := &page{}, newEncoder(p)
	cols, order := len(p.rel.columns), len(p.order(q.kind))
	if q.kind == queryXmin && q.blocks > 0 {
		pg.full, pg.last, pg.looked = true, []string{strconv.FormatInt(q.block+q.blocks, 10)}, q.limit
	}
	var failed error
	for r.NextRow() {
		if failed != nil || pg.full && q.kind != queryXmin {
			continue // the rest has to be read off the connection
		}
		v := r.Values()
		enc.begin()
		for i := range p.rel.columns {
			enc.postgres(&p.rel.columns[i], v[i])
		}
		row, err := enc.take(string(v[cols]))
		if err != nil {
			failed = err
			continue
		}
		row.xmin, _ = strconv.ParseInt(row.version, 10, 64) // a partition's foreign table has none
		if p.stamp >= 0 {
			row.stamp = pgStampMicros(&p.rel.columns[p.stamp], v[p.stamp])
		}
		pos := v[cols+1:]
		row.keep, pg.past = string(pos[order]) == "t", string(pos[order+1]) == "t"
		if q.kind == queryXmin {
			pg.rows = append(pg.rows, row) // a range of blocks is read to its end
			continue
		}
		if q.kind == queryRange {
			row.texts = texts(pos[:order])
		}
		if pg.add(row, q) {
			for _, text := range pos[:order] {
				pg.last = append(pg.last, string(text))
			}
		}
	}
	return pg, failed
}

// pgStampMicros is a stamp in microseconds since 1970, 0 where it has none.
func pgStampMicros(c *column, raw []byte) int64 {
	switch {
	case raw == nil:
		return 0
	case c.dateOnly:
		return (pgInt(raw) + pgEpochDays) * dayMicros
	}
	v := pgInt(raw)
	if v > int64(clampHighDay)*dayMicros-pgEpochMicros || v < int64(clampLowDay)*dayMicros-pgEpochMicros {
		return 0
	}
	return v + pgEpochMicros
}

// largest reads the greatest id; of a plan by xmin, the number of blocks.
func (o *pgOrigin) largest(ctx context.Context, p *plan) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement)
	defer cancel()
	text := ""
	err := o.with(ctx, func(c *pgconn.PgConn) error {
		var rows [][][]byte
		var err error
		if p.strategy.Kind == kindXmin {
			rows, err = pgQuery(ctx, c, heapBlocks, p.oid())
		} else {
			rows, err = pgQuery(ctx, c, fmt.Sprintf("SELECT max(%s)::text FROM %s.%s", quoteIdent(p.rel.columns[p.id].name), quoteIdent(p.rel.schema), quoteIdent(p.rel.table)))
		}
		if err == nil && len(rows) > 0 {
			text = string(rows[0][0])
		}
		return err
	})
	return text, pgErr("largest of "+p.name, err)
}

// oid is PostgreSQL's identity of the table.
func (p *plan) oid() string {
	_, oid, _ := strings.Cut(p.rel.identity, "/")
	return oid
}

// pgQuery reads a small answer in text.
func pgQuery(ctx context.Context, c *pgconn.PgConn, sql string, args ...string) ([][][]byte, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	r := c.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	return r.Rows, r.Err
}

// pgErr sorts the server's errors. What is left as it is means that the
// origin is away.
func pgErr(doing string, err error) error {
	var (
		e *pgconn.PgError
		r *refusal
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return r
	case !errors.As(err, &e):
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch e.Code {
	case "57014", "55P03", "40001", "40P01": // cancelled, lock timeout, conflicts
		return fmt.Errorf("%s: %w: %w", doing, errBusy, err)
	case "42P01", "42703", "3F000", "0A000": // the table or a column is gone, or a cached plan is
		return fmt.Errorf("%s: %w: %w", doing, errChanged, err)
	case "42501":
		return refuse("grant_missing", "GRANT USAGE ON SCHEMA … and GRANT SELECT ON … TO the role, and BYPASSRLS or no row security", "%s: %s", doing, e.Message)
	}
	switch e.Code[:2] {
	case "08", "28", "3D", "53", "57", "58":
		return fmt.Errorf("%s: %w", doing, err)
	}
	return refuse("origin_error", "see the server's log", "%s: %s (SQLSTATE %s)", doing, e.Message, e.Code)
}

// pgDialect writes PostgreSQL's SELECTs. Positions and parameters are the
// server's own texts, passed back with the column's type.
type pgDialect struct{ faults faults }

func (pgDialect) bind(b *statement, c *column, text string) string {
	b.values, b.oids = append(b.values, text), append(b.oids, c.oid)
	return "$" + strconv.Itoa(len(b.values))
}

func (pgDialect) text(c *column) string { return quoteIdent(c.name) + "::text" }

func (pgDialect) version() string { return "xmin::text" }

func (pgDialect) ident(name string) string { return quoteIdent(name) }

func (d pgDialect) compare(b *statement, op string, cols []*column, texts []string) string {
	return compareRows(d, b, op, cols, texts)
}

func (d pgDialect) from(b *statement, c *column, t time.Time) string {
	layout := "2006-01-02 15:04:05.999999+00"
	if c.dateOnly {
		layout = "2006-01-02"
	}
	return quoteIdent(c.name) + " >= " + d.bind(b, c, t.UTC().Format(layout))
}
