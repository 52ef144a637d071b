//go:build cgo

package redshift

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/jackc/pgx/v5/pgtype"
	wire "github.com/jeroenrinzema/psql-wire"
)

// castName is DuckDB's name of the types that a parameter can have, by object id; the rest travel as text.
func castName(oid uint32) string {
	switch oid {
	case oidBool:
		return "BOOLEAN"
	case oidInt2:
		return "SMALLINT"
	case oidInt4:
		return "INTEGER"
	case oidInt8:
		return "BIGINT"
	case oidFloat4:
		return "FLOAT"
	case oidFloat8:
		return "DOUBLE"
	case oidDate:
		return "DATE"
	case oidTimestamp:
		return "TIMESTAMP"
	case oidTimestamptz:
		return "TIMESTAMPTZ"
	case oidTime:
		return "TIME"
	case oidTimetz:
		return "TIMETZ"
	case oidInterval:
		return "INTERVAL"
	case oidNumeric:
		return "DECIMAL(38,9)"
	}
	return "VARCHAR"
}

// parameterTypes settles the type of each parameter: the client's, else what DuckDB infers, else text.
func (s *session) parameterTypes(ctx context.Context, st statement, given []uint32) ([]uint32, error) {
	n := max(paramCount(st.toks), len(given))
	if n == 0 {
		return nil, nil
	}
	out := make([]uint32, n)
	copy(out, given)
	missing := false
	for _, oid := range out {
		missing = missing || oid == 0
	}
	if missing && st.kind == kindInsert {
		if err := s.insertParameters(ctx, tree(st.toks), out); err != nil {
			return nil, err
		}
	}
	if missing {
		if err := s.inferParameters(ctx, st, out); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if out[i] == 0 {
			out[i] = oidText
		}
	}
	return out, nil
}

// insertParameters gives parameters that stand alone in VALUES their columns' types, which DuckDB does not infer.
func (s *session) insertParameters(ctx context.Context, nodes []node, oids []uint32) error {
	in, err := readInsert(nodes)
	if err != nil || !in.values() {
		return err
	}
	t, err := s.table(ctx, in.table)
	if err != nil {
		return err
	}
	cols, err := targetColumns(t, in.columns)
	if err != nil {
		return err
	}
	for _, row := range splitNodes(in.source[1:]) {
		if len(row) != 1 || row[0].open != '(' {
			return syntaxError("syntax error in VALUES")
		}
		for i, v := range splitNodes(row[0].kids) {
			if len(v) != 1 || v[0].kind != tokParam || i >= len(cols) {
				continue
			}
			if n, err := strconv.Atoi(v[0].val); err == nil && n >= 1 && n <= len(oids) && oids[n-1] == 0 {
				oids[n-1] = parameterFor(cols[i].typ.oid)
			}
		}
	}
	return nil
}

// parameterFor is what clients know for a column's type.
func parameterFor(oid uint32) uint32 {
	if oid == oidSuper || oid == oidVarbyte || oid == oidTimetz {
		return oidText
	}
	return oid
}

// inferParameters fills the zeros of oids from DuckDB's own preparation of the statement.
func (s *session) inferParameters(ctx context.Context, st statement, oids []uint32) error {
	rw := newRewriter(s.env())
	text, err := rw.query(tree(st.toks))
	if err != nil {
		return err
	}
	return s.duck.Raw(func(conn any) error {
		prepared, err := conn.(*duckdb.Conn).PrepareContext(ctx, text)
		if err != nil {
			return nil // the statement itself will say what is wrong with it; text serves till then
		}
		defer func() { _ = prepared.Close() }()
		stmt, ok := prepared.(*duckdb.Stmt)
		if !ok {
			return nil
		}
		for i := range min(stmt.NumInput(), len(oids)) {
			name, err := stmt.ParamName(i + 1)
			if err != nil {
				continue
			}
			at, err := strconv.Atoi(name)
			if err != nil || at < 1 || at > len(oids) || oids[at-1] != 0 {
				continue
			}
			if t, err := stmt.ParamType(i + 1); err == nil {
				oids[at-1] = parameterOID(t)
			}
		}
		return nil
	})
}

