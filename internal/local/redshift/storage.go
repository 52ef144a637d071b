//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
)

// alterStorage runs ALTER TABLE … ALTER COLUMN c ENCODE e, ALTER DISTSTYLE, ALTER DISTKEY, ALTER SORTKEY and ALTER
// ENCODE AUTO: they change the catalogue, there being nothing else to change here.
func (s *session) alterStorage(ctx context.Context, t *tableMeta, rest []node) error {
	for _, part := range splitNodes(rest) {
		if len(part) > 0 && part[0].is("alter") { // repeated between commas
			part = part[1:]
		}
		word := func(i int) node {
			if i < len(part) {
				return part[i]
			}
			return node{}
		}
		at := 0
		if word(0).is("column") {
			at = 1
		}
		var err error
		switch {
		case word(0).is("diststyle"):
			err = s.alterDiststyle(ctx, t, strings.ToUpper(word(1).val), word(3))
		case word(0).is("distkey"):
			err = s.alterDiststyle(ctx, t, "KEY", word(1))
		case word(0).is("sortkey", "compound"):
			err = s.alterSortkey(ctx, t, part[len(part)-1])
		case word(0).is("encode") && word(1).is("auto"):
		case word(at).name() && word(at+1).is("encode") && word(at+2).name():
			err = s.alterEncoding(ctx, t, word(at), word(at+2).val)
		default:
			err = syntaxError("syntax error in ALTER TABLE")
		}
		if err != nil {
			return err
		}
		if t, err = s.table(ctx, t.name); err != nil {
			return err
		}
	}
	return nil
}

// encodings are Redshift's.
const encodings = " raw az64 bytedict delta delta32k lzo mostly8 mostly16 mostly32 runlength text255 text32k zstd auto "

func (s *session) alterEncoding(ctx context.Context, t *tableMeta, column node, encoding string) error {
	c, err := columnOf(t, []node{column})
	if err != nil {
		return err
	}
	if !strings.Contains(encodings, " "+encoding+" ") {
		return pgError("42704", "encoding type %q does not exist", encoding) // (confirm)
	}
	name := c.name
	return s.amend(ctx, t, fmt.Sprintf("UPDATE _rs.columns SET encoding = %s WHERE table_oid = %d AND name = %s", quoteString(encoding), t.oid, quoteString(name)),
		func(t *tableMeta) { t.column(name).encoding = encoding })
}

func (s *session) alterDiststyle(ctx context.Context, t *tableMeta, style string, key node) error {
	switch style {
	case "ALL", "EVEN":
	case "AUTO":
		style = "AUTO(ALL)"
	case "KEY":
		c, err := columnOf(t, []node{key})
		if err != nil {
			return err
		}
		style = "KEY(" + c.name + ")"
	default:
		return syntaxError(`syntax error at or near "` + style + `"`)
	}
	name := ""
	if strings.HasPrefix(style, "KEY(") {
		name = key.val
	}
	edit := func(t *tableMeta) {
		t.diststyle = style
		for i := range t.cols {
			t.cols[i].distkey = t.cols[i].name == name
		}
	}
	if err := s.amend(ctx, t, fmt.Sprintf("UPDATE _rs.tables SET diststyle = %s WHERE oid = %d", quoteString(style), t.oid), edit); err != nil || t.temp {
		return err
	}
	_, err := s.exec(ctx, fmt.Sprintf("UPDATE _rs.columns SET distkey = (name = %s) WHERE table_oid = %d", quoteString(name), t.oid))
	return err
}

// alterSortkey takes a bracketed list of columns, or AUTO or NONE.
func (s *session) alterSortkey(ctx context.Context, t *tableMeta, keys node) error {
	var names []string
	if keys.open == '(' {
		var err error
		if names, err = columnNames(keys.kids); err != nil {
			return err
		}
	} else if !keys.is("auto", "none") {
		return syntaxError("syntax error in SORTKEY")
	}
	order := "CASE name"
	position := map[string]int{}
	for i, name := range names {
		if t.column(name) == nil {
			return pgError("42703", "column %q of relation %q does not exist", name, t.name.table)
		}
		position[name] = i + 1
		order += fmt.Sprintf(" WHEN %s THEN %d", quoteString(name), i+1)
	}
	order += " ELSE 0 END"
	if len(names) == 0 {
		order = "0"
	}
	return s.amend(ctx, t, fmt.Sprintf("UPDATE _rs.columns SET sortkey = %s WHERE table_oid = %d", order, t.oid), func(t *tableMeta) {
		for i := range t.cols {
			t.cols[i].sortkey = position[t.cols[i].name]
		}
	})
}

