//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"strconv"

	wire "github.com/jeroenrinzema/psql-wire"
)

// maxBuffered bounds the results that wait while the last statement of a query string runs.
const maxBuffered = 64 << 20

// maxStatement is the longest query string in bytes, Redshift's. maxMessage leaves room for what surrounds it, so that
// a longer one is refused by its length and not by the connection's end.
const (
	maxStatement = 16 << 20
	maxMessage   = 4 * maxStatement
)

// parse is psql-wire's callback for a query string and for a Parse message.
func (s *Server) parse(ctx context.Context, q wire.Query) (out wire.PreparedStatements, err error) {
	sess := sessionFrom(ctx)
	err = sess.guarded(func() error {
		if n := len(q.Query); n > maxStatement {
			return pgError("54000", "Statement is too large. Statement Size: %d bytes. Maximum Allowed: %d bytes", n, maxStatement)
		}
		if q.SimpleQuery {
			out, err = sess.simple(q.Query)
			return err
		}
		out, err = sess.prepare(q)
		return err
	})
	return out, err
}

// guarded runs f with the session to itself. A panic in f fails the statement; it must not end the whole process.
func (s *session) guarded(f func() error) (err error) {
	s.run.Lock()
	defer s.run.Unlock()
	defer func() {
		if r := recover(); r != nil {
			s.srv.log.Error("a statement panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			s.fail()
			err = pgError("XX000", "a defect of the local Redshift: %v", r).withHint("Please report the statement.")
		}
	}()
	return f()
}

// simple runs a query string to its end, the implicit transaction's end included, and returns statements that only
// play the results back: psql-wire would describe all of them before running any.
func (s *session) simple(text string) (wire.PreparedStatements, error) {
	stmts, err := parse(text)
	if err != nil {
		s.fail()
		return nil, err
	}
	if len(stmts) == 0 {
		return wire.Prepared(wire.NewStatement(s.empty)), nil
	}
	if s.state == txFailed && stmts[0].kind != kindCommit && stmts[0].kind != kindRollback {
		return nil, errAborted() // also if what follows could not be parsed
	}
	var out wire.PreparedStatements
	for i, st := range stmts {
		res, err := s.execute(st, len(stmts) == 1)
		if err == nil && i+1 < len(stmts) {
			if err = res.buffer(maxBuffered); err != nil {
				s.fail()
			}
		}
		if err != nil {
			return append(out, failure(located(err, text, st.toks))), nil
		}
		out = append(out, s.playback(res))
	}
	if err := s.finish(false); err != nil {
		return append(out[:len(out)-1], failure(err)), nil
	}
	return out, nil
}

// empty answers a query string without a statement, which psql-wire would take for an error.
func (s *session) empty(context.Context, wire.DataWriter, []wire.Parameter) error {
	_, err := s.conn.Write(message('I', ""))
	return err
}

func failure(err error) *wire.PreparedStatement {
	return wire.NewStatement(func(context.Context, wire.DataWriter, []wire.Parameter) error { return err })
}

func (s *session) playback(res *result) *wire.PreparedStatement {
	return wire.NewStatement(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		return s.stream(res, w)
	}, wire.WithColumns(wireColumns(res.cols)))
}