func parameterOID(t duckdb.Type) uint32 {
	switch t {
	case duckdb.TYPE_BOOLEAN:
		return oidBool
	case duckdb.TYPE_TINYINT, duckdb.TYPE_SMALLINT:
		return oidInt2
	case duckdb.TYPE_INTEGER:
		return oidInt4
	case duckdb.TYPE_BIGINT:
		return oidInt8
	case duckdb.TYPE_FLOAT:
		return oidFloat4
	case duckdb.TYPE_DOUBLE:
		return oidFloat8
	case duckdb.TYPE_DECIMAL, duckdb.TYPE_HUGEINT:
		return oidNumeric
	case duckdb.TYPE_DATE:
		return oidDate
	case duckdb.TYPE_TIMESTAMP:
		return oidTimestamp
	case duckdb.TYPE_TIMESTAMP_TZ:
		return oidTimestamptz
	case duckdb.TYPE_TIME:
		return oidTime
	}
	return oidText
}

// bindNulls puts typed NULLs for parameters, which is enough to describe a statement.
func bindNulls(toks []token, oids []uint32) ([]token, error) {
	return substitute(toks, func(i int) (string, error) {
		if i >= len(oids) {
			return "", pgError("42P02", "there is no parameter $%d", i+1)
		}
		return "CAST(NULL AS " + castName(oids[i]) + ")", nil
	})
}

// bindValues writes the values of a Bind message into the statement.
func bindValues(toks []token, oids []uint32, values []wire.Parameter, m *pgtype.Map) ([]token, error) {
	return substitute(toks, func(i int) (string, error) {
		if i >= len(values) {
			return "", pgError("08P01", "bind message supplies %d parameters, but the statement requires %d", len(values), i+1)
		}
		return literal(values[i], oids[i], m)
	})
}

// substitute replaces each parameter by finished SQL.
func substitute(toks []token, value func(i int) (string, error)) ([]token, error) {
	if paramCount(toks) == 0 {
		return toks, nil
	}
	out := make([]token, len(toks))
	copy(out, toks)
	for i, t := range out {
		if t.kind != tokParam {
			continue
		}
		n, _ := strconv.Atoi(t.val)
		sql, err := value(n - 1)
		if err != nil {
			return nil, err
		}
		out[i] = token{kind: tokSQL, pre: " ", val: sql}
	}
	return out, nil
}

// literal writes one parameter as SQL.
func literal(p wire.Parameter, oid uint32, m *pgtype.Map) (string, error) {
	cast := castName(oid)
	if p.Value() == nil {
		return "CAST(NULL AS " + cast + ")", nil
	}
	text := string(p.Value())
	if p.Format() == wire.BinaryFormat {
		t, found := m.TypeForOID(oid)
		if !found {
			return "", unsupported(fmt.Sprintf("binary parameters of type %d", oid))
		}
		v, err := t.Codec.DecodeValue(m, oid, pgtype.BinaryFormatCode, p.Value())
		if err != nil {
			return "", pgError("22P03", "incorrect binary data format: %v", err)
		}
		if text, err = textParameter(v); err != nil {
			return "", err
		}
	}
	switch {
	case cast == "VARCHAR":
		return quoteString(text), nil
	case oid == oidNumeric && decimalText(text):
		return "(" + text + ")", nil // with its own scale
	}
	return "CAST(" + quoteString(text) + " AS " + cast + ")", nil
}

// decimalText reports whether text is a decimal number that SQL reads as one.
func decimalText(text string) bool {
	digits := strings.Replace(strings.TrimPrefix(text, "-"), ".", "", 1)
	return digits != "" && len(digits) <= 38 && strings.Trim(digits, "0123456789") == "" && strings.Contains(text, ".")
}

// textParameter is what a decoded binary parameter reads in text.
func textParameter(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.999999"), nil
	case []byte:
		return hex.EncodeToString(v), nil
	case [16]byte:
		return fmt.Sprintf("%x-%x-%x-%x-%x", v[0:4], v[4:6], v[6:8], v[8:10], v[10:16]), nil
	case pgtype.Numeric:
		t, err := v.Value()
		return fmt.Sprint(t), err
	case pgtype.Time:
		return (time.Time{}).Add(time.Duration(v.Microseconds) * time.Microsecond).Format("15:04:05.999999"), nil
	case int16, int32, int64, uint32, float32, float64:
		return fmt.Sprint(v), nil
	}
	return "", unsupported(fmt.Sprintf("parameters of type %T", v))
}
