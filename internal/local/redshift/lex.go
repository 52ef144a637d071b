package redshift

import (
	"strings"
	"unicode/utf8"
)

// tokenKind says what a token is to Redshift's grammar.
type tokenKind uint8

const (
	tokWord   tokenKind = iota // unquoted name or keyword; val is in lower case
	tokQuoted                  // "name"; val is folded, as Redshift does unless told otherwise
	tokString                  // 'literal'; val is what it means, backslash escapes undone
	tokNumber
	tokParam // $1; val is the digits
	tokOp
	tokSQL // finished SQL in place of a parameter
)

// token is one lexical unit with the blank space before it, comments reduced to a blank.
type token struct {
	kind tokenKind
	pre  string
	val  string
	at   int // bytes of the text before it
}

// lex splits text into tokens. Only an unfinished quote or comment is an error.
func lex(text string) ([]token, error) {
	l := lexer{in: text}
	for l.space(); l.pos < len(l.in); l.space() {
		l.start = l.pos
		if err := l.next(); err != nil {
			err.at = utf8.RuneCountInString(text[:l.start]) + 1
			return nil, err
		}
	}
	return l.out, nil
}

// lexer walks over in; blank tells whether space stood before pos.
type lexer struct {
	in    string
	pos   int
	blank bool
	start int // of the token that is read
	out   []token
}

func (l *lexer) add(kind tokenKind, val string) {
	t := token{kind: kind, val: val, at: l.start}
	if l.blank {
		t.pre = " "
	}
	l.blank = false
	l.out = append(l.out, t)
}

// space skips blanks and comments; /* */ nest, as in PostgreSQL. An unfinished one runs to the end.
func (l *lexer) space() {
	for l.pos < len(l.in) {
		rest := l.in[l.pos:]
		switch {
		case strings.ContainsRune(" \t\r\n\f\v", rune(rest[0])):
			l.pos++
		case strings.HasPrefix(rest, "--"):
			if n := strings.IndexByte(rest, '\n'); n >= 0 {
				l.pos += n
			} else {
				l.pos = len(l.in)
			}
		case strings.HasPrefix(rest, "/*"):
			l.pos += 2
			for depth := 1; depth > 0 && l.pos < len(l.in); {
				switch {
				case strings.HasPrefix(l.in[l.pos:], "/*"):
					depth, l.pos = depth+1, l.pos+2
				case strings.HasPrefix(l.in[l.pos:], "*/"):
					depth, l.pos = depth-1, l.pos+2
				default:
					l.pos++
				}
			}
		default:
			return
		}
		l.blank = true
	}
}

// operators are the symbols of more than one character, longest first.
var operators = [...]string{"!~~*", "!~~", "!~*", "~~*", "::", "<=", ">=", "<>", "!=", "||", "!~", "~*", "~~", "->>", "->", "=>", ":="}

func (l *lexer) next() *sqlError {
	rest := l.in[l.pos:]
	c := rest[0]
	switch {
	case c == '\'':
		return l.str()
	case (c == 'e' || c == 'E') && len(rest) > 1 && rest[1] == '\'':
		l.pos++
		return l.str()
	case c == '"':
		return l.quoted()
	case c == '$':
		return l.dollar()
	case c >= '0' && c <= '9', c == '.' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9' && !l.afterName():
		l.number()
		return nil
	case wordStart(c) && (c != '#' || len(rest) > 1 && wordPart(rest[1])): // # alone is an operator
		end := 1
		for end < len(rest) && wordPart(rest[end]) {
			end++
		}
		l.pos += end
		l.add(tokWord, strings.ToLower(rest[:end]))
		return nil
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			l.pos += len(op)
			l.add(tokOp, op)
			return nil
		}
	}
	_, size := utf8.DecodeRuneInString(rest)
	l.pos += size
	l.add(tokOp, rest[:size])
	return nil
}

// afterName reports whether a dot at pos continues a name rather than begins a number.
func (l *lexer) afterName() bool {
	if l.blank || len(l.out) == 0 {
		return false
	}
	last := l.out[len(l.out)-1]
	return last.kind == tokWord || last.kind == tokQuoted || last.val == "]"
}

