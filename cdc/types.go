package cdc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// Defaults of limits, from Redshift's VARCHAR, SUPER and VARBYTE; and of a row,
// from the topic's largest record.
const (
	limitString = 65535
	limitJSON   = 65535
	limitBytes  = 1_000_000
	limitRow    = 3 << 20
)

// valueKind says how an origin's value becomes a form.
type valueKind int

const (
	valueText valueKind = iota
	valueBool
	valueInt
	valueUint
	valueFloat32
	valueFloat64
	valueDecimal
	valueBytes
	valueUUID
	valueJSON
	valueDate
	valueMicros
	valueISO
	valueTime
	valueTimeTZ
	valueBit
	valuePadded // text with blanks at its end that values.trim takes off
	valueByte   // postgres: "char"
	valueArray  // postgres: an array's text, whose elements are of column.element
)

// encoder builds rows; its buffers are cut up by take.
type encoder struct {
	p        *plan
	values   ValuesConfig
	limits   LimitsConfig
	after    []byte
	adjusted []byte
	told     []adjustment
	rejects  []reject
	scratch  []byte   // an array as JSON
	item     []byte   // an element of it
	spans    [][2]int // of each column's value in after
	badKey   bool     // a key column was adjusted: two keys could become one
}

func newEncoder(p *plan) *encoder {
	return &encoder{p: p, values: p.cfg.Values, limits: p.cfg.Limits}
}

// view is b as a string that shares its bytes: values are looked at where the
// driver has put them, and only what is kept is copied.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // nothing keeps it beyond the value

func (e *encoder) begin() {
	e.after, e.adjusted, e.rejects, e.spans = append(e.after[:0], '{'), e.adjusted[:0], nil, e.spans[:0]
	e.told, e.badKey = nil, false
}

// open begins the member of c.
func (e *encoder) open(c *column) {
	if len(e.spans) > 0 {
		e.after = append(e.after, ',')
	}
	e.after = appendString(e.after, c.name)
	e.after = append(e.after, ':')
	e.spans = append(e.spans, [2]int{len(e.after), 0})
}

func (e *encoder) close() { e.spans[len(e.spans)-1][1] = len(e.after) }

// null writes NULL in place of a value that has no counterpart, and tells what it was.
func (e *encoder) null(c *column, was string) {
	e.after = append(e.after, "null"...)
	e.adjust(c, adjustedNull, string(appendString(nil, was)))
}

// tell adds a member to source.adjusted for a value that was replaced by
// another; told is JSON.
func (e *encoder) tell(c *column, told string) { e.adjust(c, adjustedChanged, told) }

func (e *encoder) adjust(c *column, reason, told string) {
	e.badKey = e.badKey || slices.ContainsFunc(e.p.key, func(i int) bool { return &e.p.rel.columns[i] == c })
	sep := byte(',')
	if len(e.adjusted) == 0 {
		sep = '{'
	}
	e.adjusted = append(append(appendString(append(e.adjusted, sep), c.name), ':'), told...)
	e.told = append(e.told, adjustment{c.name, reason})
}

// refuse tells of a value by size and hash, and copies it to the dead letters.
func (e *encoder) refuse(c *column, code event.Code, original []byte) {
	e.adjust(c, string(code), digest("bytes", "sha256", original))
	e.rejects = append(e.rejects, reject{column: c.name, code: code, original: bytes.Clone(original)})
}

func digest(size, sum string, b []byte) string {
	h := sha256.Sum256(b)
	return fmt.Sprintf(`{"%s":%d,"%s":"%s"}`, size, len(b), sum, hex.EncodeToString(h[:]))
}

// text writes a string, repaired and within the limit.
func (e *encoder) text(c *column, s string) {
	if len(s) > e.limits.String {
		e.refuse(c, event.CodeValueTooLarge, []byte(s))
		if e.values.Oversize != valueCut {
			e.after = append(e.after, "null"...)
			return
		}
		s = cutText(s, e.limits.String)
		if clean, ok := carriable(s); !ok {
			s = clean
		}
		e.after = appendString(e.after, s)
		return
	}
	if clean, ok := carriable(s); !ok {
		e.refuse(c, event.CodeInvalidUTF8, []byte(s))
		s = clean
	}
	e.after = appendString(e.after, s)
}

