package ingest

import (
	"bytes"
	"strconv"
)

// problemAt is the message about bytes that are not what they should be, with a word on what they look like instead.
func problemAt(at int, p problem, text []byte, maxDepth int) string {
	out := "byte " + strconv.Itoa(at) + ": "
	switch {
	case p == problemDepth:
		return out + "nested deeper than " + strconv.Itoa(maxDepth) + " levels"
	case p == problemControl && at < len(text):
		return out + p.String() + `, to be written as \u00` + strconv.FormatInt(0x100+int64(text[at]), 16)[1:]
	case p == problemName && at < len(text) && text[at] == '\'':
		return out + "JSON has double quotes"
	case p == problemName && at < len(text) && text[at] == '}', p == problemValue && at < len(text) && text[at] == ']':
		return out + "nothing follows the last comma"
	}
	out += p.String()
	if at < 2 {
		out += looksLike(text)
	}
	return out
}

// looksLike recognises what people send instead of JSON.
func looksLike(body []byte) string {
	switch {
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return "; this looks like gzip: send Content-Encoding: gzip"
	case bytes.HasPrefix(body, []byte("\x28\xb5\x2f\xfd")):
		return "; this looks like zstd: send Content-Encoding: zstd"
	case len(body) > 1 && body[0] == 0x78 && (int(body[0])<<8|int(body[1]))%31 == 0:
		return "; this looks like zlib: send Content-Encoding: deflate"
	case bytes.HasPrefix(body, []byte("\xff\xfe")), bytes.HasPrefix(body, []byte("\xfe\xff")), bytes.HasPrefix(body, []byte("{\x00")):
		return "; this looks like UTF-16: send UTF-8"
	case bytes.HasPrefix(body, []byte("--")):
		return "; this looks like a form with parts: send the event as JSON"
	}
	if name, _, ok := bytes.Cut(body[:min(len(body), 256)], []byte("=")); ok && len(bytes.TrimFunc(name, isFormName)) == 0 && len(name) > 0 {
		return "; this looks like a form: send the event as JSON, or as the query of /v1/pixel"
	}
	return ""
}

func isFormName(r rune) bool {
	return r < 0x80 && (isAlnum(byte(r)) || r == '_' || r == '.' || r == '-' || r == '%' || r == '[' || r == ']' || r == '+')
}
