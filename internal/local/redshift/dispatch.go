//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
)

// dispatch runs a statement by its kind. alone is false inside a block and for a query string of several statements.
// Where an argument's type cannot be known when macros are bound, which says so before anything has happened, the
// statement runs again without them.
func (s *session) dispatch(ctx context.Context, st statement, alone bool) (*result, error) {
	res, err := s.dispatchOnce(ctx, st, alone)
	if typeUnknown(err) && !s.untyped {
		s.untyped = true
		defer func() { s.untyped = false }()
		return s.dispatchOnce(ctx, st, alone)
	}
	return res, err
}

// typeUnknown recognises DuckDB's complaint about a macro whose overloads it cannot tell apart.
func typeUnknown(err error) bool {
	return err != nil && strings.Contains(err.Error(), "has multiple overloads that match the supplied arguments")
}

func (s *session) dispatchOnce(ctx context.Context, st statement, alone bool) (*result, error) {
	if s.pathPending {
		if path, _ := s.parameter("search_path"); s.searchPath(ctx, path) != nil {
			return nil, ctx.Err()
		}
	}
	nodes := tree(st.toks)
	switch st.kind {
	case kindSelect:
		return s.selectRows(ctx, st, nodes)
	case kindInsert:
		return s.insert(ctx, st, nodes)
	case kindUpdate:
		return s.update(ctx, st, nodes)
	case kindDelete:
		return s.delete(ctx, st, nodes)
	case kindMerge:
		return s.merge(ctx, st, nodes)
	case kindCreateTable:
		return s.createTable(ctx, st, nodes)
	case kindCreateView:
		return s.createView(ctx, st, nodes)
	case kindCreateSchema:
		return s.createSchema(ctx, st, nodes)
	case kindDropTable, kindDropView:
		return s.drop(ctx, st, nodes)
	case kindDropSchema:
		return s.dropSchema(ctx, st, nodes)
	case kindAlterTable:
		return s.alterTable(ctx, st, nodes, alone && s.state == txImplicit)
	case kindTruncate:
		return s.truncate(ctx, st, nodes)
	case kindLock:
		return s.lockTables(ctx, st, nodes)
	case kindCopy:
		return s.copyFrom(ctx, st, nodes)
	case kindVacuum:
		return s.vacuum(ctx, st, nodes, alone)
	case kindAnalyze:
		return s.analyze(ctx, st, nodes, alone)
	case kindGrant:
		return s.grantStatement(ctx, st, nodes)
	case kindComment:
		return s.commentStatement(ctx, st, nodes)
	case kindAccepted:
		return &result{tag: st.tag}, nil
	case kindExplain:
		return s.explain(ctx, nodes)
	default:
		return s.control(ctx, st, nodes)
	}
}

// control runs what concerns the session and not data.
func (s *session) control(ctx context.Context, st statement, nodes []node) (*result, error) {
	switch st.kind {
	case kindBegin:
		if s.state == txBlock {
			s.warn("25001", "there is already a transaction in progress")
		}
		s.state = txBlock
		return &result{tag: st.tag}, nil
	case kindCommit, kindRollback:
		if s.state == txImplicit {
			s.warn("25P01", "there is no transaction in progress")
		}
		if st.kind == kindRollback || s.state == txFailed {
			return &result{tag: "ROLLBACK"}, s.rollback()
		}
		return &result{tag: st.tag}, s.commit()
	case kindSet:
		return s.set(ctx, st, nodes)
	case kindReset:
		return s.reset(ctx, st, nodes)
	case kindShow:
		return s.show(nodes)
	case kindPrepare, kindExecute, kindDeallocate:
		return s.preparedStatement(ctx, st, nodes)
	case kindDeclare, kindFetch, kindClose:
		return s.cursorStatement(ctx, st, nodes)
	case kindCancel:
		return s.cancelStatement(st, nodes)
	default:
		panic("BUG: a statement kind that no one runs")
	}
}

