package ingest

import "bytes"

// findMember returns the value of the last member of that name among the members of an event, or nil. The server reads
// no such member elsewhere, so it is in one of the runs that are copied in one piece; the bytes are known to be valid.
func findMember(body []byte, members []member, name string) []byte {
	var found []byte
	for _, m := range members {
		if m.field != fieldOther {
			continue
		}
		for i := int(m.lo); i < int(m.val.hi); {
			end := looseQuote(body, i+1)
			lo := space(body, space(body, end+1)+1) // behind the colon
			hi := valueEnd(body, lo)
			if sameName(body[i+1:end], name) {
				found = body[lo:hi]
			}
			if i = space(body, hi); i < int(m.val.hi) {
				i = space(body, i+1) // behind the comma
			}
		}
	}
	return found
}

// sameName compares the inside of a quoted name with a plain one.
func sameName(raw []byte, name string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw) == name
	}
	return len(raw) <= 6*len(name) && string(unescape(nil, raw)) == name
}

// valueEnd returns the end of the valid value at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return looseQuote(b, i+1) + 1
	case '{', '[':
		for depth := 0; ; i++ {
			switch b[i] {
			case '"':
				i = looseQuote(b, i+1)
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
