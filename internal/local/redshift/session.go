//go:build cgo

package redshift

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
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

	connected   time.Time
	running     atomic.Pointer[queryRecord] // the statement that runs, for others to see
	transaction atomic.Pointer[transaction] // the open one, likewise

	run         sync.Mutex // held while a statement runs and by end; guards all below
	ended       bool
	state       txState
	began       bool  // DuckDB's transaction is open
	dirty       bool  // and has run more than queries
	snapshot    int64 // newest commit when it opened
	wrote       map[string]bool
	read        map[string]bool
	path        []string
	pathPending bool // a schema of path was not there when it was set
	settings    settings
	temps       map[string]*tableMeta
	stagedFiles map[string]bool       // files of COPY that temporary tables are views over
	tempsThen   map[string]*tableMeta // when the transaction began
	prepared    map[string][]token
	cursors     map[string]*cursor
	results     map[*result]bool // open ones
	copyCount   int64
	copyID      int64
	untyped     bool // the running statement is tried again without the macros that need types
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
	s.temps = nil
	s.sweep()
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
	ms, _ := strconv.Atoi(s.settings.values["statement_timeout"])
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
	err := s.withTimeout(func() (err error) {
		res, err = s.recorded(st, func() (*result, error) { return s.faulty(ctx, st, alone) })
		return err
	})
	if err != nil {
		if invalidated(err) {
			_ = s.srv.durable(func() error { return err }, s.farewell)
		}
		if cause := context.Cause(ctx); cause != nil {
			if e, ok := errors.AsType[*sqlError](cause); ok {
				err = e
			}
		}
		stop()
		s.fail()
		return nil, err
	}
	if res.rows == nil {
		stop()
		return res, nil
	}
	s.keep(res, stop)
	return res, nil
}

// keep notes an open result, for the end of its transaction; stop runs when it is closed.
func (s *session) keep(res *result, stop func()) {
	s.results[res] = true
	res.stop = func() {
		stop()
		delete(s.results, res)
	}
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

// warn sends the client a warning beside the answer.
func (s *session) warn(code, msg string) { s.notice("WARNING", code, msg) }

// inform says what a statement left undone.
func (s *session) inform(code, msg string) { s.notice("INFO", code, msg) }

func (s *session) notice(severity, code, msg string) {
	_, _ = s.conn.Write(message('N', "S"+severity+"\x00C"+code+"\x00M"+msg+"\x00\x00"))
}

func (s *session) closeResults() {
	for r := range s.results {
		r.close()
	}
}

func (s *session) env() environment {
	return environment{
		now: wallClock(time.Now(), s.settings.zone), user: s.srv.cfg.User, database: s.srv.cfg.Database, schema: s.path[0], path: s.path,
		pid: s.pid, copyCount: s.copyCount, copyID: s.copyID, untyped: s.untyped, catalogue: s.ownCatalogue,
		supers: s.superColumns, isTable: s.isTable, temps: s.tempOIDs(),
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
	if s.state != txBlock { // a block's portals go on being read behind a Sync
		s.closeResults()
	}
	return s.finish(failed)
}
