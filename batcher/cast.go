package batcher

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"

	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// maxText is the longest string or json value in bytes: Redshift's VARCHAR ends there.
const maxText = 65_535

// fit says how a value went into a column.
type fit int

const (
	fits     fit = iota
	cleaned      // fits after NULs or broken characters were replaced
	lossy        // written, but cut or rounded: the original belongs into _unmapped as well
	misfit       // nothing was written: the original belongs into _unmapped
	digested     // a digest was written: the record belongs into the dead letters as well
)

// caster puts JSON values into typed columns by the table of docs/lake.md. Its
// buffer is reused.
type caster struct{ buf []byte }

// put appends raw, a JSON value that is not null, unless it is a misfit.
func (c *caster) put(col *parquetout.Column, raw []byte) fit {
	switch col.Type() {
	case wire.String:
		return c.putString(col, raw)
	case wire.JSON:
		return c.putJSON(col, raw)
	case wire.Bool:
		return putBool(col, raw)
	case wire.Int64:
		return putInt(col, raw)
	case wire.Float64:
		return putFloat(col, raw, 64)
	case wire.Timestamp:
		return putTime(col, raw)
	default:
		return c.putDeclared(col, raw)
	}
}

func (c *caster) putString(col *parquetout.Column, raw []byte) fit {
	var (
		s  = raw // numbers, booleans, arrays: their text, byte for byte
		ok = true
	)
	switch raw[0] {
	case '"':
		s, ok = text(c.buf, raw)
	case '{', '[':
		s, ok = jsonText(c.buf, raw)
	}
	c.keep(s)
	out := fits
	if !ok {
		out = cleaned
	}
	if len(s) > maxText {
		s, out = cutText(s), lossy
	}
	col.AppendBytes(s)
	return out
}

// cutText cuts s to maxText bytes on the border of a rune.
func cutText(s []byte) []byte {
	n := maxText
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func (c *caster) putJSON(col *parquetout.Column, raw []byte) fit {
	s, ok := jsonText(c.buf, raw)
	c.keep(s)
	switch {
	case len(s) > maxText:
		col.AppendBytes(digest(raw))
		return digested
	case !ok:
		col.AppendBytes(s)
		return cleaned
	}
	col.AppendBytes(s)
	return fits
}

// keep holds on to the larger buffer for the next value.
func (c *caster) keep(s []byte) {
	if cap(c.buf) < len(s) {
		c.buf = make([]byte, 0, len(s))
	}
}

func putBool(col *parquetout.Column, raw []byte) fit {
	switch string(raw) {
	case `true`, `"true"`:
		col.AppendBool(true)
	case `false`, `"false"`:
		col.AppendBool(false)
	default:
		return misfit
	}
	return fits
}

func putInt(col *parquetout.Column, raw []byte) fit {
	n, ok := integer(raw)
	if !ok {
		return misfit
	}
	col.AppendInt(n)
	return fits
}

// integer reads a number that is integral, however it is written, or the
// canonical text of one.
func integer(raw []byte) (n int64, ok bool) {
	quoted := raw[0] == '"'
	if quoted {
		raw = raw[1 : len(raw)-1]
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, !quoted || strconv.FormatInt(n, 10) == string(raw) // "007" is a name
	}
	if quoted || !isNumber(raw) || len(raw) > 40 {
		return 0, false
	}
	// 1.0 and 1e3 are integers, too; a rational keeps all digits.
	f, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil, math.Abs(f) > math.MaxInt64:
		return 0, false
	case math.Abs(f) < 1: // and no rational of a million digits for 1e-999999
		return 0, isZero(raw)
	}
	r, ok := new(big.Rat).SetString(string(raw))
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// isZero says whether a number has no digit but 0 before its exponent.
func isZero(number []byte) bool {
	if i := bytes.IndexAny(number, "eE"); i >= 0 {
		number = number[:i]
	}
	return !bytes.ContainsAny(number, "123456789")
}

// putFloat takes numbers of a column with floats of as many bits, and strings
// that write one exactly.
func putFloat(col *parquetout.Column, raw []byte, bits int) fit {
	quoted := raw[0] == '"'
	if quoted {
		raw = raw[1 : len(raw)-1]
	}
	if !isNumber(raw) {
		return misfit
	}
	f, err := strconv.ParseFloat(string(raw), bits)
	if err != nil {
		return misfit
	}
	same := sameNumber(f, bits, raw)
	if quoted && !same {
		return misfit
	}
	col.AppendFloat(f)
	if !same {
		return lossy
	}
	return fits
}

func putTime(col *parquetout.Column, raw []byte) fit {
	if raw[0] != '"' {
		return misfit
	}
	t, exact, ok := parseTime(raw[1 : len(raw)-1])
	if !ok {
		return misfit
	}
	col.AppendTime(t)
	if !exact {
		return lossy
	}
	return fits
}

// sameNumber says whether literal is f, a float of as many bits: its exact
// value, or the value of the shortest text that reads back as f.
func sameNumber(f float64, bits int, literal []byte) bool {
	var a, b [40]byte
	if bits == 64 && len(literal) <= 15 && !bytes.ContainsAny(literal, "eE") {
		return true // 15 significant digits always survive a double
	}
	shortest := strconv.AppendFloat(a[:0], f, 'g', -1, bits)
	if bytes.Equal(normalise(b[:0], shortest), normalise(nil, literal)) {
		return true
	}
	if len(literal) > 1100 || bytes.ContainsAny(literal, "eE") {
		return false
	}
	want, ok := new(big.Rat).SetString(string(literal))
	return ok && new(big.Rat).SetFloat64(f).Cmp(want) == 0
}

// normalise appends a number as its sign, its significant digits and the power
// of ten of the last one, so that equal numbers have equal texts.
func normalise(dst, s []byte) []byte {
	exp := 0
	if i := bytes.IndexAny(s, "eE"); i >= 0 {
		exp, _ = strconv.Atoi(string(s[i+1:])) // one that is too long leaves it at the largest int
		s = s[:i]
	}
	if s[0] == '-' {
		dst, s = append(dst, '-'), s[1:]
	}
	start := len(dst)
	point := false
	for _, c := range s {
		switch {
		case c == '.':
			point = true
			continue
		case point:
			exp--
		}
		if c != '0' || len(dst) > start {
			dst = append(dst, c)
		}
	}
	for len(dst) > start && dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
		exp++
	}
	if len(dst) == start {
		return append(dst[:0], '0')
	}
	return strconv.AppendInt(append(dst, 'e'), int64(exp), 10)
}

// isNumber says whether s is a number as JSON writes it.
func isNumber(s []byte) bool {
	i := 0
	digits := func() bool {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	first := i
	if !digits() || i-first > 1 && s[first] == '0' {
		return false
	}
	if i < len(s) && s[i] == '.' {
		if i++; !digits() {
			return false
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(s)
}
