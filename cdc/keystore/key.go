package keystore

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says how a key column's values stand in JSON and how the server orders them.
type Kind int

// The kinds of ordered columns. KindOther is any that this package does not
// order as the server does: collated text, numerics.
const (
	KindOther   Kind = iota
	KindInt          // int64; days and microseconds too
	KindUint         // uint64
	KindBool         // false before true
	KindInstant      // 2026-11-21T06:15:02.113402Z, of microseconds; other years have a sign
	KindUUID         // 8-4-4-4-12 hex digits, ordered by bytes
	KindBytes        // base64, ordered by bytes
	KindText         // UTF-8, ordered by bytes
)

// Part is a column of a table's key, as the JSON of its keys writes it.
type Part struct {
	Name   string
	Kind   Kind
	Quoted bool // integers in quotes
}

// ErrKey means that a key is not what the parts say.
var ErrKey = errors.New("key does not fit its columns")

// Codec encodes keys: the JSON object of key columns, as it is the key of a
// change record, to bytes and back.
type Codec struct {
	parts   []Part
	heads   []string // what stands before each value
	ordered bool
}

// NewCodec returns the codec of a key of these columns.
func NewCodec(parts []Part) *Codec {
	c := &Codec{parts: parts, ordered: len(parts) > 0}
	for i, p := range parts {
		c.ordered = c.ordered && p.Kind != KindOther
		sep := ","
		if i == 0 {
			sep = "{"
		}
		c.heads = append(c.heads, sep+string(appendJSON(nil, p.Name))+":")
	}
	return c
}

// Ordered says whether encoded keys compare as the server's.
func (c *Codec) Ordered() bool { return c.ordered }

// Append appends the encoding of key to dst.
func (c *Codec) Append(dst, key []byte) ([]byte, error) {
	if !c.ordered {
		return append(dst, key...), nil
	}
	rest := key
	for i, p := range c.parts {
		if len(rest) < len(c.heads[i]) || string(rest[:len(c.heads[i])]) != c.heads[i] {
			return nil, fmt.Errorf("%w: %s", ErrKey, key)
		}
		rest = rest[len(c.heads[i]):]
		n := valueEnd(rest)
		if n < 0 {
			return nil, fmt.Errorf("%w: %s", ErrKey, key)
		}
		var ok bool
		if dst, ok = p.append(dst, rest[:n], i == len(c.parts)-1); !ok {
			return nil, fmt.Errorf("%w: column %s of %s", ErrKey, p.Name, key)
		}
		rest = rest[n:]
	}
	if string(rest) != "}" {
		return nil, fmt.Errorf("%w: %s", ErrKey, key)
	}
	return dst, nil
}

