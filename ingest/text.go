package ingest

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

func makeSpan(lo, hi int) span { return span{uint32(lo), uint32(hi)} } //nolint:gosec // bodies are below 1 GiB

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// skipBOM returns the length of a leading byte order mark.
func skipBOM(b []byte) int {
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return 3
	}
	return 0
}

// looseEnd finds the comma or bracket that ends the broken element at i, by quotes and brackets alone; -1 if none does.
func looseEnd(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = looseQuote(b, i+1); i < 0 {
				return -1
			}
		case '{', '[':
			depth++
		case '}':
			depth = max(depth-1, 0)
		case ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

// looseQuote returns the position of the quote that closes a string whose text begins at i.
func looseQuote(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}

func hex4(b []byte) (rune, bool) {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = (c | 0x20) - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape appends the text of raw, the inside of a valid JSON string. A lone surrogate becomes U+FFFD.
func unescape(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(raw)
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				r, raw = pair(r, raw)
			}
			dst = utf8.AppendRune(dst, r)
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
	}
}

// pair joins the surrogate r with the one that raw begins with, if they belong together.
func pair(r rune, raw []byte) (rune, []byte) {
	if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
		low, _ := hex4(raw[2:])
		if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
			return full, raw[6:]
		}
	}
	return utf8.RuneError, raw
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string; what is no UTF-8 becomes U+FFFD.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		i += n
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// cutText returns at most n bytes of s, without half a character.
func cutText(s []byte, n int) []byte {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// isNull says whether a value is absent in effect: not there, or null.
func isNull(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }

// isText says whether a value is a string, and returns its inside.
func isText(raw []byte) ([]byte, bool) {
	if len(raw) >= 2 && raw[0] == '"' {
		return raw[1 : len(raw)-1], true
	}
	return nil, false
}

// isNumber says whether a valid value is a number.
func isNumber(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == '-' || raw[0]-'0' <= 9)
}
