//go:build cgo

package redshift

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// goFunction is a function of Redshift that Go computes, row by row, where DuckDB has nothing that means the same. It
// is NULL if an argument is.
type goFunction struct {
	name   string
	args   []duckdb.Type
	result duckdb.Type
	run    func(args []driver.Value) (any, error)
}

// goScalar is a goFunction as DuckDB's driver wants it.
type goScalar struct {
	config duckdb.ScalarFuncConfig
	run    func(args []driver.Value) (any, error)
}

// Config implements duckdb.ScalarFunc.
func (g *goScalar) Config() duckdb.ScalarFuncConfig { return g.config }

// Executor implements duckdb.ScalarFunc.
func (g *goScalar) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: func(args []driver.Value) (any, error) {
		for _, a := range args {
			if a == nil {
				return nil, nil
			}
		}
		out, err := g.run(args)
		if e, ok := errors.AsType[*sqlError](err); ok {
			err = fmt.Errorf("%s%s|%s", marker, e.code, e.msg)
		}
		return out, err
	}}
}

// registerFunctions gives the database every goFunction.
func (s *Server) registerFunctions() error {
	conn, err := s.db.Conn(context.Background())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for _, f := range goFunctions() {
		g := &goScalar{run: f.run}
		for _, t := range f.args {
			info, err := duckdb.NewTypeInfo(t)
			if err != nil {
				return err
			}
			g.config.InputTypeInfos = append(g.config.InputTypeInfos, info)
		}
		if g.config.ResultTypeInfo, err = duckdb.NewTypeInfo(f.result); err != nil {
			return err
		}
		if err := duckdb.RegisterScalarUDF(conn, f.name, g); err != nil {
			return fmt.Errorf("register %s: %w", f.name, err)
		}
	}
	return nil
}

const (
	duckText   = duckdb.TYPE_VARCHAR
	duckBigint = duckdb.TYPE_BIGINT
	duckMoment = duckdb.TYPE_TIMESTAMP
)

// goFunctions are all of them.
func goFunctions() []goFunction {
	text := func(v driver.Value) string { return v.(string) }
	number := func(v driver.Value) int { return int(v.(int64)) }
	moment := func(v driver.Value) time.Time { return v.(time.Time) }
	return []goFunction{
		{"rs_to_char", []duckdb.Type{duckMoment, duckText, duckText}, duckText, func(a []driver.Value) (any, error) {
			return formatTime(moment(a[0]), text(a[1]), text(a[2])), nil
		}},
		{"rs_to_char_number", []duckdb.Type{duckText, duckText}, duckText, func(a []driver.Value) (any, error) {
			return formatNumber(text(a[0]), text(a[1]))
		}},
		{"rs_to_number", []duckdb.Type{duckText, duckText}, duckText, func(a []driver.Value) (any, error) {
			return parseNumber(text(a[0]), text(a[1]))
		}},
		{"rs_to_timestamp", []duckdb.Type{duckText, duckText, duckdb.TYPE_BOOLEAN}, duckMoment, func(a []driver.Value) (any, error) {
			return parseTime(text(a[0]), text(a[1]), a[2].(bool))
		}},
		{"rs_add_months", []duckdb.Type{duckMoment, duckBigint}, duckMoment, func(a []driver.Value) (any, error) {
			return addMonths(moment(a[0]), number(a[1])), nil
		}},
		{"rs_months_between", []duckdb.Type{duckMoment, duckMoment}, duckdb.TYPE_DOUBLE, func(a []driver.Value) (any, error) {
			return monthsBetween(moment(a[0]), moment(a[1])), nil
		}},
		{"rs_next_day", []duckdb.Type{duckMoment, duckText}, duckMoment, func(a []driver.Value) (any, error) {
			return nextDay(moment(a[0]), text(a[1]))
		}},
		{"rs_regexp_substr", []duckdb.Type{duckText, duckText, duckBigint, duckBigint, duckText}, duckText, func(a []driver.Value) (any, error) {
			return regexpSubstr(text(a[0]), text(a[1]), number(a[2]), number(a[3]), text(a[4]))
		}},
		{"rs_regexp_count", []duckdb.Type{duckText, duckText, duckBigint, duckText}, duckBigint, func(a []driver.Value) (any, error) {
			return regexpCount(text(a[0]), text(a[1]), number(a[2]), text(a[3]))
		}},
		{"rs_regexp_instr", []duckdb.Type{duckText, duckText, duckBigint, duckBigint, duckBigint, duckText}, duckBigint, func(a []driver.Value) (any, error) {
			return regexpInstr(text(a[0]), text(a[1]), [3]int{number(a[2]), number(a[3]), number(a[4])}, text(a[5]))
		}},
		{"rs_regexp_replace", []duckdb.Type{duckText, duckText, duckText, duckBigint, duckText}, duckText, func(a []driver.Value) (any, error) {
			return regexpReplaceFrom(text(a[0]), text(a[1]), text(a[2]), number(a[3]), text(a[4]))
		}},
		{"rs_similar", []duckdb.Type{duckText}, duckText, func(a []driver.Value) (any, error) { return similarPattern(text(a[0])), nil }},
		{"rs_strtol", []duckdb.Type{duckText, duckBigint}, duckBigint, func(a []driver.Value) (any, error) { return parseBase(text(a[0]), number(a[1])) }},
		{"rs_initcap", []duckdb.Type{duckText}, duckText, func(a []driver.Value) (any, error) { return initCap(text(a[0])), nil }},
		{"rs_soundex", []duckdb.Type{duckText}, duckText, func(a []driver.Value) (any, error) { return soundex(text(a[0])), nil }},
		{"rs_quote_ident", []duckdb.Type{duckText}, duckText, func(a []driver.Value) (any, error) { return quoteIfNeeded(text(a[0])), nil }},
		{"rs_cbrt", []duckdb.Type{duckdb.TYPE_DOUBLE}, duckdb.TYPE_DOUBLE, func(a []driver.Value) (any, error) { return math.Cbrt(a[0].(float64)), nil }},
		{"rs_sha2", []duckdb.Type{duckText, duckBigint}, duckText, func(a []driver.Value) (any, error) { return sha2(text(a[0]), number(a[1])) }},
		{"rs_interval", []duckdb.Type{duckText}, duckText, func(a []driver.Value) (any, error) { return intervalText(text(a[0]), "") }},
	}
}

func sha2(text string, bits int) (any, error) {
	switch bits {
	case 0, 256:
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:]), nil
	case 224:
		sum := sha256.Sum224([]byte(text))
		return hex.EncodeToString(sum[:]), nil
	case 384:
		sum := sha512.Sum384([]byte(text))
		return hex.EncodeToString(sum[:]), nil
	case 512:
		sum := sha512.Sum512([]byte(text))
		return hex.EncodeToString(sum[:]), nil
	}
	return nil, nil // as Redshift's: an empty result for another number of bits
}