// valueEnd is the length of the JSON scalar that b begins with, or -1.
func valueEnd(b []byte) int {
	if len(b) > 0 && b[0] == '"' {
		for i := 1; i < len(b); i++ {
			switch b[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
		return -1
	}
	for i, c := range b {
		if c == ',' || c == '}' {
			return i
		}
	}
	return -1
}

// append appends one value, given as JSON; what ends a key needs no end of its own.
func (p Part) append(dst, value []byte, last bool) ([]byte, bool) {
	text, quoted := string(value), false
	if len(value) > 1 && value[0] == '"' {
		quoted = true
		if inner := value[1 : len(value)-1]; !bytes.ContainsRune(inner, '\\') {
			text = string(inner)
		} else if json.Unmarshal(value, &text) != nil {
			return nil, false
		}
	}
	switch p.Kind {
	case KindInt:
		n, err := strconv.ParseInt(text, 10, 64)
		return binary.BigEndian.AppendUint64(dst, uint64(n)^1<<63), err == nil && quoted == p.Quoted //nolint:gosec // two's complement
	case KindUint:
		n, err := strconv.ParseUint(text, 10, 64)
		return binary.BigEndian.AppendUint64(dst, n), err == nil && quoted == p.Quoted
	case KindBool:
		if text == "true" {
			return append(dst, 1), !quoted
		}
		return append(dst, 0), text == "false" && !quoted
	case KindInstant:
		micros, ok := ParseInstant(text)
		return binary.BigEndian.AppendUint64(dst, uint64(micros)^1<<63), ok && quoted //nolint:gosec // two's complement
	case KindUUID:
		if len(text) != 36 {
			return nil, false
		}
		b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		return append(dst, b...), err == nil && quoted && len(b) == 16
	case KindBytes:
		b, err := base64.StdEncoding.DecodeString(text)
		return appendEscaped(dst, b, last), err == nil && quoted
	case KindText:
		return appendEscaped(dst, []byte(text), last), quoted
	case KindOther:
	}
	panic("BUG: a key part without an order")
}

// The end of a text within a tuple sorts before whatever may follow a common
// prefix: 00 is written as 00 FF, the end as 00 01.
func appendEscaped(dst, b []byte, last bool) []byte {
	if last {
		return append(dst, b...)
	}
	for _, c := range b {
		dst = append(dst, c)
		if c == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

// Decode returns the JSON of an encoded key, byte for byte as it was given to Append.
func (c *Codec) Decode(b []byte) ([]byte, error) {
	if !c.ordered {
		return append([]byte(nil), b...), nil
	}
	var out []byte
	rest := b
	for i, p := range c.parts {
		out = append(out, c.heads[i]...)
		var ok bool
		if out, rest, ok = p.decode(out, rest, i == len(c.parts)-1); !ok {
			return nil, fmt.Errorf("%w: %x", ErrKey, b)
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %x", ErrKey, b)
	}
	return append(out, '}'), nil
}

func (p Part) decode(out, b []byte, last bool) (_, rest []byte, ok bool) {
	quote := func(s string) []byte { return append(append(append(out, '"'), s...), '"') }
	switch p.Kind {
	case KindInt, KindUint, KindInstant:
		if len(b) < 8 {
			return nil, nil, false
		}
		n := binary.BigEndian.Uint64(b)
		signed := int64(n ^ 1<<63) //nolint:gosec // two's complement
		text := strconv.FormatInt(signed, 10)
		if p.Kind == KindInstant {
			return quote(formatInstant(signed)), b[8:], true
		}
		if p.Kind == KindUint {
			text = strconv.FormatUint(n, 10)
		}
		if p.Quoted {
			return quote(text), b[8:], true
		}
		return append(out, text...), b[8:], true
	case KindBool:
		if len(b) < 1 || b[0] > 1 {
			return nil, nil, false
		}
		return strconv.AppendBool(out, b[0] == 1), b[1:], true
	case KindUUID:
		if len(b) < 16 {
			return nil, nil, false
		}
		return fmt.Appendf(out, `"%x-%x-%x-%x-%x"`, b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]), b[16:], true
	case KindBytes, KindText:
		raw, rest, ok := cutEscaped(b, last)
		if p.Kind == KindBytes {
			return quote(base64.StdEncoding.EncodeToString(raw)), rest, ok
		}
		return appendJSON(out, string(raw)), rest, ok
	case KindOther:
	}
	panic("BUG: a key part without an order")
}

func cutEscaped(b []byte, last bool) (raw, rest []byte, ok bool) {
	if last {
		return b, nil, true
	}
	for i := 0; i+1 < len(b); i++ {
		raw = append(raw, b[i])
		if b[i] != 0 {
			continue
		}
		if b[i+1] == 1 {
			return raw[:len(raw)-1], b[i+2:], true
		}
		i++
	}
	return nil, nil, false
}

// ParseInstant reads 2026-11-21T06:15:02.113402Z, and years with a sign, as
// microseconds since 1970.
func ParseInstant(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	if s[0] != '+' && s[0] != '-' {
		t, err := time.Parse("2006-01-02T15:04:05.999999Z", s)
		return t.UnixMicro(), err == nil
	}
	end := strings.IndexByte(s[1:], '-') + 1
	if end < 1 {
		return 0, false
	}
	year, err := strconv.Atoi(s[:end])
	// The calendar repeats every 400 years, so a leap year stands for a leap year.
	cycles := year / 400
	t, err2 := time.Parse("2006-01-02T15:04:05.999999Z", fmt.Sprintf("%04d", year-400*cycles+2000)+s[end:])
	const cycle = 146097 * 86400_000000
	return t.UnixMicro() + int64(cycles-5)*cycle, err == nil && err2 == nil
}

func formatInstant(micros int64) string {
	t := time.UnixMicro(micros).UTC()
	year := t.Format("2006")
	if y := t.Year(); y < 1 || y > 9999 {
		year = fmt.Sprintf("%+05d", y)
	}
	return year + t.Format("-01-02T15:04:05.999999Z")
}

const hexDigits = "0123456789abcdef"

// appendJSON appends s as a JSON string, as records' keys have it.
func appendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, "\uFFFD"...)
		case r == '"' || r == '\\':
			dst = append(dst, '\\', s[i])
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		default:
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return append(dst, '"')
}