// cutText is the longest beginning of s of at most n bytes that ends between two runes.
func cutText(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// bytes writes a blob within the limit.
func (e *encoder) bytes(c *column, b []byte) {
	if len(b) > e.limits.Bytes {
		e.refuse(c, event.CodeValueTooLarge, b)
		e.after = append(e.after, "null"...)
		return
	}
	e.after = append(e.after, '"')
	e.after = base64.StdEncoding.AppendEncode(e.after, b)
	e.after = append(e.after, '"')
}

// carriable replaces what VARCHAR refuses: NUL and what is no UTF-8.
func carriable(s string) (string, bool) {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s, true
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD"), false
}

// json writes JSON as the column's form says: a string that holds it, or itself.
func (e *encoder) json(c *column, s string) {
	if len(s) > e.limits.JSON {
		e.refuse(c, event.CodeValueTooLarge, []byte(s))
		s = digest("_bytes", "_sha256", []byte(s))
	} else if clean, ok := carriableJSON(s); !ok {
		e.refuse(c, event.CodeInvalidUTF8, []byte(s))
		s = clean
	}
	if c.form == event.FormJSON {
		e.after = append(e.after, s...)
		return
	}
	e.after = appendString(e.after, s)
}

// carriableJSON replaces the escapes that SUPER refuses: NUL and lone surrogates.
func carriableJSON(s string) (string, bool) {
	clean, ok := carriable(s)
	if !strings.Contains(clean, `\u`) {
		return clean, ok
	}
	out := make([]byte, 0, len(clean))
	for i := 0; i < len(clean); {
		if clean[i] != '\\' || i+1 >= len(clean) {
			out = append(out, clean[i])
			i++
			continue
		}
		n := 2
		if clean[i+1] == 'u' {
			var bad bool
			if n, bad = escapeAt(clean[i:]); bad {
				out, ok = append(out, `\ufffd`...), false
				i += n
				continue
			}
		}
		out = append(out, clean[i:i+n]...)
		i += n
	}
	return string(out), ok
}

// escapeAt returns the length of the \u escape, or pair of them, that s begins
// with, and whether it has to be replaced.
func escapeAt(s string) (n int, bad bool) {
	hi, ok := escapeUnit(s)
	switch {
	case !ok:
		return 2, false
	case hi == 0 || hi >= 0xdc00 && hi < 0xe000:
		return 6, true
	case hi < 0xd800 || hi >= 0xe000:
		return 6, false
	}
	if lo, ok := escapeUnit(s[6:]); ok && lo >= 0xdc00 && lo < 0xe000 {
		return 12, false
	}
	return 6, true
}

func escapeUnit(s string) (uint64, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(s[2:6], 16, 32)
	return v, err == nil
}

// float writes a number, or its name in quotes where JSON has none.
func (e *encoder) float(f float64, bits int) {
	switch {
	case f != f:
		e.after = append(e.after, `"NaN"`...)
	case f > maxFloat:
		e.after = append(e.after, `"Infinity"`...)
	case f < -maxFloat:
		e.after = append(e.after, `"-Infinity"`...)
	default:
		e.after = strconv.AppendFloat(e.after, f, 'g', -1, bits)
	}
}

const maxFloat = 1.79769313486231570814527423731704356798070e+308

// take cuts the finished row out of the encoder.
func (e *encoder) take(version string) (row, error) {
	e.after = append(e.after, '}')
	r := row{after: bytes.Clone(e.after), rejects: e.rejects, told: e.told, version: version}
	if len(e.adjusted) > 0 {
		r.adjusted = append(bytes.Clone(e.adjusted), '}')
	}
	r.key = append(r.key, '{')
	for n, i := range e.p.key {
		if n > 0 {
			r.key = append(r.key, ',')
		}
		value := e.after[e.spans[i][0]:e.spans[i][1]]
		if string(value) == "null" || e.badKey {
			name := e.p.rel.columns[i].name
			return r, refuse("bad_key", "mend the row or choose another key:", "%s has a row whose key column %s is NULL or cannot be carried", e.p.name, name)
		}
		r.key = append(append(appendString(r.key, e.p.rel.columns[i].name), ':'), value...)
	}
	r.key = append(r.key, '}')
	if r.version == "" {
		sum := sha256.Sum256(r.after)
		r.version = hex.EncodeToString(sum[:16])
	}
	r.hash = rowHash(r.key, r.version)
	r.tooLarge = len(r.after) > int(e.limits.Row)
	return r, nil
}

// varchar is the warehouse type for texts of up to n characters; 0 is unknown.
func varchar(n int) string {
	if n <= 0 || 4*n > limitString {
		return "VARCHAR(65535)"
	}
	return fmt.Sprintf("VARCHAR(%d)", 4*n)
}

// setType gives c a lake type and what follows from it.
func (c *column) setType(kind valueKind, form event.Form, lake wire.LakeType, target string) {
	c.kind, c.form, c.lake, c.target = kind, form, lake, target
	c.precision, c.scale, _ = lake.Decimal()
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. It does not escape for HTML, and
// replaces what is no UTF-8.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		if b := s[i]; b < utf8.RuneSelf {
			if b >= ' ' && b != '"' && b != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch b {
			case '"', '\\':
				dst = append(dst, '\\', b)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(append(dst, s[start:i]...), "\uFFFD"...)
			i++
			start = i
			continue
		}
		i += n
	}
	return append(append(dst, s[start:]...), '"')
}

// retype gives columns the lake types that columns.types wants, and applies the
// policies that belong to a column rather than to a value.
func (p *plan) retype() error {
	for _, name := range sortedKeys(p.cfg.Columns.Types) {
		i := p.rel.index(name)
		if i < 0 {
			return refuse("column_missing", "mend columns.types in the configuration", "%s has no column %s", p.name, name)
		}
		c, to := &p.rel.columns[i], wire.LakeType(p.cfg.Columns.Types[name])
		if !c.retype(p.kind, to) {
			return refuse("retype", "use string, or leave columns.types to the defaults", "%s.%s of type %s is not carried as %s", p.name, name, c.origin, to)
		}
	}
	for i := range p.rel.columns {
		c := &p.rel.columns[i]
		if c.kind == valueInt && c.lake == wire.Int64 && p.cfg.Values.BigInt == valueAsText {
			c.form = event.FormText
		}
		if c.unknown && p.cfg.Values.Unknown == valueRefuse && p.cfg.Columns.Types[c.name] == "" {
			return refuse("unknown_type", "name its type in columns.types, or leave the column out", "%s.%s is of type %s, for which there is no rule", p.name, c.name, c.origin)
		}
	}
	return nil
}

// retype says whether values of c can be carried as a lake type, and sees to it.
func (c *column) retype(kind string, to wire.LakeType) bool {
	if kind == kindPostgres {
		return c.retypePostgres(to)
	}
	if mysqlFamily(kind) {
		return c.retypeMySQL(to)
	}
	return to == c.lake
}