// analyze runs ANALYZE [t [(columns)] [PREDICATE COLUMNS | ALL COLUMNS]] and ANALYZE COMPRESSION t.
func (s *session) analyze(ctx context.Context, st statement, nodes []node, alone bool) (*result, error) {
	i := 1
	if i < len(nodes) && nodes[i].is("verbose") {
		i++
	}
	compression := i < len(nodes) && nodes[i].is("compression")
	if compression {
		if s.state != txImplicit || !alone {
			return nil, pgError("25001", "ANALYZE COMPRESSION cannot run inside a transaction block")
		}
		i++
	}
	if i == len(nodes) {
		return &result{tag: st.tag}, nil
	}
	name, i, err := tableAt(nodes, i)
	if err != nil {
		return nil, err
	}
	if err := s.lock(ctx, name, lockShare); err != nil {
		return nil, err
	}
	t, err := s.table(ctx, name)
	if err != nil {
		return nil, err
	}
	if i < len(nodes) && nodes[i].open == '(' {
		names, err := columnNames(nodes[i].kids)
		if err != nil {
			return nil, err
		}
		if _, err := targetColumns(t, names); err != nil {
			return nil, err
		}
	}
	if !compression {
		return &result{tag: st.tag}, nil
	}
	res := &result{cols: compressionColumns(), tag: st.tag}
	for _, c := range t.cols {
		encoding := c.encoding
		if encoding == "" || encoding == "auto" {
			encoding = "raw"
		}
		res.data = append(res.data, []any{t.name.table, c.name, encoding, "0.00"})
	}
	return res, nil
}

// compressionColumns are those of ANALYZE COMPRESSION. What it would recommend hangs on blocks that are not here: it
// recommends what there is.
func compressionColumns() []column {
	var out []column
	for _, name := range []string{"Table", "Column", "Encoding", "Est_reduction_pct"} {
		out = append(out, column{name: name, typ: colType{oid: oidVarchar, declared: "character varying(256)", duck: "VARCHAR"}})
	}
	return out
}

// vacuum runs VACUUM [FULL | SORT ONLY | DELETE ONLY | REINDEX | RECLUSTER] [t [TO n PERCENT] [BOOST]].
func (s *session) vacuum(ctx context.Context, st statement, nodes []node, alone bool) (*result, error) {
	if s.state != txImplicit || !alone {
		return nil, pgError("25001", "VACUUM cannot run inside a transaction block")
	}
	i := 1
	for i < len(nodes) && nodes[i].is("full", "sort", "delete", "only", "reindex", "recluster") {
		i++
	}
	if i < len(nodes) && !nodes[i].is("boost") {
		name, _, err := tableAt(nodes, i)
		if err != nil {
			return nil, err
		}
		if _, err := s.table(ctx, name); err != nil {
			return nil, err
		}
	}
	return &result{tag: st.tag}, nil
}

// selectInto runs SELECT … INTO [TEMP] [TABLE] t FROM …, which creates t from the query. It reports whether the
// statement was one.
func (s *session) selectInto(ctx context.Context, nodes []node) (*result, bool, error) {
	into := find(nodes, 0, "into")
	if into == len(nodes) || into > find(nodes, 0, "from") {
		return nil, false, nil
	}
	t := &tableMeta{diststyle: "AUTO(ALL)"}
	i := into + 1
	for i < len(nodes) && nodes[i].is("temp", "temporary", "table") {
		t.temp = t.temp || !nodes[i].is("table")
		i++
	}
	var err error
	if t.name, i, err = tableAt(nodes, i); err != nil {
		return nil, true, err
	}
	t.temp = t.temp || strings.HasPrefix(t.name.table, "#")
	taken, err := s.claimName(ctx, t)
	if err == nil && taken {
		err = errRelationExists(t.name.table)
	}
	if err != nil {
		return nil, true, err
	}
	query := append(append([]node{}, nodes[:into]...), nodes[i:]...)
	res, err := s.createTableAs(ctx, t, attributes{}, nil, query)
	return res, true, err
}
