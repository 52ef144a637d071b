//go:build cgo

package redshift

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// copyError is a failed load with what sys_load_error_detail says of it.
type copyError struct {
	url    string
	column string
	typ    string
	err    *sqlError
	cause  error
}

func (e *copyError) Error() string { return e.err.Error() }

func (e *copyError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.err}
	}
	return []error{e.err, e.cause}
}

// parquetColumn is a leaf of a file's schema.
type parquetColumn struct {
	name, duck string
	described  string // as Redshift's message has it: optional int64 total
	nested     bool
}

// copyOne loads one object by position.
func (s *session) copyOne(ctx context.Context, t *tableMeta, cols []columnMeta, f copyFile, o copyOptions) (int64, error) {
	path, err := s.fetchObject(ctx, f)
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(path) }()
	file, err := s.parquetColumns(ctx, path, f.url)
	if err != nil {
		return 0, err
	}
	if len(file) != len(cols) && (!o.fill || len(file) >= len(cols)) {
		return 0, &copyError{url: f.url, err: internalError(15007,
			fmt.Sprintf("Unmatched number of columns between table and file. Table columns: %d, Data columns: %d", len(cols), len(file)), f.url, "dory_util.cpp")}
	}
	names, into, exprs := make([]string, len(file)), make([]string, len(file)), make([]string, len(file))
	for i, p := range file {
		names[i] = fmt.Sprintf(`"c%d"`, i)
		into[i] = quoteIdent(cols[i].name)
		if !compatible(cols[i].typ, p) {
			return 0, &copyError{url: f.url, column: cols[i].name, typ: cols[i].typ.declared, err: internalError(15007, fmt.Sprintf(
				"File '%s' has an incompatible Parquet schema for column '%s.%s'. Column type: %s, Parquet schema: %s",
				f.url, f.url, cols[i].name, shortType(cols[i].typ), p.described), f.url, "dory_util.cpp")}
		}
		exprs[i] = loaded(names[i], cols[i], p)
	}
	n, err := s.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM read_parquet(%s) AS \"_f\"(%s)", t.sql(),
		strings.Join(into, ", "), strings.Join(exprs, ", "), quoteString(path), strings.Join(names, ", ")))
	if err != nil {
		return 0, loadError(err, cols, f.url)
	}
	return n, nil
}

// loaded is the value of a column; what is too long raises an error that loadError takes apart.
func loaded(expr string, c columnMeta, p parquetColumn) string {
	if c.typ.duck == "VARCHAR" || c.typ.duck == "BLOB" {
		size := "strlen(" + expr + ")"
		if p.duck == "BLOB" && c.typ.duck == "VARCHAR" {
			expr = "decode(" + expr + ")"
			size = "strlen(" + expr + ")"
		} else if c.typ.duck == "BLOB" {
			size = "octet_length(" + expr + ")"
		}
		return fmt.Sprintf("CASE WHEN %s > %d THEN %s ELSE %s END", size, c.typ.limit, raise("15001", c.name, "'|', "+size), expr)
	}
	if c.typ.oid == oidSuper {
		return "to_json(" + expr + ")"
	}
	return "CAST(" + expr + " AS " + c.typ.duck + ")"
}

// loadError turns DuckDB's error of a load into Redshift's.
func loadError(err error, cols []columnMeta, url string) error {
	code, msg, found := fromMarker(err.Error())
	name, size, _ := strings.Cut(msg, "|")
	for _, c := range cols {
		if found && code == "15001" && c.name == name {
			return &copyError{url: url, column: c.name, typ: c.typ.declared, err: internalError(15001, fmt.Sprintf(
				"The length of the data column %s is longer than the length defined in the table. Table: %d, Data: %s", c.name, c.typ.limit, size), url, "dory_util.cpp")}
		}
	}
	// Any other error, also one that quotes the statement and the marker in it.
	if e := translate(err); e.code == "57014" || strings.HasPrefix(e.code, "53") {
		return e
	}
	return &copyError{url: url, cause: err, err: internalError(15001, "Spectrum Scan Error", err.Error()+" "+url, "dory_util.cpp")}
}

