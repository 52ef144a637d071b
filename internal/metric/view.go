package metric

import (
	"unicode"
	"unicode/utf8"
)

func val2num(v value) (decimal, bool) {
	switch v.kind {
	case isNumber:
		return parseDecimal(v.raw)
	case isString:
		return parseNumberText(v.raw)
	case absent, isBool:
	}
	return decimal{}, false
}

// view is one event as a plan sees it.
type view struct {
	vals    []value
	scratch []byte // holds texts that are not in the event as they are
	header  [3]value
}

// ref tells where a view has a path's value.
type ref struct {
	slot  int
	other int // read if the first is absent; -1: none
}

func (v *view) get(r ref) value {
	if r.slot < 0 {
		return v.header[-1-r.slot]
	}
	val := v.vals[r.slot]
	if val.kind == absent && r.other >= 0 {
		return v.vals[r.other]
	}
	return val
}

// textOf returns a value as text. It is valid until the view's next event.
func (v *view) textOf(val value, lower bool) []byte {
	start := len(v.scratch)
	switch {
	case val.kind == isNumber:
		d, _ := parseDecimal(val.raw)
		v.scratch = d.appendPlain(v.scratch, val.raw)
		return v.scratch[start:]
	case lower && val.kind == isString:
		v.scratch = appendLower(v.scratch, val.raw)
		return v.scratch[start:]
	}
	return val.raw
}

func appendLower(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, c)
		} else {
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
		i += n
	}
	return dst
}

// cutText keeps the first limit characters.
func cutText(b []byte, limit int) []byte {
	if len(b) <= limit {
		return b
	}
	i := 0
	for range limit {
		if i >= len(b) {
			return b
		}
		_, n := utf8.DecodeRune(b[i:])
		i += n
	}
	return b[:i]
}
