//go:build cgo

package redshift

import (
	"database/sql"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"
	wire "github.com/jeroenrinzema/psql-wire"
)

// result is what a statement answers: rows of DuckDB, rows of the front, or a tag alone.
type result struct {
	cols    []column
	rows    *sql.Rows
	data    [][]any
	from    *result // a cursor's, of which left more rows may be read
	left    int
	tag     string
	counted bool // the tag ends with a number of rows
	format  format
	count   int64
	stop    func()
}

// batchRows is how many rows go to the client at a time.
const batchRows = 512

func (r *result) close() {
	if r.rows != nil {
		_ = r.rows.Close()
		r.rows = nil
		r.stop()
	}
}

// next returns up to n more rows, none at the end.
func (r *result) next(n int) ([][]any, error) {
	if r.from != nil {
		out, err := r.from.next(min(n, r.left))
		r.left -= len(out)
		return out, err
	}
	if r.rows == nil {
		n = min(n, len(r.data))
		out := r.data[:n]
		r.data = r.data[n:]
		return out, nil
	}
	var out [][]any
	for len(out) < n && r.rows.Next() {
		row := make([]any, len(r.cols))
		into := make([]any, len(r.cols))
		for i := range row {
			into[i] = &row[i]
		}
		if err := r.rows.Scan(into...); err != nil {
			return nil, err
		}
		for i := range row {
			row[i] = r.format.value(row[i], r.cols[i].typ)
		}
		out = append(out, row)
	}
	return out, r.rows.Err()
}

// buffer takes the rows into memory, up to limit bytes as text would need them.
func (r *result) buffer(limit int) error {
	if r.rows == nil && r.from == nil {
		return nil
	}
	var all [][]any
	size := 0
	for {
		rows, err := r.next(batchRows)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		all = append(all, rows...)
		for _, row := range rows {
			for _, v := range row {
				size += 16
				if s, ok := v.(string); ok {
					size += len(s)
				}
			}
		}
		if size > limit {
			return pgError("54000", "the results before the last of one query string exceed %d bytes", limit)
		}
	}
	r.close()
	r.from = nil
	r.data = all
	return nil
}

// completion is the command tag.
func (r *result) completion(sent int64) string {
	if r.cols != nil && r.tag == "SELECT" || r.tag == "FETCH" {
		return r.tag + " " + strconv.FormatInt(sent, 10)
	}
	if r.counted {
		return r.tag + " " + strconv.FormatInt(r.count, 10)
	}
	return r.tag
}

// wireColumns describes cols to psql-wire.
func wireColumns(cols []column) wire.Columns {
	out := make(wire.Columns, len(cols))
	for i, c := range cols {
		out[i] = wire.Column{Name: c.name, Oid: c.typ.oid, Width: typeWidth(c.typ.oid), AttrNo: int16(i + 1), Table: int32(c.typ.typmod)} // see rowDescription
	}
	return out
}

func typeWidth(oid uint32) int16 {
	switch oid {
	case oidBool:
		return 1
	case oidInt2:
		return 2
	case oidInt4, oidFloat4, oidDate:
		return 4
	case oidInt8, oidFloat8, oidTimestamp, oidTimestamptz, oidTime:
		return 8
	}
	return -1
}

// extendTypes teaches psql-wire the types that PostgreSQL lacks; they go out as text.
func extendTypes(m *pgtype.Map) {
	for name, oid := range map[string]uint32{"super": oidSuper, "varbyte": oidVarbyte} {
		m.RegisterType(&pgtype.Type{Name: name, OID: oid, Codec: pgtype.TextCodec{}})
	}
	m.RegisterType(&pgtype.Type{Name: "timetz", OID: oidTimetz, Codec: zonedClockCodec{}})
}
