package warehouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// Client opens sessions. It is safe for concurrent use and holds no
// connection.
type Client struct {
	cfg    Config
	issuer *issuer // nil: the password is the configuration's
	// Trace, if set, is called with each statement before it is sent, from the
	// goroutine that sends it. Statements hold no secrets.
	Trace func(statement string)
}

// Open returns a client for cfg. It does not connect.
func Open(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	if cfg.iam() {
		c.issuer = &issuer{cfg: cfg, database: c.database()}
	}
	return c, nil
}

// Config returns what the client was opened with.
func (c *Client) Config() Config { return c.cfg }

// Connect opens a session and gives it the query group and time-out of the
// configuration. The caller closes it.
func (c *Client) Connect(ctx context.Context) (*Conn, error) {
	conf, err := c.config()
	if err != nil {
		return nil, err
	}
	if c.issuer != nil {
		cred, err := c.issuer.get(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect to the warehouse: %w", err)
		}
		conf.User, conf.Password = cred.user, cred.password
	}
	dial, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	pg, err := pgconn.ConnectConfig(dial, conf)
	if err != nil {
		if c.issuer != nil && IsCode(err, "28000", "28P01") {
			c.issuer.forget()
		}
		return nil, fmt.Errorf("connect to the warehouse: %w", err)
	}
	conn := &Conn{pg: pg, trace: c.Trace, cfg: c.cfg}
	if c.cfg.QueryGroup != "" {
		if _, err := conn.Exec(ctx, "SET query_group TO "+Literal(c.cfg.QueryGroup)); err != nil {
			conn.Close()
			return nil, err
		}
	}
	if err := conn.SetTimeout(ctx, c.cfg.StatementTimeout); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Client) config() (*pgconn.Config, error) {
	dsn, err := c.cfg.url()
	if err != nil {
		return nil, err
	}
	conf, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("warehouse.dsn: not understood") // the cause would print the password
	}
	// Redshift does not know standard_conforming_strings and ends a session
	// whose start-up message names it; these two it knows.
	conf.RuntimeParams = map[string]string{"client_encoding": "UTF8", "application_name": "millstream"}
	dialer := &net.Dialer{KeepAlive: 30 * time.Second} // NATs forget connections on which a COPY is silent
	conf.DialFunc = dialer.DialContext
	conf.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler {
		// A deadline on the socket alone would leave a COPY running.
		return &pgconn.CancelRequestContextWatcherHandler{Conn: pg, DeadlineDelay: 5 * time.Second}
	}
	return conf, nil
}

// Conn is a session. It belongs to one goroutine.
type Conn struct {
	pg    *pgconn.PgConn
	cfg   Config
	trace func(string)
}

// Result is what a statement answered, as text.
type Result struct {
	Rows     [][]string // NULL is the empty text; blanks at the end, of CHAR columns, are cut
	Affected int64      // rows of the command tag
}

// Exec sends one statement without arguments by the simple protocol: Redshift
// then parses no types and caches no plan.
func (c *Conn) Exec(ctx context.Context, statement string) (Result, error) {
	var out Result
	if strings.ContainsRune(statement, 0) {
		return out, fmt.Errorf("statement %.60q: holds a NUL, which would end it there", statement)
	}
	if c.trace != nil {
		c.trace(statement)
	}
	results, err := c.pg.Exec(ctx, statement).ReadAll()
	if err != nil {
		if ctx.Err() != nil && IsCode(err, "57014") { // our own request, which reads as a time-out does
			err = fmt.Errorf("%w: %s", ctx.Err(), err.Error())
		}
		return out, &StatementError{Statement: statement, Err: err}
	}
	for _, r := range results {
		out.Affected += r.CommandTag.RowsAffected()
		for _, row := range r.Rows {
			text := make([]string, len(row))
			for i, v := range row {
				text[i] = strings.TrimRight(string(v), " ")
			}
			out.Rows = append(out.Rows, text)
		}
	}
	return out, nil
}

// SetTimeout bounds the statements that follow.
func (c *Conn) SetTimeout(ctx context.Context, d time.Duration) error {
	_, err := c.Exec(ctx, fmt.Sprintf("SET statement_timeout TO %d", d.Milliseconds()))
	return err
}

// Closed says that the session cannot be used any more.
func (c *Conn) Closed() bool { return c.pg.IsClosed() }

// InTransaction says that the server has an open or failed transaction.
func (c *Conn) InTransaction() bool { return c.pg.TxStatus() != 'I' }

// Close ends the session, and with it its transaction and temporary tables. It
// may be called twice.
func (c *Conn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.pg.Close(ctx) // the server ends the session by the lost connection else
}

// StatementError is what a statement failed with.
type StatementError struct {
	Statement string
	Err       error
}

func (e *StatementError) Error() string {
	head, _, more := strings.Cut(e.Statement, "\n")
	if len(head) > 80 {
		head, more = cut(head, 80), true
	}
	if more {
		head += " …"
	}
	return head + ": " + e.Err.Error()
}

func (e *StatementError) Unwrap() error { return e.Err }
