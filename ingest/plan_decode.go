package ingest

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// The longest number that is judged, in characters, its largest exponent, and the most levels of brackets: the library
// computes with rationals, which takes time by the square of their digits, and tells of each violation the way there.
const maxDigits, maxExponent, maxPlanDepth = 512, 512, 32

// decoder turns valid JSON into the values that the library judges. Numbers keep their text. It counts steps for what
// the library does before a hook of ours is called.
type decoder struct {
	b     []byte
	i     int
	depth int
	steps int
	why   string // it stopped, because of this,
	at    string // here
}

// value reads the value at d.i. When it returns, d.why may be set.
func (d *decoder) value() any {
	switch c := d.b[d.i]; c {
	case '{', '[':
		if d.depth++; d.depth > maxPlanDepth {
			d.why = "what is nested so deep is not judged"
			return nil
		}
		defer func() { d.depth-- }()
		if c == '{' {
			return d.object()
		}
		return d.array()
	case '"':
		return d.text()
	case 't':
		d.i += len("true")
		return true
	case 'f':
		d.i += len("false")
		return false
	case 'n':
		d.i += len("null")
		return nil
	}
	return d.number()
}

func (d *decoder) object() map[string]any {
	out := map[string]any{}
	for d.open('}') {
		name := d.text()
		d.i = space(d.b, space(d.b, d.i)+1) // behind the colon
		out[name] = d.value()
		if d.why != "" {
			d.at = pointer(name) + d.at
			return nil
		}
	}
	return out
}

func (d *decoder) array() []any {
	out := []any{}
	for d.open(']') {
		out = append(out, d.value())
		if d.why != "" {
			d.at = "/" + strconv.Itoa(len(out)-1) + d.at
			return nil
		}
	}
	return out
}

// open steps over the bracket or comma at d.i, and says whether an element follows; if none does, over the end.
func (d *decoder) open(end byte) bool {
	d.i = space(d.b, d.i)
	if d.b[d.i] == end {
		d.i++
		return false
	}
	if d.i = space(d.b, d.i+1); d.b[d.i] == end { // of what is empty
		d.i++
		return false
	}
	return true
}

func (d *decoder) text() string {
	end := looseQuote(d.b, d.i+1)
	raw := d.b[d.i+1 : end]
	d.i = end + 1
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	return string(unescape(nil, raw))
}

func (d *decoder) number() json.Number {
	lo := d.i
	d.i = valueEnd(d.b, lo)
	text := d.b[lo:d.i]
	d.steps += len(text) / 16
	exp := 0
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		var err error
		if exp, err = strconv.Atoi(string(text[e+1:])); err != nil {
			exp = maxExponent + 1
		}
		exp = max(exp, -exp)
		d.steps += exp / 16
	}
	if len(text) > maxDigits || exp > maxExponent {
		d.why = "a number with so many digits is not judged"
	}
	return json.Number(text)
}
