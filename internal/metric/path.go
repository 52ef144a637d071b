package metric

import (
	"errors"
	"fmt"
	"strings"
)

// path names a member of an event. The text is as it was written.
type path struct {
	text    string
	members []string
}

// roots are the members that a path may begin with, and whether a path may go on below them.
func roots() map[string]bool {
	return map[string]bool{
		"properties": true, "traits": true, "context": true,
		"userId": false, "anonymousId": false, "groupId": false, "previousId": false, "messageId": false,
		"name": false, "category": false, "user": false,
	}
}

func rootNames() []string {
	return []string{"properties", "traits", "context", "userId", "anonymousId", "groupId", "previousId", "messageId", "name", "category", "user"}
}

// parsePath reads the whole of s.
func parsePath(s string) (path, error) {
	l := lexer{src: s}
	t := l.next()
	if t.kind != tokPath {
		return path{}, fmt.Errorf("%q is no path; a path is like properties.total, with members that hold other signs in double quotes", s)
	}
	if end := l.next(); end.kind != tokEnd {
		return path{}, fmt.Errorf("%q goes on after the path %q", s, t.text)
	}
	return newPath(t)
}

func newPath(t token) (path, error) {
	p := path{text: t.text, members: t.members}
	root := p.members[0]
	deeper, ok := roots()[root]
	switch {
	case !ok:
		return p, fmt.Errorf("%q is no root of a path%s; roots are %s", root, suggest(root, rootNames()), strings.Join(rootNames(), ", "))
	case !deeper && len(p.members) > 1:
		return p, fmt.Errorf("%q has no members", root)
	case deeper && len(p.members) == 1:
		return p, fmt.Errorf("%q is an object and has no value; name a member, such as %s.plan", root, root)
	}
	return p, nil
}

// parseExpr reads path { ?? path } [ ?? "text" ].
func parseExpr(s string) (paths []path, absent string, err error) {
	l := lexer{src: s}
	absent = "unknown"
	for {
		t := l.next()
		switch t.kind {
		case tokPath:
			p, err := newPath(t)
			if err != nil {
				return nil, "", err
			}
			paths = append(paths, p)
		case tokString:
			if len(paths) == 0 {
				return nil, "", errors.New("a dimension needs a path before its default text")
			}
			absent = t.text
			if end := l.next(); end.kind != tokEnd {
				return nil, "", fmt.Errorf("the default text comes last, found %q after it", end.text)
			}
			return paths, absent, nil
		default:
			return nil, "", fmt.Errorf("expected a path or a text in double quotes at column %d, found %q", t.at+1, t.text)
		}
		switch t := l.next(); t.kind {
		case tokEnd:
			return paths, absent, nil
		case tokOr:
		default:
			return nil, "", fmt.Errorf("expected ?? at column %d, found %q", t.at+1, t.text)
		}
	}
}

// tokKind is a kind of token of paths and predicates.
type tokKind int

const (
	tokEnd tokKind = iota
	tokPath
	tokString
	tokNumber
	tokOp // = != < <= > >= ( ) ,
	tokOr // ??
	tokBad
)

type token struct {
	kind    tokKind
	text    string   // of a string without its quotes
	members []string // of a path
	at      int      // byte in the source
}

type lexer struct {
	src string
	i   int
}

func (l *lexer) next() token {
	for l.i < len(l.src) && strings.IndexByte(" \t\r\n", l.src[l.i]) >= 0 {
		l.i++
	}
	at := l.i
	if at == len(l.src) {
		return token{kind: tokEnd, text: "the end", at: at}
	}
	rest := l.src[at:]
	switch c := rest[0]; {
	case c == '"':
		if s, n, ok := quoted(rest); ok {
			l.i += n
			return token{kind: tokString, text: s, at: at}
		}
		return l.bad(at)
	case c >= '0' && c <= '9' || c == '-':
		n := 1
		for n < len(rest) && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '.') {
			n++
		}
		l.i += n
		if _, ok := parseDecimal([]byte(rest[:n])); !ok {
			return token{kind: tokBad, text: rest[:n], at: at}
		}
		return token{kind: tokNumber, text: rest[:n], at: at}
	case member(rest) > 0:
		return l.path(at)
	}
	for _, op := range []string{"??", "!=", "<=", ">=", "=", "<", ">", "(", ")", ","} {
		if strings.HasPrefix(rest, op) {
			l.i += len(op)
			if op == "??" {
				return token{kind: tokOr, text: op, at: at}
			}
			return token{kind: tokOp, text: op, at: at}
		}
	}
	return l.bad(at)
}

func (l *lexer) bad(at int) token {
	text := l.src[at:]
	l.i = len(l.src)
	return token{kind: tokBad, text: text, at: at}
}

func (l *lexer) path(at int) token {
	t := token{kind: tokPath, at: at}
	for {
		rest := l.src[l.i:]
		if n := member(rest); n > 0 {
			t.members = append(t.members, rest[:n])
			l.i += n
		} else if s, n, ok := quoted(rest); ok {
			t.members = append(t.members, s)
			l.i += n
		} else {
			return l.bad(at)
		}
		if l.i == len(l.src) || l.src[l.i] != '.' {
			t.text = l.src[at:l.i]
			return t
		}
		l.i++
	}
}

// member is the length of the plain member that s begins with.
func member(s string) int {
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || s[n] >= '0' && s[n] <= '9' || s[n] == '_' || s[n] == '$' || s[n] == '-') {
		n++
	}
	return n
}

// quoted reads a text in double quotes; a backslash makes the next byte plain.
func quoted(s string) (text string, n int, ok bool) {
	if s == "" || s[0] != '"' {
		return "", 0, false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i + 1, true
		case '\\':
			if i++; i == len(s) {
				return "", 0, false
			}
		}
		b.WriteByte(s[i])
	}
	return "", 0, false
}
