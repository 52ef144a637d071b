package batcher

import (
	"encoding/binary"
	"math/bits"
)

// maxNesting bounds the levels of brackets of a value, as encoding/json does.
const maxNesting = 10_000

// scanBlank returns the index of the first byte from i on that is no blank, or
// the length of b.
func scanBlank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// scanString returns the index after the string that begins at i, or -1 if there
// is no valid one. plain says that its bytes between the quotes are its text:
// ASCII without escapes.
func scanString(b []byte, i int) (end int, plain bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	plain = true
	for i++; ; {
		for i+8 <= len(b) { // eight bytes at once, up to the first that is not a plain character
			x := binary.LittleEndian.Uint64(b[i:])
			quote, escape := x^ones*'"', x^ones*'\\'
			odd := (quote-ones)&^quote | (escape-ones)&^escape | (x-ones*' ')&^x | x
			if odd &= tops; odd != 0 {
				i += bits.TrailingZeros64(odd) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return -1, false
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, plain
		case c == '\\':
			plain = false
			if i = scanEscape(b, i); i < 0 {
				return -1, false
			}
		case c < ' ':
			return -1, false
		default:
			plain = plain && c < 0x80
			i++
		}
	}
}

// scanEscape returns the index after the escape sequence at i, or -1.
func scanEscape(b []byte, i int) int {
	if i+1 >= len(b) {
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 > len(b) {
			return -1
		}
		for _, c := range b[i+2 : i+6] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return -1
			}
		}
		return i + 6
	}
	return -1
}

// scanValue returns the index after the value that begins at i, or -1 if there
// is no valid one; plain is that of a string.
func scanValue(b []byte, i, nesting int) (end int, plain bool) {
	if i >= len(b) {
		return -1, false
	}
	switch b[i] {
	case '"':
		return scanString(b, i)
	case '{', '[':
		return scanBrackets(b, i, nesting+1), false
	case 't':
		return scanWord(b, i, "true"), false
	case 'f':
		return scanWord(b, i, "false"), false
	case 'n':
		return scanWord(b, i, "null"), false
	}
	return scanNumber(b, i), false
}

func scanWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

func scanNumber(b []byte, i int) int {
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	first := i
	if !digits() || i-first > 1 && b[first] == '0' {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// scanBrackets returns the index after the object or array that begins at i, or -1.
func scanBrackets(b []byte, i, nesting int) int {
	if nesting > maxNesting {
		return -1
	}
	isObject, closing := b[i] == '{', b[i]+2
	if i = scanBlank(b, i+1); i < len(b) && b[i] == closing {
		return i + 1
	}
	for {
		if isObject {
			if _, i = scanKey(b, i); i < 0 {
				return -1
			}
		}
		if i, _ = scanValue(b, i, nesting); i < 0 {
			return -1
		}
		var more bool
		if i, more = scanNext(b, i, closing); !more {
			return i
		}
	}
}

// scanKey returns the key that begins at i, with its quotes, and the index of
// its value, or -1.
func scanKey(b []byte, i int) (key []byte, value int) {
	if i >= len(b) || b[i] != '"' {
		return nil, -1
	}
	end, _ := scanString(b, i)
	if end < 0 {
		return nil, -1
	}
	key = b[i:end]
	if i = scanBlank(b, end); i >= len(b) || b[i] != ':' {
		return nil, -1
	}
	return key, scanBlank(b, i+1)
}

// scanNext looks at what follows a member: the index of the next one if there
// are more, else that after the closing bracket, or -1.
func scanNext(b []byte, i int, closing byte) (next int, more bool) {
	if i = scanBlank(b, i); i >= len(b) {
		return -1, false
	}
	switch b[i] {
	case ',':
		return scanBlank(b, i+1), true
	case closing:
		return i + 1, false
	}
	return -1, false
}
