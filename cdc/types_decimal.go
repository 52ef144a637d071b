package cdc

import "strings"

// decimal writes a number's text if it fits the column's type, padded to its scale.
func (e *encoder) decimal(c *column, s string) {
	began := len(e.after)
	var ok bool
	if e.after, ok = appendDecimal(append(e.after, '"'), s, c.precision, c.scale); !ok {
		e.after = e.after[:began]
		e.null(c, s)
		return
	}
	e.after = append(e.after, '"')
}

// appendDecimal appends s with exactly scale digits after the point, or says
// that this would lose a digit.
func appendDecimal(dst []byte, s string, precision, scale int) ([]byte, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	frac = strings.TrimRight(frac, "0")
	whole = strings.TrimLeft(whole, "0")
	if digits == "" || !allDigits(whole) || !allDigits(frac) || len(frac) > scale || len(whole) > precision-scale {
		return dst, false
	}
	if negative {
		dst = append(dst, '-')
	}
	if whole == "" {
		whole = "0"
	}
	dst = append(dst, whole...)
	if scale == 0 {
		return dst, true
	}
	dst = append(append(dst, '.'), frac...)
	for range scale - len(frac) {
		dst = append(dst, '0')
	}
	return dst, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