// compatible follows the documented pairs: a file's width must be the column's.
func compatible(t colType, p parquetColumn) bool {
	if p.nested {
		return t.oid == oidSuper
	}
	switch t.oid {
	case oidVarchar, oidBPChar:
		return p.duck == "VARCHAR" || p.duck == "BLOB" || p.duck == "JSON" || p.duck == "ENUM"
	case oidVarbyte:
		return p.duck == "BLOB" || p.duck == "VARCHAR"
	case oidSuper:
		return p.duck == "VARCHAR" || p.duck == "JSON"
	case oidTimestamp, oidTimestamptz:
		return strings.HasPrefix(p.duck, "TIMESTAMP")
	case oidInt2:
		return p.duck == "SMALLINT" || p.duck == "INTEGER" && strings.Contains(p.described, "INT_16")
	case oidNumeric:
		return p.duck == t.duck
	}
	return p.duck == t.duck
}

// shortType is a type as Spectrum's messages write it.
func shortType(t colType) string {
	switch t.oid {
	case oidVarchar, oidBPChar:
		return "VARCHAR"
	case oidFloat8:
		return "DOUBLE"
	case oidFloat4:
		return "REAL"
	case oidTimestamp:
		return "TIMESTAMP"
	}
	return strings.ToUpper(t.declared)
}

// parquetColumns reads a file's schema: its top-level columns in order.
func (s *session) parquetColumns(ctx context.Context, path, url string) ([]parquetColumn, error) {
	rows, err := s.duck.QueryContext(ctx, `SELECT name, coalesce(type, ''), coalesce(repetition_type, ''), coalesce(num_children, 0), coalesce(converted_type, ''),
		coalesce(duckdb_type, '') FROM parquet_schema(`+quoteString(path)+`)`)
	if err != nil {
		return nil, &copyError{url: url, cause: err, err: internalError(15001, "Spectrum Scan Error",
			"File '"+url+"' has an invalid version number or is no Parquet file", "dory_util.cpp")} // (confirm)
	}
	defer func() { _ = rows.Close() }()
	var out []parquetColumn
	skip := int64(0) // nodes left below a nested column
	for first := true; rows.Next(); first = false {
		var name, typ, repetition, converted, duck string
		var children int64
		if err := rows.Scan(&name, &typ, &repetition, &children, &converted, &duck); err != nil {
			return nil, err
		}
		if first {
			continue
		}
		if skip > 0 {
			skip += children - 1
			continue
		}
		physical := map[string]string{"BYTE_ARRAY": "byte_array", "FIXED_LEN_BYTE_ARRAY": "fixed_len_byte_array"}[typ]
		if physical == "" {
			physical = strings.ToLower(typ)
		}
		described := strings.ToLower(repetition) + " " + physical + " " + name
		if converted != "" {
			described += " (" + converted + ")"
		}
		out = append(out, parquetColumn{name: name, duck: duck, described: described, nested: children > 0})
		skip = children
	}
	return out, rows.Err()
}

// loadFailed notes a failed load for sys_load_error_detail, outside the transaction that it ends.
func (s *session) loadFailed(ctx context.Context, o copyOptions, err error) error {
	var e *copyError
	if !errors.As(err, &e) || ctx.Err() != nil {
		return err
	}
	_, noted := s.srv.db.ExecContext(ctx, fmt.Sprintf("INSERT INTO _rs.load_errors VALUES (%d, %s, %s, %s, %s, %s, %s, %s)", s.pid, stamp(), quoteString(o.table.String()),
		quoteString(e.url), quoteString(e.column), quoteString(e.typ), quoteString(e.err.msg), quoteString(errorCode(e.err))))
	if noted != nil {
		s.srv.log.Warn("load error not recorded", "err", noted)
	}
	return err
}

// errorCode digs Redshift's own code out of the detail.
func errorCode(e *sqlError) string {
	_, rest, _ := strings.Cut(e.detail, "code:")
	fields := strings.Fields(rest)
	if len(fields) > 0 {
		if _, err := strconv.Atoi(fields[0]); err == nil {
			return fields[0]
		}
	}
	return ""
}

// loadErrorsKept is how long sys_load_error_detail remembers.
const loadErrorsKept = 7 * 24 * time.Hour
