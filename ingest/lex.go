package ingest

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

func (s *scanner) name(i int) int {
	switch {
	case i >= len(s.b):
		return s.fail(i, problemEnd)
	case s.b[i] != '"':
		return s.fail(i, problemName)
	}
	return s.text(i)
}

func (s *scanner) colon(i int) int {
	if i = space(s.b, i); i >= len(s.b) {
		return s.fail(i, problemEnd)
	}
	if s.b[i] != ':' {
		return s.fail(i, problemColon)
	}
	return space(s.b, i+1)
}

func (s *scanner) literal(i int, want string) int {
	if len(s.b)-i >= len(want) && string(s.b[i:i+len(want)]) == want {
		return i + len(want)
	}
	return s.fail(i, problemValue)
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// text reads the string whose opening quote is at i. Eight bytes at a time are looked at for what needs attention: in
// the sum below the lowest high bit is set by the first quote, backslash, control character or byte above 0x7f.
func (s *scanner) text(i int) int {
	b := s.b
	for i++; ; {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			m := (x | (x - everyByte*0x20) | ((x ^ everyByte*'"') - everyByte) | ((x ^ everyByte*'\\') - everyByte)) & highBits
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return s.fail(len(b), problemEnd)
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i); i < 0 {
				return -1
			}
		case c < 0x20:
			return s.fail(i, problemControl)
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return s.fail(i, problemUTF8)
			}
			i += n
		}
	}
}

func (s *scanner) escape(i int) int {
	if i+1 >= len(s.b) {
		return s.fail(len(s.b), problemEnd)
	}
	switch s.b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 > len(s.b) {
			return s.fail(len(s.b), problemEnd)
		}
		if _, ok := hex4(s.b[i+2:]); ok {
			return i + 6
		}
	}
	return s.fail(i, problemEscape)
}

func (s *scanner) number(lo int) int {
	b, i := s.b, lo
	if b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return s.fail(i, problemEnd)
	case b[i] == '0':
		i++
	case b[i] >= '1' && b[i] <= '9':
		i = digits(b, i)
	case i == lo:
		return s.fail(i, problemValue)
	default:
		return s.fail(i, problemNumber)
	}
	if i < len(b) && b[i] == '.' {
		if j := digits(b, i+1); j > i+1 {
			i = j
		} else {
			return s.fail(i, problemNumber)
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		j := i + 1
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		if i = digits(b, j); i == j {
			return s.fail(j, problemNumber)
		}
	}
	return i
}
