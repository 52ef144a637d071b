//go:build cgo

package redshift

import (
	"context"
	"errors"
	"fmt"
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

// storedValue is the value of a column as the table holds it.
func storedValue(expr string, c columnMeta, p parquetColumn) string {
	switch {
	case p.duck == "BLOB" && c.typ.duck == "VARCHAR":
		return "decode(" + expr + ")"
	case c.typ.duck == "VARCHAR" || c.typ.duck == "BLOB":
		return expr
	case c.typ.oid == oidSuper:
		return "to_json(" + expr + ")"
	case p.duck == "TIMESTAMP WITH TIME ZONE" && c.typ.duck == "TIMESTAMP": // the cast asks the calendar of the zone, at 20 times the cost
		return "CASE WHEN isfinite(" + expr + ") THEN make_timestamp(epoch_us(" + expr + ")) ELSE CAST(" + expr + " AS TIMESTAMP) END"
	}
	return "CAST(" + expr + " AS " + c.typ.duck + ")"
}

// byteLength is the length of a value that a column bounds, else empty.
func byteLength(expr string, c columnMeta, p parquetColumn) string {
	switch c.typ.duck {
	case "VARCHAR":
		return "strlen(" + storedValue(expr, c, p) + ")"
	case "BLOB":
		return "octet_length(" + expr + ")"
	}
	return ""
}

// loaded is the value of a column; what is too long raises an error that loadError takes apart.
func loaded(expr string, c columnMeta, p parquetColumn) string {
	value := storedValue(expr, c, p)
	if size := byteLength(expr, c, p); size != "" {
		return fmt.Sprintf("CASE WHEN %s > %d THEN %s ELSE %s END", size, c.typ.limit, raise("15001", c.name, "'|', "+size+", '|', "+fileColumn), value)
	}
	return value
}

// loadError turns DuckDB's error of a load into Redshift's, which names the file.
func (s *session) loadError(ctx context.Context, err error, cols []columnMeta, files []localFile) error {
	url := s.culprit(ctx, err, files).url
	code, msg, found := fromMarker(err.Error())
	name, rest, _ := strings.Cut(msg, "|")
	size, _, _ := strings.Cut(rest, "|")
	for _, c := range cols {
		if found && code == "15001" && c.name == name {
			return errColumnTooLong(c, size, url)
		}
	}
	// Any other error, also one that quotes the statement and the marker in it.
	if e := translate(err); e.code == "57014" || strings.HasPrefix(e.code, "53") {
		return e
	}
	return &copyError{url: url, cause: err, err: internalError(15001, "Spectrum Scan Error", err.Error()+" "+url, "dory_util.cpp")}
}

func errColumnTooLong(c columnMeta, size, url string) *copyError {
	return &copyError{url: url, column: c.name, typ: c.typ.declared, err: internalError(15001, fmt.Sprintf(
		"The length of the data column %s is longer than the length defined in the table. Table: %d, Data: %s", c.name, c.typ.limit, size), url, "dory_util.cpp")}
}

// culprit is the file that an error is about: the one that it names, else the
// first that does not read to its end. The transaction of the load has failed,
// so another connection reads.
func (s *session) culprit(ctx context.Context, err error, files []localFile) localFile {
	for _, f := range files {
		if strings.Contains(err.Error(), f.path) {
			return f
		}
	}
	for _, f := range files[:len(files)-1] {
		if _, err := s.srv.db.ExecContext(ctx, "SELECT count(COLUMNS(*)) FROM read_parquet("+quoteString(f.path)+")"); err != nil {
			return f
		}
	}
	return files[len(files)-1]
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
	text := fmt.Sprintf("INSERT INTO _rs.load_errors VALUES (%d, %s, %s, %s, %s, %s, %s, %s)", s.pid, stamp(), quoteString(o.table.String()),
		quoteString(e.url), quoteString(e.column), quoteString(e.typ), quoteString(e.err.msg), quoteString(errorCode(e.err)))
	noted := s.srv.durable(func() error {
		_, err := s.srv.db.ExecContext(context.WithoutCancel(ctx), text)
		return err
	}, s.farewell)
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