func wordStart(c byte) bool {
	return c == '_' || c == '#' || c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func wordPart(c byte) bool { return wordStart(c) || c == '$' || c >= '0' && c <= '9' }

func (l *lexer) number() {
	start, seenExp := l.pos, false
	for l.pos < len(l.in) {
		c := l.in[l.pos]
		switch {
		case c >= '0' && c <= '9', c == '.' && !seenExp:
		case (c == 'e' || c == 'E') && !seenExp && l.pos+1 < len(l.in) && strings.IndexByte("0123456789+-", l.in[l.pos+1]) >= 0:
			seenExp = true
			l.pos++
		default:
			l.add(tokNumber, l.in[start:l.pos])
			l.blank = wordStart(c) // 1_000 is 1 by the name of _000
			return
		}
		l.pos++
	}
	l.add(tokNumber, l.in[start:l.pos])
}

func (l *lexer) quoted() *sqlError {
	var b strings.Builder
	for i := l.pos + 1; i < len(l.in); i++ {
		if l.in[i] != '"' {
			b.WriteByte(l.in[i])
			continue
		}
		if i+1 < len(l.in) && l.in[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		l.pos = i + 1
		if b.Len() == 0 {
			return syntaxError("zero-length delimited identifier")
		}
		l.add(tokQuoted, strings.ToLower(b.String()))
		return nil
	}
	return syntaxError("unterminated quoted identifier")
}

// dollar reads $1, or a dollar-quoted literal.
func (l *lexer) dollar() *sqlError {
	rest := l.in[l.pos:]
	end := 1
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	if end > 1 {
		l.pos += end
		l.add(tokParam, rest[1:end])
		return nil
	}
	for end < len(rest) && rest[end] != '$' && wordPart(rest[end]) {
		end++
	}
	if end == len(rest) || rest[end] != '$' {
		return syntaxError(`syntax error at or near "$"`)
	}
	tag := rest[:end+1]
	body, _, found := strings.Cut(rest[len(tag):], tag)
	if !found {
		return syntaxError("unterminated dollar-quoted string")
	}
	l.pos += 2*len(tag) + len(body)
	l.add(tokString, body)
	return nil
}

// str reads a literal; as in PostgreSQL 8.0, a backslash escapes.
func (l *lexer) str() *sqlError {
	var b strings.Builder
	for i := l.pos + 1; i < len(l.in); i++ {
		switch c := l.in[i]; {
		case c == '\\' && i+1 < len(l.in):
			i = unescape(&b, l.in, i+1)
		case c == '\'' && i+1 < len(l.in) && l.in[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case c == '\'':
			l.pos = i + 1
			if strings.IndexByte(b.String(), 0) >= 0 || !utf8.ValidString(b.String()) {
				return pgError("22021", "invalid byte sequence for encoding \"UTF8\"")
			}
			l.add(tokString, b.String())
			return nil
		default:
			b.WriteByte(c)
		}
	}
	return syntaxError("unterminated quoted string")
}

// unescape writes what the escape at in[i] (behind its backslash) means and returns the index of its last byte.
func unescape(b *strings.Builder, in string, i int) int {
	const letters, meanings = "bfnrt", "\b\f\n\r\t"
	if k := strings.IndexByte(letters, in[i]); k >= 0 {
		b.WriteByte(meanings[k])
		return i
	}
	if in[i] < '0' || in[i] > '7' {
		b.WriteByte(in[i])
		return i
	}
	n, end := 0, i
	for end < len(in) && end < i+3 && in[end] >= '0' && in[end] <= '7' {
		n = n*8 + int(in[end]-'0')
		end++
	}
	b.WriteByte(byte(n))
	return end - 1
}

// quoteIdent and quoteString write DuckDB's forms.
func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// splitStatements cuts at semicolons and leaves out empty statements.
func splitStatements(toks []token) [][]token {
	var out [][]token
	start := 0
	for i := 0; i <= len(toks); i++ {
		if i < len(toks) && (toks[i].kind != tokOp || toks[i].val != ";") {
			continue
		}
		if i > start {
			out = append(out, toks[start:i])
		}
		start = i + 1
	}
	return out
}
