package care

import (
	"fmt"
	"slices"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// advice is what ANALYZE COMPRESSION says of a column.
type advice struct {
	warehouse.StoredColumn
	Encoding string  // proposed
	Saves    float64 // percent of the column
	Bytes    float64 // a value's mean width, before compression
}

// recode returns the columns that are to get another encoding: those of which a
// fifth is saved, if all of them together save a fifth of the table. A column's
// share of the table is estimated by the width of its values.
func recode(columns []advice) []advice {
	var out []advice
	var all, saved float64
	for _, c := range columns {
		all += c.Bytes
		if c.Saves >= savedPercent && c.allowed() {
			saved += c.Bytes * c.Saves
			out = append(out, c)
		}
	}
	if all == 0 || saved/all < savedPercent {
		return nil
	}
	return out
}

// allowed says that a column may have the proposed encoding. The first sort
// column stays raw, for range scans would read too much; a VARCHAR with one of
// the dictionaries could never be widened; SUPER and VARBYTE take nothing else
// than they have.
func (a advice) allowed() bool {
	kind := warehouse.ParseType(a.Type).Kind
	switch {
	case a.Encoding == a.StoredColumn.Encoding, a.SortKey == 1, kind == warehouse.Super, kind == warehouse.Varbyte:
		return false
	case kind == warehouse.Varchar || a.Type == "character":
		return !slices.Contains([]string{"text255", "text32k", "bytedict", "runlength"}, a.Encoding)
	}
	return true
}

// width is the SQL that measures the mean width of a column's values, or their
// number of bytes where the type tells.
func width(c warehouse.StoredColumn) (sql string, bytes float64) {
	name := warehouse.Ident(c.Name)
	switch t := warehouse.ParseType(c.Type); t.Kind {
	case warehouse.Boolean:
		return "", 1
	case warehouse.SmallInt:
		return "", 2
	case warehouse.Integer, warehouse.Real, warehouse.Date:
		return "", 4
	case warehouse.Numeric:
		return "", 16
	case warehouse.Super:
		return fmt.Sprintf("AVG(OCTET_LENGTH(JSON_SERIALIZE(%s))::FLOAT)", name), 0
	case warehouse.Varchar, warehouse.Varbyte:
		return fmt.Sprintf("AVG(OCTET_LENGTH(%s)::FLOAT)", name), 0
	default:
		return "", 8
	}
}
