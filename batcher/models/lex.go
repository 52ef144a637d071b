package models

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// kind is what a token is.
type kind int

const (
	kindWord   kind = iota // a name or keyword; text in lower case
	kindQuoted             // a name in double quotes; text in lower case, as Redshift folds it, without them
	kindString             // a literal in single or dollar quotes; text without them
	kindNumber
	kindSign // one character, or "::"
)

// token is a piece of SQL that is neither blank nor comment.
type token struct {
	kind       kind
	text       string
	start, end int // bytes of the source
	line       int // counted from 1
}

func (t token) is(words ...string) bool {
	return t.kind == kindWord && slices.Contains(words, t.text)
}

func (t token) sign(text string) bool { return t.kind == kindSign && t.text == text }

// name says that the token can name something.
func (t token) name() bool { return t.kind == kindQuoted || t.kind == kindWord && !reserved[t.text] }

// lexer cuts SQL into tokens as Redshift does: comments nest, a backslash
// escapes in literals, dollar quotes have tags.
type lexer struct {
	src  string
	pos  int
	line int
	out  []token
}

// lineError is something wrong at a line of a file.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return e.text }

func at(line int, format string, args ...any) error {
	return &lineError{line, fmt.Sprintf(format, args...)}
}

// lex returns the tokens of src. Its errors are lineErrors.
func lex(src string) ([]token, error) {
	if before, _, found := strings.Cut(src, "\x00"); found {
		return nil, at(1+strings.Count(before, "\n"), "holds a NUL, which would end the statement there: remove it")
	}
	if !utf8.ValidString(src) {
		return nil, at(1+strings.Count(src[:firstInvalid(src)], "\n"), "is not UTF-8 here: save the file as UTF-8")
	}
	l := &lexer{src: src, line: 1}
	for {
		if err := l.blanks(); err != nil {
			return nil, err
		}
		if l.pos >= len(l.src) {
			return l.out, nil
		}
		if err := l.next(); err != nil {
			return nil, err
		}
	}
}

func firstInvalid(src string) int {
	for i, r := range src {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(src[i:]); n == 1 {
				return i
			}
		}
	}
	return len(src)
}

func (l *lexer) rest(prefix string) bool { return strings.HasPrefix(l.src[l.pos:], prefix) }

// blanks passes over blanks and comments.
func (l *lexer) blanks() error {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == '\n':
			l.line++
			l.pos++
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			l.pos++
		case l.rest("\ufeff"): // a byte order mark
			l.pos += len("\ufeff")
		case l.rest("--"):
			n := strings.IndexByte(l.src[l.pos:], '\n')
			if n < 0 {
				n = len(l.src) - l.pos
			}
			l.pos += n
		case l.rest("/*"):
			if err := l.comment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) comment() error {
	began, depth := l.line, 0
	for l.pos < len(l.src) {
		switch {
		case l.rest("/*"):
			depth++
			l.pos += 2
		case l.rest("*/"):
			depth--
			l.pos += 2
			if depth == 0 {
				return nil
			}
		default:
			if l.src[l.pos] == '\n' {
				l.line++
			}
			l.pos++
		}
	}
	return at(began, "the comment that begins here has no end: close it with */")
}

func (l *lexer) next() error {
	start, line := l.pos, l.line
	add := func(k kind, text string) error {
		l.out = append(l.out, token{k, text, start, l.pos, line})
		return nil
	}
	switch c := l.src[l.pos]; {
	case c == '\'':
		text, err := l.quoted('\'', true)
		if err != nil {
			return err
		}
		return add(kindString, text)
	case c == '"':
		text, err := l.quoted('"', false)
		if err != nil {
			return err
		}
		return add(kindQuoted, strings.ToLower(text))
	case c == '$' && l.dollarTag() != "":
		text, err := l.dollar(l.dollarTag())
		if err != nil {
			return err
		}
		return add(kindString, text)
	case c >= '0' && c <= '9', c == '.' && l.pos+1 < len(l.src) && digit(l.src[l.pos+1]) && !l.afterName():
		l.number()
		return add(kindNumber, l.src[start:l.pos])
	case wordStart(c):
		for l.pos < len(l.src) && (wordStart(l.src[l.pos]) || digit(l.src[l.pos]) || l.src[l.pos] == '$') {
			l.pos++
		}
		return add(kindWord, strings.ToLower(l.src[start:l.pos]))
	case l.rest("::"):
		l.pos += 2
		return add(kindSign, "::")
	default:
		l.pos++
		return add(kindSign, l.src[start:l.pos])
	}
}

// afterName says that a dot here goes on a name, as in t.1.
func (l *lexer) afterName() bool {
	n := len(l.out)
	return n > 0 && l.out[n-1].end == l.pos && (l.out[n-1].kind == kindWord || l.out[n-1].kind == kindQuoted)
}

// number passes over digits, a fraction and an exponent.
func (l *lexer) number() {
	digits := func() {
		for l.pos < len(l.src) && digit(l.src[l.pos]) {
			l.pos++
		}
	}
	digits()
	if l.rest(".") {
		l.pos++
		digits()
	}
	if l.rest("e") || l.rest("E") {
		back := l.pos
		l.pos++
		if l.rest("+") || l.rest("-") {
			l.pos++
		}
		if l.pos >= len(l.src) || !digit(l.src[l.pos]) {
			l.pos = back
			return
		}
		digits()
	}
}

// quoted returns the text between quotes, of which two stand for one.
func (l *lexer) quoted(quote byte, escapes bool) (string, error) {
	began := l.line
	var b strings.Builder
	for l.pos++; l.pos < len(l.src); l.pos++ {
		c := l.src[l.pos]
		switch {
		case c == '\n':
			l.line++
		case c == '\\' && escapes && l.pos+1 < len(l.src):
			l.pos++
			c = l.src[l.pos]
			if c == '\n' {
				l.line++
			}
		case c == quote && l.pos+1 < len(l.src) && l.src[l.pos+1] == quote:
			l.pos++
		case c == quote:
			l.pos++
			return b.String(), nil
		}
		b.WriteByte(c)
	}
	return "", at(began, "the quote %c that opens here is never closed", quote)
}

// dollarTag returns the $tag$ that stands here, or nothing.
func (l *lexer) dollarTag() string {
	for i := l.pos + 1; i < len(l.src); i++ {
		switch c := l.src[i]; {
		case c == '$':
			return l.src[l.pos : i+1]
		case !wordStart(c) && (!digit(c) || i == l.pos+1):
			return ""
		}
	}
	return ""
}

func (l *lexer) dollar(tag string) (string, error) {
	began := l.line
	from := l.pos + len(tag)
	n := strings.Index(l.src[from:], tag)
	if n < 0 {
		return "", at(began, "the quote %s that opens here is never closed", tag)
	}
	text := l.src[from : from+n]
	l.line += strings.Count(text, "\n")
	l.pos = from + n + len(tag)
	return text, nil
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func wordStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '#' || c >= utf8.RuneSelf
}

// reserved are the words that are no alias without quotes, as far as they can
// follow a table or an expression.
var reserved = set(`all and any as asc at between both by case cast collate connect cross current_date
	current_time current_timestamp current_user desc distinct else end except exclude exists false fetch for from full group
	having ilike in inner intersect into is isnull join lateral leading left like limit localtime localtimestamp minus
	natural not notnull null nulls offset on only or order outer over overlaps partition pivot precision qualify
	right select similar some start sysdate table then to top trailing true union unpivot using varying when where
	window with within zone`)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		out[w] = true
	}
	return out
}
