//go:build cgo

package redshift

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jeroenrinzema/psql-wire/pkg/types"
)

// txState is where a session's transaction stands.
type txState uint8

const (
	txIdle     txState = iota
	txImplicit         // opened by a statement, ends with the query string or at Sync
	txBlock            // opened by BEGIN
	txFailed           // a block that an error has ended in all but name
)

// session is one client's state. Its goroutine is psql-wire's for the connection; others only call interrupt and end.
type session struct {
	srv    *Server
	conn   *clientConn
	duck   *sql.Conn
	base   context.Context //nolint:containedctx // the connection's life, not a call's
	pid    int32
	secret int32

	cancelMu sync.Mutex
	cancel   context.CancelCauseFunc // of the running statement; guarded by cancelMu

	run       sync.Mutex // held while a statement runs and by end; guards all below
	ended     bool
	state     txState
	began     bool      // DuckDB's transaction is open
	snapshot  int64     // newest commit when it opened
	started   time.Time // of the transaction
	wrote     map[string]bool
	read      map[string]bool
	path      []string
	settings  map[string]string
	local     map[string]string // settings before SET LOCAL
	temps     map[string]*tableMeta
	tempsThen map[string]*tableMeta // when the transaction began
	prepared  map[string][]token
	cursors   map[string]*cursor
	results   []*result // open ones
	copyCount int64
	copyID    int64
}

// interrupt ends the running statement with cause, if there is one.
func (s *session) interrupt(cause error) {
	s.cancelMu.Lock()
	defer s.cancelMu.Unlock()
	if s.cancel != nil {
		s.cancel(cause)
	}
}

// detach makes the running statement deaf to interrupt.
func (s *session) detach() {
	s.cancelMu.Lock()
	defer s.cancelMu.Unlock()
	s.cancel = nil
}

// end rolls back and gives up DuckDB's connection; it waits for the running statement, which base has interrupted.
func (s *session) end() {
	s.run.Lock()
	defer s.run.Unlock()
	s.ended = true
	s.closeResults()
	_ = s.rollback()
	_ = s.duck.Close()
	s.srv.mu.Lock()
	delete(s.srv.sessions, s.pid)
	s.srv.mu.Unlock()
}

// begin opens a statement's context; stop must be called when its result is done with.
func (s *session) begin() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(s.base)
	s.cancelMu.Lock()
	s.cancel = cancel
	s.cancelMu.Unlock()
	return ctx, func() { cancel(context.Canceled) }
}

// withTimeout runs f under the session's statement_timeout.
func (s *session) withTimeout(f func() error) error {
	ms, _ := strconv.Atoi(s.settings["statement_timeout"])
	if ms <= 0 {
		return f()
	}
	t := time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { s.interrupt(errTimeout()) })
	defer t.Stop()
	return f()
}

// execute runs one statement in the transaction that is open, or in an implicit one, and puts the transaction into
// the failed state if it fails.
func (s *session) execute(st statement, alone bool) (*result, error) {
	if s.ended {
		return nil, errCancelled()
	}
	if s.state == txFailed && st.kind != kindCommit && st.kind != kindRollback {
		return nil, errAborted()
	}
	if s.state == txIdle {
		s.open(txImplicit)
	}
	ctx, stop := s.begin()
	var res *result
	err := s.withTimeout(func() error {
		var err error
		res, err = s.faulty(ctx, st, alone)
		return err
	})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			if e, ok := errors.AsType[*sqlError](cause); ok {
				err = e
			}
		}
		stop()
		s.fail()
		return nil, err
	}
	res.stop = stop
	if res.rows == nil {
		stop()
	} else {
		s.results = append(s.results, res)
	}
	return res, nil
}

