package cdc

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millstream-data/millstream/internal/event"
)

// elementKind says what of an array's elements JSON can carry as such.
type elementKind byte

const (
	elementText elementKind = iota
	elementNumber
	elementBool
	elementJSON
)

// maxArrayDims is PostgreSQL's MAXDIM.
const maxArrayDims = 6

// pgArray writes an array's text as JSON.
func (e *encoder) pgArray(c *column, s string) {
	if !utf8.ValidString(s) {
		e.refuse(c, event.CodeInvalidUTF8, []byte(s))
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	a := arrayText{s: s, element: c.element, delim: c.delim, out: e.scratch[:0], item: e.item}
	ok := a.parse()
	e.scratch, e.item = a.out, a.item
	if !ok {
		e.null(c, s)
		return
	}
	e.json(c, view(a.out))
}

// arrayText reads what PostgreSQL's array_out writes, and appends it to out as
// JSON: NULL elements as null, finite numbers, booleans and JSON as such, and
// the rest as the server's text. An array whose bounds do not begin at 1 is an
// object of its lower bounds and its values.
type arrayText struct {
	s       string
	i       int
	element elementKind
	delim   byte
	out     []byte
	item    []byte // a quoted element without its escapes
}

func (a *arrayText) parse() bool {
	bounds, ok := a.bounds()
	if !ok {
		return false
	}
	if bounds != "" {
		a.out = append(a.out, `{"lower":[`...)
		for n := 0; bounds != ""; n++ {
			dim, rest, _ := strings.Cut(bounds[1:], "]")
			lower, _, _ := strings.Cut(dim, ":")
			if n > 0 {
				a.out = append(a.out, ',')
			}
			a.out, bounds = append(a.out, lower...), rest
		}
		a.out = append(a.out, `],"values":`...)
	}
	if !a.array(1) || a.i != len(a.s) {
		return false
	}
	if a.out[0] == '{' {
		a.out = append(a.out, '}')
	}
	return true
}

// bounds reads a decoration such as [0:1][-2:4]= and returns it without its sign
// of equality; "" stands for bounds that begin at 1.
func (a *arrayText) bounds() (string, bool) {
	if !strings.HasPrefix(a.s, "[") {
		return "", true
	}
	text, _, ok := strings.Cut(a.s, "=")
	if !ok {
		return "", false
	}
	a.i = len(text) + 1
	other := false
	for rest := text; rest != ""; {
		dim, after, closed := strings.Cut(rest[1:], "]")
		lower, upper, two := strings.Cut(dim, ":")
		l, errL := strconv.ParseInt(lower, 10, 32)
		_, errU := strconv.ParseInt(upper, 10, 32)
		if rest[0] != '[' || !closed || !two || errL != nil || errU != nil || strconv.FormatInt(l, 10) != lower {
			return "", false
		}
		other = other || l != 1
		rest = after
	}
	if !other {
		text = ""
	}
	return text, true
}

// array reads {…}, whose elements are all arrays or none is.
func (a *arrayText) array(depth int) bool {
	if depth > maxArrayDims || !a.next('{') {
		return false
	}
	a.out = append(a.out, '[')
	if a.next('}') {
		a.out = append(a.out, ']')
		return true
	}
	for {
		ok := false
		if a.i < len(a.s) && a.s[a.i] == '{' {
			ok = a.array(depth + 1)
		} else {
			ok = a.value()
		}
		switch {
		case !ok:
			return false
		case a.next('}'):
			a.out = append(a.out, ']')
			return true
		case !a.next(a.delim):
			return false
		}
		a.out = append(a.out, ',')
	}
}

func (a *arrayText) next(b byte) bool {
	if a.i < len(a.s) && a.s[a.i] == b {
		a.i++
		return true
	}
	return false
}

// value reads an element. One that is quoted is never NULL.
func (a *arrayText) value() bool {
	if a.next('"') {
		return a.quoted()
	}
	began := a.i
	for a.i < len(a.s) && a.s[a.i] != a.delim && a.s[a.i] != '}' {
		if b := a.s[a.i]; b == '{' || b == '"' || b == '\\' {
			return false
		}
		a.i++
	}
	s := a.s[began:a.i]
	switch s {
	case "":
		return false
	case "NULL":
		a.out = append(a.out, "null"...)
	default:
		a.put(s)
	}
	return true
}

func (a *arrayText) quoted() bool {
	began, plain := a.i, true
	for ; a.i < len(a.s); a.i++ {
		switch a.s[a.i] {
		case '\\':
			plain = false
			a.i++
		case '"':
			s := a.s[began:a.i]
			if !plain {
				a.item = unescapeArray(a.item[:0], s)
				s = view(a.item)
			}
			a.i++
			a.put(s)
			return true
		}
	}
	return false
}

func unescapeArray(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		dst = append(dst, s[i])
	}
	return dst
}

func (a *arrayText) put(s string) {
	switch {
	case a.element == elementNumber && jsonNumber(s), a.element == elementJSON && json.Valid([]byte(s)):
		a.out = append(a.out, s...)
	case a.element == elementBool && s == "t":
		a.out = append(a.out, "true"...)
	case a.element == elementBool && s == "f":
		a.out = append(a.out, "false"...)
	default:
		a.out = appendString(a.out, s)
	}
}

// jsonNumber says whether s is a number as JSON writes it: NaN is none.
func jsonNumber(s string) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = strings.TrimPrefix(s, "-")
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' || !digits() {
		return false
	}
	if rest, point := strings.CutPrefix(s, "."); point {
		if s = rest; !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}
