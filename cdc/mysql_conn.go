package cdc

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mysqlDriver is what is used of a driver's connection: statements without
// parameters, which go in the text protocol.
type mysqlDriver interface {
	driver.QueryerContext
	driver.ExecerContext
	driver.SessionResetter
	driver.Validator
	io.Closer
}

// mysqlConn is a session with the settings that pages and samples rely on.
type mysqlConn struct {
	mysqlDriver
	id    int64 // CONNECTION_ID()
	maria bool
	life  int       // of the origin, when it connected
	idle  time.Time // when it was given back
}

// mysqlIdle is how long a connection may wait for its next use; the server ends
// one that is idle for twice as long, also within a transaction.
const mysqlIdle = 30 * time.Second

// connect opens a session.
func (o *mysqlOrigin) connect(ctx context.Context, conf *mysql.Config) (*mysqlConn, error) {
	conf = conf.Clone()
	conf.ConnectionAttributes = "program_name:" + appName + o.source
	connector, err := mysql.NewConnector(conf)
	if err != nil {
		return nil, errors.New("dsn: must be user:password@tcp(host:port)/database")
	}
	o.mu.Lock()
	life := o.life
	o.mu.Unlock()
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", conf.Addr, err)
	}
	link, ok := raw.(mysqlDriver)
	if !ok {
		panic("BUG: the driver's connection lacks a method")
	}
	c := &mysqlConn{mysqlDriver: link, life: life}
	if err := o.prepare(ctx, c); err != nil {
		_ = c.Close() // there is nothing to lose
		return nil, fmt.Errorf("connect to %s: %w", conf.Addr, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.own[c] = true
	return c, nil
}

// discard closes c. What is lost with it is known, or of no interest.
func (o *mysqlOrigin) discard(c *mysqlConn) {
	_ = c.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.own, c)
}

// prepare sets what pages and samples rely on, whatever the server's defaults.
func (o *mysqlOrigin) prepare(ctx context.Context, c *mysqlConn) error {
	rows, err := c.texts(ctx, "SELECT VERSION(), CONNECTION_ID()")
	if err != nil {
		return err
	}
	version := rows[0][0]
	c.maria = strings.Contains(version, "MariaDB")
	if want := o.cfg.Kind == kindMariaDB; c.maria != want {
		other := map[bool]string{true: kindMariaDB, false: kindMySQL}[c.maria]
		return refuse("kind", "set kind: "+other, "the server is %s, not %s", version, o.cfg.Kind)
	}
	if _, err := fmt.Sscan(rows[0][1], &c.id); err != nil {
		return fmt.Errorf("connection id %q: %w", rows[0][1], err)
	}
	t := o.cfg.Timeouts
	set := fmt.Sprintf("SET SESSION time_zone = '+00:00', sql_mode = '', group_concat_max_len = 1048576, lock_wait_timeout = %d, wait_timeout = %d", seconds(t.Lock), seconds(2*mysqlIdle))
	if c.maria {
		set += fmt.Sprintf(", max_statement_time = %g, idle_transaction_timeout = %d", t.Statement.Seconds(), seconds(t.Idle))
	} else {
		set += fmt.Sprintf(", max_execution_time = %d", t.Statement.Milliseconds())
	}
	for _, sql := range []string{"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", set} {
		if err := c.exec(ctx, sql); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.server = version
	return nil
}

// seconds rounds up: 0 would be no limit.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

func (c *mysqlConn) exec(ctx context.Context, sql string) error {
	_, err := c.ExecContext(ctx, sql, nil)
	return err
}

// each calls f for every row; the values are valid until it returns.
func (c *mysqlConn) each(ctx context.Context, sql string, f func([]driver.Value) error) error {
	rows, err := c.QueryContext(ctx, sql, nil)
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(rows.Columns()))
	for {
		err = rows.Next(values)
		if err == nil {
			err = f(values)
		}
		if errors.Is(err, io.EOF) {
			return rows.Close()
		}
		if err != nil {
			return errors.Join(err, rows.Close()) // which reads the rest off the connection
		}
	}
}

// texts reads a small answer; NULL is "".
func (c *mysqlConn) texts(ctx context.Context, sql string) ([][]string, error) {
	var out [][]string
	err := c.each(ctx, sql, func(values []driver.Value) error {
		row := make([]string, len(values))
		for i, v := range values {
			switch v := v.(type) {
			case nil:
			case []byte:
				row[i] = string(v)
			default:
				row[i] = fmt.Sprint(v)
			}
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// with lends a connection; one that f leaves broken, or in a transaction that
// does not end, is closed.
func (o *mysqlOrigin) with(ctx context.Context, f func(*mysqlConn) error) error {
	c, err := o.take(ctx)
	if err != nil {
		return err
	}
	err = f(c)
	if err != nil && c.IsValid() && c.exec(ctx, "ROLLBACK") != nil || !c.IsValid() {
		o.discard(c)
		return err
	}
	c.idle = time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.free = append(o.free, c)
	return err
}

// take returns a connection that is alive, an idle one if there is one.
func (o *mysqlOrigin) take(ctx context.Context) (*mysqlConn, error) {
	for {
		o.mu.Lock()
		var c *mysqlConn
		if n := len(o.free); n > 0 {
			c, o.free = o.free[n-1], o.free[:n-1]
		}
		o.mu.Unlock()
		if c == nil {
			return o.connect(ctx, o.conf)
		}
		if time.Since(c.idle) < mysqlIdle && c.ResetSession(ctx) == nil && c.IsValid() {
			return c, nil
		}
		o.discard(c)
	}
}

// Numbers of the servers' errors that mean something here.
const (
	mysqlNoDatabase    = 1049
	mysqlNoColumn      = 1054
	mysqlNoTable       = 1146
	mysqlChanged       = 1412
	mysqlNoPrivilege   = 1227
	mysqlColumnRefused = 1143
)

func mysqlCode(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// mysqlErr sorts the server's errors. What is left as it is means that the
// origin is away.
func mysqlErr(doing string, err error) error {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		if err == nil {
			return nil
		}
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch e.Number {
	case 1205, 1213, 1317, 1969, 3024: // lock wait, deadlock, interrupted, statement took too long on MariaDB and MySQL
		return fmt.Errorf("%s: %w: %w", doing, errBusy, err)
	case mysqlNoDatabase, mysqlNoColumn, mysqlNoTable, 1356, mysqlChanged: // 1356: a view over what is gone
		return fmt.Errorf("%s: %w: %w", doing, errChanged, err)
	case 1044, 1142, mysqlColumnRefused, mysqlNoPrivilege, 1370:
		return refuse("grant_missing", "GRANT SELECT ON the database or table TO the user", "%s: %s", doing, e.Message)
	case 1040, 1045, 1053, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1698, 1927, 3118, 4031: // connections and logins refused or ended
		return fmt.Errorf("%s: %w", doing, err)
	}
	return refuse("origin_error", "see the server's log", "%s: %s (error %d)", doing, e.Message, e.Number)
}
