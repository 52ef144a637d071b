//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
)

// createView stores the query in DuckDB's words and in the client's.
func (s *session) createView(ctx context.Context, st statement, nodes []node) (*result, error) {
	at := find(nodes, 0, "view") + 1
	name, i, err := tableAt(nodes, at)
	if err != nil {
		return nil, err
	}
	t := &tableMeta{name: name, view: true}
	taken, err := s.claimName(ctx, t)
	if err != nil {
		return nil, err
	}
	replace := nodes[1].is("or")
	if taken && !replace {
		return nil, errRelationExists(name.table)
	}
	as := find(nodes, i, "as")
	end := len(nodes)
	for j := as; j+3 < len(nodes); j++ {
		if nodes[j].is("with") && nodes[j+1].is("no") && nodes[j+2].is("schema") && nodes[j+3].is("binding") {
			end = j
		}
	}
	if as >= end {
		return nil, syntaxError("syntax error in CREATE VIEW")
	}
	rw := newRewriter(s.env())
	rw.live = true
	text, err := rw.query(nodes[as+1 : end])
	if err != nil {
		return nil, err
	}
	cols, err := s.describeQuery(ctx, text)
	if err != nil {
		return nil, qualified(err, rw.reads)
	}
	rename(cols, nodes[as+1:end])
	s.declareLengths(ctx, rw, cols, nodes[as+1:end])
	quoted := make([]string, len(cols))
	for k, c := range cols {
		quoted[k] = quoteIdent(c.name)
		t.cols = append(t.cols, columnMeta{name: c.name, typ: c.typ})
	}
	if taken {
		old, err := s.stored(ctx, t.name)
		if err == nil {
			err = s.forget(ctx, old)
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := s.exec(ctx, fmt.Sprintf("CREATE OR REPLACE VIEW %s(%s) AS %s", t.name.sql(), strings.Join(quoted, ", "), text)); err != nil {
		return nil, err
	}
	definition := render(nodes[as+1 : end])
	if end < len(nodes) {
		definition = render(nodes) // of a late-binding view Redshift shows the whole statement
	}
	return &result{tag: st.tag}, s.store(ctx, t, definition)
}

func (s *session) createSchema(ctx context.Context, st statement, nodes []node) (*result, error) {
	i := 2
	quiet := i < len(nodes) && nodes[i].is("if")
	if quiet {
		i += 3
	}
	if i >= len(nodes) || !nodes[i].name() {
		return nil, syntaxError("syntax error in CREATE SCHEMA")
	}
	name := nodes[i].val
	if forbiddenSchema(name) || strings.HasPrefix(name, "pg_") {
		return nil, pgError("42939", "unacceptable schema name %q", name)
	}
	if err := s.srv.locks.acquire(ctx, s.pid, "schema "+name, lockExclusive); err != nil {
		return nil, err
	}
	if err := s.touch(ctx); err != nil {
		return nil, err
	}
	found, err := s.schemaExists(ctx, name)
	if err != nil || found {
		if err == nil && !quiet {
			err = pgError("42P06", "schema %q already exists", name)
		}
		return &result{tag: st.tag}, err
	}
	if _, err := s.exec(ctx, "CREATE SCHEMA "+quoteIdent(name)); err != nil {
		return nil, err
	}
	_, err = s.exec(ctx, "INSERT INTO _rs.schemas VALUES (nextval('_rs.oids'), "+quoteString(name)+")")
	return &result{tag: st.tag}, err
}