// stream sends res in batches. It holds the session's lock only while it reads: a portal with a row limit sleeps
// inside WriteRows, and Sync must get through then.
func (s *session) stream(res *result, w wire.DataWriter) error {
	var sent int64
	for {
		var rows [][]any
		err := s.guarded(func() (err error) {
			rows, err = res.next(batchRows)
			if err != nil || len(rows) == 0 {
				res.close()
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return w.Complete(res.completion(sent))
		}
		sent += int64(len(rows))
		if err := wire.WriteRows(w, rows); err != nil {
			return err
		}
	}
}

// prepare answers a Parse message: what the statement takes and returns, without running it.
func (s *session) prepare(q wire.Query) (wire.PreparedStatements, error) {
	stmts, err := parse(q.Query)
	if err != nil {
		return nil, err
	}
	if len(stmts) == 0 {
		return wire.Prepared(wire.NewStatement(s.empty)), nil
	}
	if len(stmts) > 1 {
		return nil, syntaxError("cannot insert multiple commands into a prepared statement")
	}
	st := stmts[0]
	if s.state == txFailed && st.kind != kindCommit && st.kind != kindRollback {
		return nil, errAborted()
	}
	ctx, stop := s.begin()
	defer stop()
	var params []uint32
	var cols []column
	if params, cols, err = s.analyse(ctx, st, q.ParameterOIDs); err != nil {
		_, _ = s.recorded(st, func() (*result, error) { return nil, err })
		return nil, located(err, q.Query, st.toks)
	}
	run := func(ctx context.Context, w wire.DataWriter, values []wire.Parameter) error {
		var res *result
		err := s.guarded(func() (err error) {
			res, err = s.bound(ctx, st, params, values, cols)
			return err
		})
		if err != nil {
			return located(err, q.Query, st.toks)
		}
		return s.stream(res, w)
	}
	return wire.Prepared(wire.NewStatement(run, wire.WithParameters(params), wire.WithColumns(wireColumns(cols)))), nil
}

// analyse tells what a statement takes and returns.
func (s *session) analyse(ctx context.Context, st statement, given []uint32) ([]uint32, []column, error) {
	params, err := s.parameterTypes(ctx, st, given)
	if err != nil {
		return nil, nil, err
	}
	if st.toks, err = bindNulls(st.toks, params); err != nil {
		return nil, nil, err
	}
	cols, err := s.describe(ctx, st)
	return params, cols, err
}

// bound executes a prepared statement with its parameters written into it.
func (s *session) bound(ctx context.Context, st statement, params []uint32, values []wire.Parameter, cols []column) (*result, error) {
	toks, err := bindValues(st.toks, params, values, wire.TypeMap(ctx))
	if err != nil {
		return nil, err
	}
	st.toks, st.want = toks, cols
	res, err := s.execute(st, s.state == txIdle)
	if err != nil {
		return nil, err
	}
	if len(res.cols) != len(cols) {
		res.close()
		return nil, pgError("0A000", "cached plan must not change result type")
	}
	return res, nil
}

// paramCount is the highest parameter that toks name.
func paramCount(toks []token) int {
	most := 0
	for _, t := range toks {
		if t.kind == tokParam {
			n, _ := strconv.Atoi(t.val)
			most = max(most, n)
		}
	}
	return most
}

// portals keeps a portal when the statement that it was made of goes, as PostgreSQL does: JDBC parses its next
// statement under the same empty name while it still reads. A cursor is a portal of its name, too.
type portals struct{ wire.DefaultPortalCache }

func newPortals() wire.PortalCache { return &portals{} }

// DeleteByStatement implements wire.PortalCache.
func (*portals) DeleteByStatement(context.Context, *wire.Statement) error { return nil }

// Get implements wire.PortalCache.
func (p *portals) Get(ctx context.Context, name string) (*wire.Portal, error) {
	if portal, err := p.DefaultPortalCache.Get(ctx, name); portal != nil || err != nil {
		return portal, err
	}
	s := sessionFrom(ctx)
	s.run.Lock()
	defer s.run.Unlock()
	c := s.cursors[name]
	if c == nil {
		return nil, nil
	}
	var statements wire.DefaultStatementCache
	var found wire.DefaultPortalCache
	if err := statements.Set(ctx, name, s.playback(&result{cols: c.res.cols, from: c.res, left: math.MaxInt, tag: "FETCH"})); err != nil {
		return nil, err
	}
	statement, _ := statements.Get(ctx, name)
	_ = found.Bind(ctx, name, statement, nil, nil)
	return found.Get(ctx, name)
}
