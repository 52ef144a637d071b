package batcher

import (
	"bytes"
	"encoding/base64"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// maxBytes is the longest value of bytes: Redshift's VARBYTE ends there.
const maxBytes = 1_024_000

// putDeclared appends raw to a column of a type that is never inferred, only
// declared.
func (c *caster) putDeclared(col *parquetout.Column, raw []byte) fit {
	switch col.Type() {
	case wire.Int16, wire.Int32:
		n, ok := integer(raw)
		if !ok || !parquetout.FitsInt(col.Type(), n) {
			return misfit
		}
		col.AppendInt(n)
		return fits
	case wire.Float32:
		return putFloat(col, raw, 32)
	case wire.Date:
		return putDate(col, raw)
	case wire.Bytes:
		return c.putBytes(col, raw)
	default:
		return putDecimal(col, raw)
	}
}

// putDate takes YYYY-MM-DD of the years 1 to 9999.
func putDate(col *parquetout.Column, raw []byte) fit {
	if raw[0] != '"' {
		return misfit
	}
	at, err := time.Parse(time.DateOnly, string(raw[1:len(raw)-1]))
	if err != nil || at.Year() < 1 {
		return misfit
	}
	col.AppendInt(int64(math.Floor(float64(at.Unix()) / (24 * 60 * 60))))
	return fits
}

// putBytes takes base64 with padding, as cdc writes it.
func (c *caster) putBytes(col *parquetout.Column, raw []byte) fit {
	if raw[0] != '"' {
		return misfit
	}
	s, clean := text(c.buf, raw)
	c.keep(s)
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, s)
	if err != nil || !clean || len(b) > maxBytes || bytes.ContainsAny(s, "\r\n") {
		return misfit
	}
	col.AppendBytes(b)
	return fits
}

// putDecimal takes numbers, and strings that write one, which lose no digit.
func putDecimal(col *parquetout.Column, raw []byte) fit {
	if raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	if !isNumber(raw) {
		return misfit
	}
	_, scale, _ := col.Type().Decimal()
	if plain, ok := withoutExponent(raw, scale); ok && col.AppendDecimal(plain) {
		return fits
	}
	return misfit
}

// withoutExponent writes a number with at most scale fractional digits; ok is
// false if it needs more, or has more digits than any decimal.
func withoutExponent(raw []byte, scale int) (plain string, ok bool) {
	if !bytes.ContainsAny(raw, "eE") {
		return string(raw), true
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil || math.Abs(f) >= 1e39 || len(raw) > 100:
		return "", false
	case math.Abs(f) < 1e-39: // of these a decimal has zero alone
		return "0", isZero(raw)
	}
	r, ok := new(big.Rat).SetString(string(raw))
	if !ok {
		return "", false
	}
	plain = r.FloatString(scale)
	back, _ := new(big.Rat).SetString(plain)
	return plain, back.Cmp(r) == 0
}