// faulty runs st, unless a fault says otherwise.
func (s *session) faulty(ctx context.Context, st statement, alone bool) (*result, error) {
	fault, struck := s.srv.faults.strike(st.text)
	if !struck {
		return s.dispatch(ctx, st, alone)
	}
	switch fault.Action {
	case CutBefore:
		_ = s.conn.Conn.Close()
		return nil, errCancelled()
	case CutDuring:
		s.detach() // clients that lose a connection ask for a cancel on another one
		_ = s.conn.Conn.Close()
	case FailWith:
		return nil, pgError(fault.Code, "%s", fault.Text)
	case DelayBy:
		select {
		case <-time.After(fault.Delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case CutAfter: // below
	}
	res, err := s.dispatch(ctx, st, alone)
	if fault.Action == CutAfter {
		_ = s.conn.Conn.Close()
	}
	return res, err
}

// open begins a transaction of the front; DuckDB's follows when data is touched.
func (s *session) open(state txState) {
	s.state = state
	s.started = time.Now().UTC()
	s.wrote, s.read = map[string]bool{}, map[string]bool{}
	s.tempsThen = make(map[string]*tableMeta, len(s.temps))
	maps.Copy(s.tempsThen, s.temps)
}

// touch opens DuckDB's transaction if it is not open yet: this takes the snapshot.
func (s *session) touch(ctx context.Context) error {
	if s.began {
		return nil
	}
	s.snapshot = s.srv.commits.now()
	// An interrupt could come when DuckDB has begun and we are told that it has not.
	if _, err := s.duck.ExecContext(context.WithoutCancel(ctx), "BEGIN TRANSACTION"); err != nil {
		return err
	}
	s.began = true
	return ctx.Err()
}

// commit makes the transaction durable and ends it; after an error it is rolled back.
func (s *session) commit() error {
	if s.state == txFailed {
		return s.rollback()
	}
	if s.began {
		if err := s.srv.commits.check(s); err != nil {
			_ = s.rollback()
			return err
		}
		if _, err := s.duck.ExecContext(context.Background(), "COMMIT"); err != nil {
			_ = s.rollback()
			return err
		}
		s.srv.commits.add(s.wrote)
		s.began = false
	}
	s.over()
	return nil
}

// rollback undoes the transaction and ends it.
func (s *session) rollback() error {
	var err error
	if s.began {
		_, err = s.duck.ExecContext(context.Background(), "ROLLBACK")
		s.began = false
	}
	if s.state != txIdle && s.tempsThen != nil {
		s.temps = s.tempsThen
	}
	s.over()
	return err
}

// over frees what lives as long as a transaction.
func (s *session) over() {
	s.state = txIdle
	s.tempsThen = nil
	maps.Copy(s.settings, s.local)
	s.local = nil
	clear(s.cursors)
	s.srv.locks.releaseAll(s.pid)
}

// fail is what an error does to the transaction.
func (s *session) fail() {
	switch s.state {
	case txIdle:
	case txImplicit:
		s.closeResults()
		_ = s.rollback()
	case txBlock, txFailed:
		s.closeResults()
		_ = s.rollback()
		s.state = txFailed
	}
}

// lock takes a table lock for the transaction. Temporary tables belong to the session and need none.
func (s *session) lock(ctx context.Context, name tableName, mode lockMode) error {
	if name.schema == "" {
		if s.temps[name.table] != nil {
			return nil
		}
		name.schema = s.path[0]
	}
	if mode == lockShare {
		s.read[name.String()] = true
	} else {
		s.wrote[name.String()] = true
	}
	return s.srv.locks.acquire(ctx, s.pid, name.String(), mode)
}

// finish ends an implicit transaction: at the end of a query string, or at Sync.
func (s *session) finish(failed bool) error {
	if s.state != txImplicit {
		return nil
	}
	if failed {
		return s.rollback()
	}
	return s.commit()
}

func (s *session) closeResults() {
	for _, r := range s.results {
		r.close()
	}
	s.results = nil
}

func (s *session) env() environment {
	return environment{
		now: time.Now().UTC(), user: s.srv.cfg.User, database: s.srv.cfg.Database, schema: s.path[0],
		pid: s.pid, copyCount: s.copyCount, copyID: s.copyID,
	}
}

// txStatus is what ReadyForQuery reports.
func txStatus(ctx context.Context) types.ServerStatus {
	s := sessionFrom(ctx)
	s.run.Lock()
	defer s.run.Unlock()
	switch s.state {
	case txBlock:
		return types.ServerTransactionBlock
	case txFailed:
		return types.ServerTransactionFailed
	default:
		return types.ServerIdle
	}
}

// syncSession ends the implicit transaction of a series of extended-protocol messages.
func syncSession(ctx context.Context, failed bool) error {
	s := sessionFrom(ctx)
	s.run.Lock()
	defer s.run.Unlock()
	if failed {
		s.fail()
	}
	s.closeResults()
	return s.finish(failed)
}

// commitLog tells which tables were committed when, for the serializable level.
type commitLog struct {
	mu   sync.Mutex
	seq  int64
	last map[string]int64 // guarded by mu, as is seq
}

func (c *commitLog) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq
}

func (c *commitLog) add(tables map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	for t := range tables {
		c.last[t] = c.seq
	}
}

// check refuses, at the serializable level, a transaction that wrote and whose reads or writes another has overtaken.
func (c *commitLog) check(s *session) error {
	if s.srv.cfg.Isolation != IsolationSerializable || len(s.wrote) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, set := range []map[string]bool{s.read, s.wrote} {
		for t := range set {
			if c.last[t] > s.snapshot {
				return errSerialisation(t)
			}
		}
	}
	return nil
}

// searchPath reads the value of SET search_path.
func searchPath(value string) []string {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		part = strings.ToLower(strings.Trim(strings.TrimSpace(part), `"'`))
		if part != "" && part != "$user" && part != "pg_catalog" {
			out = append(out, part)
		}
	}
	if len(out) == 0 {
		out = []string{"public"}
	}
	return out
}