// selectRows runs a query; its rows stay open.
func (s *session) selectRows(ctx context.Context, st statement, nodes []node) (*result, error) {
	if res, found, err := s.faultCall(nodes); found {
		return res, err
	}
	if name, args, found := adminCall(nodes); found {
		return s.administer(name, args)
	}
	if res, found, err := s.selectInto(ctx, nodes); found {
		return res, err
	}
	rw := newRewriter(s.env())
	text, err := rw.query(nodes)
	if err != nil {
		return nil, err
	}
	if err := s.lockReads(ctx, rw); err != nil {
		return nil, err
	}
	cols, text, err := s.shape(ctx, text, nodes, st.want)
	if err != nil {
		return nil, qualified(err, rw.reads)
	}
	rows, err := s.duck.QueryContext(ctx, text) //nolint:rowserrcheck // result.next does
	if err != nil {
		return nil, err
	}
	return &result{cols: cols, rows: rows, tag: st.tag, format: format{s.settings.zone, s.settings.digits}}, nil
}

// lockReads takes share locks on what rw reads, then the snapshot, if there is anything to read.
func (s *session) lockReads(ctx context.Context, rw *rewriter) error {
	for _, name := range rw.reads {
		if err := s.lock(ctx, name, lockShare); err != nil {
			return err
		}
	}
	if len(rw.reads) == 0 {
		return nil
	}
	if rw.leader != "" {
		return &sqlError{
			code: "0A000", msg: "Specified types or functions (one per INFO message) not supported on Redshift tables.",
			detail: "Function " + rw.leader + " runs on the leader node alone.",
		}
	}
	return s.touch(ctx)
}

// shape returns the columns of a query and the query with what the driver would spoil turned into text. Columns that
// the client was told to be of other types, when the values of parameters were not known, are cast to those.
func (s *session) shape(ctx context.Context, text string, nodes []node, want []column) ([]column, string, error) {
	cols, err := s.describeQuery(ctx, text)
	if err != nil {
		return nil, "", err
	}
	rename(cols, nodes)
	wrap := false
	var names, out []string
	for i, c := range cols {
		name := fmt.Sprintf(`"c%d"`, i)
		names = append(names, name)
		switch {
		case len(want) == len(cols) && want[i].typ.oid != c.typ.oid:
			wrap = true
			cols[i].typ, name = want[i].typ, "CAST("+name+" AS "+want[i].typ.duck+")"
		case c.typ.duck == "VARCHAR[]" || c.typ.duck == "SMALLINT[]": // arrays exist in the catalogue alone
			wrap = true
			cols[i].typ.oid, name = oidText, `"_rs".array_text(`+name+")"
		case spoiled(c.typ.duck):
			wrap = true
			name = "CAST(" + name + " AS VARCHAR)"
		}
		out = append(out, name)
	}
	if wrap {
		text = fmt.Sprintf("SELECT %s FROM (%s) AS \"_q\"(%s)", strings.Join(out, ", "), text, strings.Join(names, ", "))
	}
	return cols, text, nil
}

// spoiled tells the types that duckdb-go decodes into Go values that do not write back as they were.
func spoiled(duck string) bool {
	for _, prefix := range [...]string{"JSON", "STRUCT", "MAP", "ENUM", "UUID", "UNION", "BIT", "VARIANT"} {
		if strings.HasPrefix(duck, prefix) {
			return true
		}
	}
	return strings.HasSuffix(duck, "]")
}

// describeQuery asks DuckDB for the columns of a query.
func (s *session) describeQuery(ctx context.Context, text string) ([]column, error) {
	rows, err := s.duck.QueryContext(ctx, "DESCRIBE "+text)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var cols []column
	for rows.Next() {
		var name, typ string
		var rest [4]any
		if err := rows.Scan(&name, &typ, &rest[0], &rest[1], &rest[2], &rest[3]); err != nil {
			return nil, err
		}
		cols = append(cols, column{name: strings.ToLower(name), typ: fromDuck(typ)})
	}
	return cols, rows.Err()
}

