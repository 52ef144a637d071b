//go:build cgo

package redshift

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
)

// wireError dresses err for psql-wire, which is given it as its error sanitiser.
func wireError(err error) error {
	e := translate(err)
	out := psqlerr.WithCode(errors.New(e.msg), codes.Code(e.code))
	out = psqlerr.WithDetail(out, e.detail)
	out = psqlerr.WithHint(out, positioned(e.hint, e.at))
	if e.fatal {
		return psqlerr.WithSeverity(out, psqlerr.LevelFatal)
	}
	return psqlerr.WithSeverity(out, psqlerr.LevelError)
}

// translate turns any error into Redshift's words.
func translate(err error) *sqlError {
	if e, ok := errors.AsType[*sqlError](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errTimeout()
	}
	if errors.Is(err, context.Canceled) {
		return errCancelled()
	}
	if duck, ok := errors.AsType[*duckdb.Error](err); ok {
		return translateDuck(duck)
	}
	if code := psqlerr.GetCode(err); code != codes.Uncategorized {
		return pgError(string(code), "%s", err.Error())
	}
	return pgError("XX000", "%s", err.Error())
}

// duckRule maps a message of DuckDB. $1… in msg are the groups of match.
type duckRule struct {
	match *regexp.Regexp
	code  string
	msg   string
}

// duckRules are tried in order, against the first line of the message.
var duckRules = sync.OnceValue(func() []duckRule {
	rule := func(match, code, msg string) duckRule {
		return duckRule{match: regexp.MustCompile(match), code: code, msg: msg}
	}
	return []duckRule{
		rule(`^(?i)(?:conflict on|catalog write-write conflict|write-write conflict)`, "XX000", "1023"),
		rule(`altered by a different transaction|has been altered|Could not commit`, "XX000", "1023"),
		rule(`^(?:Table|View) with name "?([^"\s]+)"? already exists`, "42P07", `Relation "$1" already exists`),
		rule(`^(?:Table|View)(?: or View)? with name "?([^"]+?)"? does not exist`, "42P01", `relation "$1" does not exist`),
		rule(`^Schema with name "?([^"\s]+)"? already exists`, "42P06", `schema "$1" already exists`),
		rule(`^Schema with name "?([^"\s]+)"? does not exist`, "3F000", `schema "$1" does not exist`),
		rule(`(?:Function|Macro) with name "?([^"\s]+)"? does not exist`, "42883", `the local Redshift does not support function $1`),
		rule(`^Column with name "?([^"\s]+)"? already exists`, "42701", `column "$1" already exists`),
		rule(`^Table "([^"]*)" does not have a column (?:named|with name) "([^"]*)"`, "42703", `column $1.$2 does not exist`),
		rule(`^Referenced update column (\S+) not found`, "42703", `column "$1" does not exist`),
		rule(`^Referenced column "([^"]*)"`, "42703", `column "$1" does not exist`),
		rule(`does not have a column named "([^"]*)"`, "42703", `column "$1" does not exist`),
		rule(`^Referenced table "([^"]*)" not found`, "42P01", `missing FROM-clause entry for table "$1"`),
		rule(`^Ambiguous reference to column name "([^"]*)"`, "42702", `column reference "$1" is ambiguous`),
		rule(`^column "?([^"\s]+)"? must appear in the GROUP BY`, "42803", `column "$1" must appear in the GROUP BY clause or be used in an aggregate function`),
		rule(`^Macro "?(?:sum_of|avg_of|trunc_of)`, "42883", "function does not exist for an argument of this type; cast it"),
		rule(`^Macro `, "42883", "operator or function does not exist for an argument of this type; cast it"),
		rule(`^WHERE clause cannot contain aggregates`, "42803", "aggregates not allowed in WHERE clause"),
		rule(`^GROUP BY clause cannot contain aggregates`, "42803", "aggregates not allowed in GROUP BY clause"),
		rule(`^WHERE clause cannot contain window`, "42P20", "window functions not allowed in WHERE clause"),
		rule(`^HAVING clause cannot contain window`, "42P20", "window functions not allowed in HAVING clause"),
		rule(`^aggregate function calls cannot be nested`, "42803", "aggregate function calls may not be nested"),
		rule(`^Set operations can only apply`, "42601", "each UNION query must have the same number of columns"),
		rule(`^(ORDER|GROUP BY) term out of range - should be between 1 and (\d+)`, "42P10", "$1 position is not in select list; it has $2 columns"),
		rule(`^Duplicate alias "([^"]*)"`, "42712", `table name "$1" specified more than once`),
		rule(`^Type (\S+) with value (\S+) can't be cast because the value is out of range`, "22003", "value $2 out of range"),
		rule(`^Casting value "(.*)" to type (\S+) failed: value is out of range`, "22003", "numeric field overflow: $1"),
		rule(`^Could not cast value (\S+) to DECIMAL`, "22003", "numeric field overflow: $1"),
		rule(`^(?i)(?:date|timestamp|time)(?: with time zone)? field value out of range: "([^"]*)"`, "22008", `date/time field value out of range: "$1"`),
		rule(`^(?i)invalid (timestamp|date|time)(?: with time zone)? field format: "([^"]*)"`, "22007", `invalid input syntax for type $1: "$2"`),
		rule(`^(?i)Could not convert string ["'](.*)["'] to DECIMAL`, "22P02", `invalid input syntax for type numeric: "$1"`),
		rule(`^(?i)Could not convert string ["'](.*)["'] to BOOL`, "22P02", `invalid input syntax for type boolean: "$1"`),
		rule(`^Column "([^"]*)" does not exist on (left|right) side of join`, "42703", `column "$1" specified in USING clause does not exist in $2 table`),
		rule(`^(?:Overflow in|.*out of range)`, "22003", "value out of range"),
		rule(`^Subquery returns (\d+) columns - expected 1`, "42601", "subquery must return only one column"),
		rule(`^Cannot compare values of type (\S+) and (?:type )?(\S+)`, "42883", "operator does not exist for $1 and $2; cast one of them"),
		rule(`^Type with name (\S+) does not exist`, "42704", `type "$1" does not exist`),
		rule(`^syntax error at or near "([^"]*)"`, "42601", `syntax error at or near "$1"`),
		rule(`^NOT NULL constraint failed: .*?([^.\s]+)$`, "23502", `Cannot insert a NULL value into column $1`),
		rule(`^(?i)Could not convert string '(.*)' to (INT\d+|UINT\d+|HUGEINT)`, "22P02", `invalid input syntax for integer: "$1"`),
		rule(`^(?i)Could not convert string '(.*)' to (FLOAT|DOUBLE|DECIMAL.*)`, "22P02", `invalid input syntax for type double precision: "$1"`),
		rule(`^(?i)(?:invalid )?timestamp field|invalid timestamp|invalid date`, "22007", ""),
		rule(`^Malformed JSON`, "XX000", "JSON parsing error"),
		rule(`(?i)more than one row returned by a subquery`, "21000", "more than one row returned by a subquery used as an expression"),
	}
})

