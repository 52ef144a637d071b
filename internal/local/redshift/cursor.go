//go:build cgo

package redshift

import (
	"context"
	"errors"
	"math"
	"strconv"
)

// cursor is what DECLARE opens; it lives as long as its transaction.
type cursor struct{ res *result }

// cursorStatement runs DECLARE, FETCH and CLOSE.
func (s *session) cursorStatement(ctx context.Context, st statement, nodes []node) (*result, error) {
	switch st.kind {
	case kindDeclare:
		return s.declare(ctx, st, nodes)
	case kindClose:
		if len(nodes) != 2 || !nodes[1].name() {
			return nil, syntaxError("syntax error in CLOSE")
		}
		c := s.cursors[nodes[1].val]
		if c == nil && !nodes[1].is("all") {
			return nil, errNoCursor(nodes[1].val)
		}
		s.closeCursors()
		return &result{tag: st.tag}, nil
	default:
		c, n, err := s.fetched(nodes)
		if err != nil {
			return nil, err
		}
		return &result{cols: c.res.cols, from: c.res, left: n, tag: st.tag}, nil
	}
}

// declare opens a cursor; like Redshift, one at a time.
func (s *session) declare(ctx context.Context, st statement, nodes []node) (*result, error) {
	at := find(nodes, 0, "for")
	if len(nodes) < 2 || at+1 >= len(nodes) || !nodes[1].name() {
		return nil, syntaxError("syntax error in DECLARE")
	}
	if s.state != txBlock {
		return nil, pgError("25P01", "DECLARE CURSOR may only be used in transaction blocks")
	}
	name := nodes[1].val
	for open := range s.cursors {
		if open == name {
			return nil, pgError("42P03", "cursor %q already exists", name)
		}
		return nil, pgError("0A000", "only one cursor at a time can be open: %q is", open).withHint("CLOSE it first.") // (confirm)
	}
	// The rows outlive the statement, whose context ends with it.
	life, end := context.WithCancelCause(s.base)
	unlink := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	res, err := s.selectRows(life, statement{tag: "SELECT"}, nodes[at+1:])
	if !unlink() || err != nil {
		end(context.Canceled)
		return nil, errors.Join(err, ctx.Err())
	}
	s.keep(res, func() { end(context.Canceled) })
	s.cursors[name] = &cursor{res}
	return &result{tag: st.tag}, nil
}

func (s *session) closeCursors() {
	for name, c := range s.cursors {
		c.res.close()
		delete(s.cursors, name)
	}
}

func errNoCursor(name string) *sqlError { return pgError("34000", "cursor %q does not exist", name) }

// fetched reads FETCH [NEXT | ALL | FORWARD [n | ALL]] FROM|IN name.
func (s *session) fetched(nodes []node) (c *cursor, n int, err error) {
	rest := nodes[1:]
	if len(rest) > 0 && rest[0].is("forward", "next") {
		rest = rest[1:]
	}
	n = 1
	switch {
	case len(rest) > 0 && rest[0].is("all"):
		n, rest = math.MaxInt, rest[1:]
	case len(rest) > 0 && rest[0].kind == tokNumber:
		if n, err = strconv.Atoi(rest[0].val); err != nil {
			return nil, 0, syntaxError("syntax error at or near " + strconv.Quote(rest[0].val))
		}
		rest = rest[1:]
	}
	if len(rest) > 0 && rest[0].is("from", "in") {
		rest = rest[1:]
	}
	if len(rest) != 1 || !rest[0].name() {
		return nil, 0, syntaxError("syntax error in FETCH: a cursor only goes forward")
	}
	if c = s.cursors[rest[0].val]; c == nil {
		return nil, 0, errNoCursor(rest[0].val)
	}
	return c, n, nil
}