// describe answers what a statement would return, for the extended protocol.
func (s *session) describe(ctx context.Context, st statement) ([]column, error) {
	cols, err := s.describeOnce(ctx, st)
	if typeUnknown(err) && !s.untyped {
		s.untyped = true
		defer func() { s.untyped = false }()
		return s.describeOnce(ctx, st)
	}
	return cols, err
}

func (s *session) describeOnce(ctx context.Context, st statement) ([]column, error) {
	nodes := tree(st.toks)
	switch st.kind {
	case kindSelect:
		if isFaultCall(nodes) {
			return faultColumns(), nil
		}
		if name, _, found := adminCall(nodes); found {
			return adminColumns(name), nil
		}
		rw := newRewriter(s.env())
		text, err := rw.query(nodes)
		if err != nil {
			return nil, err
		}
		cols, _, err := s.shape(ctx, text, nodes, nil)
		return cols, qualified(err, rw.reads)
	case kindShow:
		res, err := s.show(nodes)
		if err != nil {
			return nil, err
		}
		return res.cols, nil
	case kindExplain:
		return explainColumns(), nil
	case kindAnalyze:
		if find(nodes, 0, "compression") < len(nodes) {
			return compressionColumns(), nil
		}
		return nil, nil
	case kindExecute:
		inner, err := s.executed(nodes)
		if err != nil {
			return nil, err
		}
		return s.describe(ctx, inner)
	case kindFetch:
		c, _, err := s.fetched(nodes)
		if err != nil {
			return nil, err
		}
		return c.res.cols, nil
	default:
		return nil, nil
	}
}

// run executes one finished statement and counts its rows.
func (s *session) exec(ctx context.Context, text string) (int64, error) {
	if !s.began {
		panic("BUG: a statement outside of DuckDB's transaction, whose commit nobody would watch")
	}
	s.dirty = true
	res, err := s.duck.ExecContext(ctx, text)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func explainColumns() []column {
	return []column{textColumn("QUERY PLAN")}
}

// explain shows DuckDB's plan: it has nothing to do with what a cluster would choose, and says so.
func (s *session) explain(ctx context.Context, nodes []node) (*result, error) {
	rest := nodes[1:]
	for len(rest) > 0 && rest[0].is("verbose", "analyze") {
		rest = rest[1:]
	}
	if len(rest) == 0 || !rest[0].is("select", "with") {
		return nil, unsupported("EXPLAIN of anything but SELECT")
	}
	rw := newRewriter(s.env())
	text, err := rw.query(rest)
	if err != nil {
		return nil, err
	}
	if err := s.lockReads(ctx, rw); err != nil {
		return nil, err
	}
	var key, plan string
	if err := s.duck.QueryRowContext(ctx, "EXPLAIN "+text).Scan(&key, &plan); err != nil {
		return nil, err
	}
	data := [][]any{{"(the plan of the local Redshift's own engine)"}}
	for line := range strings.SplitSeq(strings.TrimRight(plan, "\n"), "\n") {
		data = append(data, []any{line})
	}
	return &result{cols: explainColumns(), data: data, tag: "EXPLAIN"}, nil
}

// lockTables runs LOCK, which takes no snapshot: what is read behind it is the newest there is.
func (s *session) lockTables(ctx context.Context, st statement, nodes []node) (*result, error) {
	i := 1
	if i < len(nodes) && nodes[i].is("table") {
		i++
	}
	for _, part := range splitNodes(nodes[i:find(nodes, i, "in")]) {
		name, _, err := tableAt(part, 0)
		if err != nil {
			return nil, err
		}
		if _, err := s.table(ctx, name); err != nil {
			return nil, err
		}
		if err := s.lock(ctx, name, lockExclusive); err != nil {
			return nil, err
		}
	}
	return &result{tag: st.tag}, nil
}