// typeCodes are the SQLSTATEs of DuckDB's error types, where no rule matches.
func typeCode(t duckdb.ErrorType) string {
	switch t {
	case duckdb.ErrorTypeParser, duckdb.ErrorTypeSyntax:
		return "42601"
	case duckdb.ErrorTypeBinder:
		return "42804"
	case duckdb.ErrorTypeCatalog:
		return "42P01"
	case duckdb.ErrorTypeConversion, duckdb.ErrorTypeInvalidInput:
		return "22P02"
	case duckdb.ErrorTypeOutOfRange:
		return "22003"
	case duckdb.ErrorTypeInterrupt:
		return "57014"
	case duckdb.ErrorTypeOutOfMemory:
		return "53200"
	case duckdb.ErrorTypeIO:
		return "58030"
	case duckdb.ErrorTypeNotImplemented, duckdb.ErrorTypePermission:
		return "0A000"
	case duckdb.ErrorTypeConstraint:
		return "23514"
	default:
		return "XX000"
	}
}

func translateDuck(duck *duckdb.Error) *sqlError {
	if code, msg, found := fromMarker(duck.Msg); found {
		return pgError(code, "%s", msg)
	}
	if duck.Type == duckdb.ErrorTypeInterrupt {
		return errCancelled()
	}
	msg := duck.Msg
	if _, rest, found := strings.Cut(msg, "Error: "); found {
		msg = rest
	}
	msg, _, _ = strings.Cut(msg, "\n")
	if strings.Contains(msg, "No space left on device") || strings.Contains(msg, "File too large") {
		return pgError("53100", "Disk Full")
	}
	if duck.Type == duckdb.ErrorTypePermission {
		return unsupported("reading files")
	}
	if e := missingFunction(msg); e != nil {
		return e
	}
	for _, r := range duckRules() {
		m := r.match.FindStringSubmatchIndex(msg)
		if m == nil {
			continue
		}
		if r.msg == "1023" {
			return errSerialisation(msg)
		}
		if r.msg == "" {
			return pgError(r.code, "%s", msg)
		}
		return pgError(r.code, "%s", string(r.match.ExpandString(nil, r.msg, msg, m)))
	}
	return pgError(typeCode(duck.Type), "%s", msg)
}

// qualified names the schema of a missing table, which DuckDB's message leaves out.
func qualified(err error, reads []tableName) error {
	if err == nil {
		return nil
	}
	e := translate(err)
	if e.code != "42P01" {
		return err
	}
	for _, name := range reads {
		if name.schema != "" && e.msg == errNoRelation(name.table).msg {
			return errNoRelation(name.String())
		}
	}
	return err
}
