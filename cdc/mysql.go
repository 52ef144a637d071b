package cdc

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mysqlOrigin reads a server of MySQL or MariaDB; a schema is a database of it.
type mysqlOrigin struct {
	source string
	cfg    SourceConfig
	conf   *mysql.Config
	epoch  time.Time // for the monotonic clock
	faults faults

	mu     sync.Mutex // guards what follows
	free   []*mysqlConn
	own    map[*mysqlConn]bool // all that are open
	life   int                 // grows with each connection of the sampler
	server string              // the version

	primary *mysql.Config // where look asks
	sampler *mysqlConn    // look's own, as all that follows; nil until used
	method  basis
	tested  time.Time
	uid     string // of the server
}

func newMySQL(source string, c SourceConfig) (*mysqlOrigin, error) {
	conf, err := mysqlConfig(c, c.DSN.Reveal())
	if err != nil {
		return nil, fmt.Errorf("dsn: %w", err)
	}
	return &mysqlOrigin{source: source, cfg: c, conf: conf, own: map[*mysqlConn]bool{}, primary: conf, epoch: time.Now()}, nil
}

// name is the database that the DSN names; Debezium's member db is each table's own.
func (o *mysqlOrigin) name() string { return o.conf.DBName }

func (o *mysqlOrigin) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.free {
		_ = c.Close() // nothing was written
	}
	o.free = nil
	if o.sampler != nil {
		_ = o.sampler.Close() // likewise
	}
}

// mysqlName is a table's name in SQL.
func mysqlName(rel *relation) string { return qualified(kindMySQL, rel.schema, rel.table) }

// mysqlText is a literal of any text.
func mysqlText(s string) string { return mysqlLiteral(&column{}, s) }

// frame runs f in a read-only transaction that has locked the table's definition
// before there is a snapshot: a statement that reads no row takes the metadata
// lock, and leaves the read view to the one that does.
func (o *mysqlOrigin) frame(ctx context.Context, c *mysqlConn, rel *relation, f func() error) error {
	if err := c.exec(ctx, "START TRANSACTION READ ONLY"); err != nil {
		return err
	}
	if _, err := c.texts(ctx, "SELECT 1 FROM "+mysqlName(rel)+" LIMIT 0"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return c.exec(ctx, "COMMIT")
}

// mysqlPrint hashes the columns; the second column tells when the table was made.
func mysqlPrint(rel *relation) string {
	return "SELECT SHA2(GROUP_CONCAT(CONCAT_WS(':', ordinal_position, column_name, column_type, is_nullable, IFNULL(collation_name, ''), extra) ORDER BY ordinal_position), 256), " +
		"(SELECT create_time FROM information_schema.tables" + mysqlWhere(rel) + ") FROM information_schema.columns" + mysqlWhere(rel)
}

func (o *mysqlOrigin) read(ctx context.Context, p *plan, q query) (*page, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Snapshot)
	defer cancel()
	started := time.Now()
	var pg *page
	err := o.with(ctx, func(c *mysqlConn) error {
		return o.frame(ctx, c, &p.rel, func() error {
			if err := mysqlSame(ctx, c, p); err != nil {
				return err
			}
			var err error
			if pg, err = o.rows(ctx, c, p, q); err != nil || len(q.after) > 0 && pg.full {
				return err
			}
			// The first and the last page of a poll: the metadata lock holds back
			// whoever would make the table anew, until the page is read.
			made, err := mysqlMade(ctx, c, &p.rel, p.rel.rewrite)
			if err == nil && made != p.rel.rewrite {
				err = errChanged
			}
			return err
		})
	})
	if err != nil {
		return nil, mysqlErr("read "+p.name, err)
	}
	pg.at, pg.took = started, time.Since(started)
	return pg, nil
}

// mysqlSame says whether the table is still what was planned.
func mysqlSame(ctx context.Context, c *mysqlConn, p *plan) error {
	rows, err := c.texts(ctx, mysqlPrint(&p.rel))
	if err != nil {
		return err
	}
	if len(rows) != 1 || rows[0][0] != p.rel.print || !madeByID(p.rel.rewrite) && rows[0][1] != p.rel.rewrite {
		return errChanged
	}
	return nil
}

func (o *mysqlOrigin) rows(ctx context.Context, c *mysqlConn, p *plan, q query) (*page, error) {
	st := selectPage(mysqlDialect{}, p, q)
	cols, order := len(p.rel.columns), len(p.order(q.kind))
	pg, enc := &page{}, newEncoder(p)
	err := c.each(ctx, o.comment(p)+st.sql.String(), func(v []driver.Value) error {
		if pg.full {
			return nil // the rest has to be read off the connection
		}
		r, err := mysqlRow(enc, v[:cols])
		if err != nil {
			return err
		}
		if q.kind == queryRange {
			for _, text := range v[cols : cols+order] {
				r.texts = append(r.texts, mysqlPosition(text))
			}
		}
		r.keep, pg.past = v[cols+order] == int64(1), v[cols+order+1] == int64(1)
		if pg.add(r, q) {
			for _, text := range v[cols : cols+order] {
				pg.last = append(pg.last, mysqlPosition(text))
			}
		}
		return nil
	})
	return pg, err
}

// comment tells the server's process list who reads what.
func (o *mysqlOrigin) comment(p *plan) string {
	return "/* " + strings.ReplaceAll(appName+o.source+"/"+p.name+"/"+p.strategy.Name, "*/", "") + " */ "
}

func mysqlRow(enc *encoder, values []driver.Value) (row, error) {
	p := enc.p
	enc.begin()
	for i := range p.rel.columns {
		if err := enc.mysql(&p.rel.columns[i], values[i]); err != nil {
			return row{}, err
		}
	}
	r, err := enc.take("")
	if p.stamp >= 0 && err == nil {
		if text, ok := values[p.stamp].([]byte); ok {
			r.stamp, _ = mysqlMicros(string(text)) // 0 for a date that does not exist
		}
	}
	return r, err
}

// mysqlPosition is the text that bind takes back.
func mysqlPosition(v driver.Value) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case float64:
		return mysqlDouble(v)
	}
	return fmt.Sprint(v)
}

func (o *mysqlOrigin) largest(ctx context.Context, p *plan) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement)
	defer cancel()
	text := ""
	err := o.with(ctx, func(c *mysqlConn) error {
		rows, err := c.texts(ctx, "SELECT MAX("+mysqlDialect{}.ident(p.rel.columns[p.id].name)+") FROM "+mysqlName(&p.rel))
		if err == nil {
			text = rows[0][0]
		}
		return err
	})
	return text, mysqlErr("largest id of "+p.name, err)
}
