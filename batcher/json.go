package batcher

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// members walks the members of an object that is known to be valid JSON.
type members struct {
	b []byte
	i int
}

func membersOf(object []byte) members { return members{object, 1} }

// next returns the key with its quotes and the value; ok is false at the end.
func (m *members) next() (key, value []byte, ok bool) {
	m.i = skipSpace(m.b, m.i)
	if m.b[m.i] == ',' {
		m.i = skipSpace(m.b, m.i+1)
	}
	if m.b[m.i] == '}' {
		return nil, nil, false
	}
	end := stringEnd(m.b, m.i)
	key = m.b[m.i:end]
	start := skipSpace(m.b, skipSpace(m.b, end)+1)
	m.i = valueEnd(m.b, start)
	return key, m.b[start:m.i], true
}

// trim returns b without the blanks around it.
func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r' {
		i++
	}
	return i
}

// valueEnd returns the index after the value that begins at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		depth := 0
		for ; ; i++ {
			switch b[i] {
			case '"':
				i = stringEnd(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

func stringEnd(b []byte, i int) int {
	for i++; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// text decodes a JSON string with its quotes into UTF-8 that every reader of the
// lake takes: NUL characters go, lone surrogates and bytes that are no UTF-8
// become U+FFFD; clean is false if there were any. The result aliases raw or dst.
func text(dst, raw []byte) (s []byte, clean bool) {
	s = raw[1 : len(raw)-1]
	if bytes.IndexByte(s, '\\') < 0 {
		if utf8.Valid(s) {
			return s, true
		}
		return bytes.ToValidUTF8(s, []byte("\uFFFD")), false
	}
	dst, clean = dst[:0], true
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		i++
		if s[i] != 'u' {
			dst = append(dst, unescape(s[i]))
			continue
		}
		r, used, lone := escapedRune(s[i-1:])
		i += used - 2
		clean = clean && r != 0 && !lone
		if r != 0 {
			dst = utf8.AppendRune(dst, r)
		}
	}
	if !utf8.Valid(dst) {
		return bytes.ToValidUTF8(dst, []byte("\uFFFD")), false
	}
	return dst, clean
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // quotes, slashes
}

// escapedRune reads \uXXXX, or two of them that are a surrogate pair, at the
// start of s. A lone surrogate is U+FFFD.
func escapedRune(s []byte) (r rune, used int, lone bool) {
	r = hex4(s[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6, false
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(s[8:])); pair != utf8.RuneError {
			return pair, 12, false
		}
	}
	return utf8.RuneError, 6, true
}

func hex4(s []byte) (r rune) {
	for _, c := range s[:4] {
		switch {
		case c <= '9':
			c -= '0'
		case c >= 'a':
			c -= 'a' - 10
		default:
			c -= 'A' - 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

// jsonText returns a JSON value's own bytes, with the same replacements as text
// makes. The result aliases raw or dst.
func jsonText(dst, raw []byte) (s []byte, clean bool) {
	if !bytes.Contains(raw, []byte(`\u`)) {
		if utf8.Valid(raw) {
			return raw, true
		}
		return bytes.ToValidUTF8(raw, []byte("\uFFFD")), false
	}
	dst, clean = dst[:0], true
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			continue
		}
		if raw[i+1] != 'u' {
			dst = append(dst, raw[i], raw[i+1])
			i++
			continue
		}
		r, used, lone := escapedRune(raw[i:])
		switch {
		case r == 0:
			clean = false
		case lone:
			dst, clean = append(dst, `\ufffd`...), false
		default:
			dst = append(dst, raw[i:i+used]...)
		}
		i += used - 1
	}
	if !utf8.Valid(dst) {
		return bytes.ToValidUTF8(dst, []byte("\uFFFD")), false
	}
	return dst, clean
}

// appendString appends s, which is UTF-8, as a JSON string.
func appendString(dst, s []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
