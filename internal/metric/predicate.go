package metric

import (
	"bytes"
	"fmt"
	"strings"
)

// predicate is the syntax tree of a where. Logic has two values: a comparison
// with an absent operand is false, and a != b is not (a = b).
type predicate struct {
	op    predOp
	kids  []*predicate // and, or: 2 and more; not: 1
	path  path
	lower bool
	lits  []literal // of comparisons: 1, of in: 1 and more
}

type predOp string

const (
	opAnd      predOp = "and"
	opOr       predOp = "or"
	opNot      predOp = "not"
	opExists   predOp = "exists"
	opEq       predOp = "="
	opNe       predOp = "!="
	opLt       predOp = "<"
	opLe       predOp = "<="
	opGt       predOp = ">"
	opGe       predOp = ">="
	opIn       predOp = "in"
	opStarts   predOp = "starts"
	opEnds     predOp = "ends"
	opContains predOp = "contains"
)

type literal struct {
	text   []byte
	number bool
	num    decimal
}

// maxNesting bounds brackets and nots, because the parser recurses.
const maxNesting = 100

// parsePredicate reads the whole of s.
func parsePredicate(s string) (*predicate, error) {
	p := predParser{lex: lexer{src: s}}
	p.advance()
	out, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokEnd {
		return nil, p.expected(`"and", "or" or the end`)
	}
	return out, nil
}

type predParser struct {
	lex  lexer
	tok  token
	last token
}

func (p *predParser) advance() { p.last, p.tok = p.tok, p.lex.next() }

func (p *predParser) expected(what string) error {
	after := ""
	if p.last.text != "" {
		after = fmt.Sprintf(" after %q", p.last.text)
	}
	return fmt.Errorf("expected %s%s at column %d of the predicate, found %q", what, after, p.tok.at+1, p.tok.text)
}

func (p *predParser) word(w string) bool {
	return p.tok.kind == tokPath && p.tok.text == w
}

func (p *predParser) sign(s string) bool {
	return p.tok.kind == tokOp && p.tok.text == s
}

func (p *predParser) or(depth int) (*predicate, error) {
	return p.list(opOr, depth, func(d int) (*predicate, error) { return p.list(opAnd, d, p.not) })
}

func (p *predParser) list(op predOp, depth int, part func(int) (*predicate, error)) (*predicate, error) {
	first, err := part(depth)
	if err != nil || !p.word(string(op)) {
		return first, err
	}
	out := &predicate{op: op, kids: []*predicate{first}}
	for p.word(string(op)) {
		p.advance()
		next, err := part(depth)
		if err != nil {
			return nil, err
		}
		out.kids = append(out.kids, next)
	}
	return out, nil
}

func (p *predParser) not(depth int) (*predicate, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("the predicate is nested more than %d times", maxNesting)
	}
	switch {
	case p.word("not"):
		p.advance()
		inner, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return &predicate{op: opNot, kids: []*predicate{inner}}, nil
	case p.sign("("):
		p.advance()
		inner, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		return inner, p.take(")")
	case p.word("exists"):
		p.advance()
		path, err := p.path()
		if err != nil {
			return nil, err
		}
		return &predicate{op: opExists, path: path}, nil
	}
	return p.cmp()
}

func (p *predParser) take(sign string) error {
	if !p.sign(sign) {
		return p.expected(fmt.Sprintf("%q", sign))
	}
	p.advance()
	return nil
}

func (p *predParser) path() (path, error) {
	if p.tok.kind != tokPath {
		return path{}, p.expected("a path such as properties.plan")
	}
	out, err := newPath(p.tok)
	if err != nil {
		return out, fmt.Errorf("%w (column %d of the predicate)", err, p.tok.at+1)
	}
	p.advance()
	return out, nil
}

func (p *predParser) cmp() (*predicate, error) {
	out := &predicate{}
	var err error
	if p.word("lower") {
		out.lower = true
		p.advance()
		if err = p.take("("); err != nil {
			return nil, err
		}
	}
	if out.path, err = p.path(); err != nil {
		return nil, err
	}
	if out.lower {
		if err = p.take(")"); err != nil {
			return nil, err
		}
	}
	switch op := predOp(p.tok.text); {
	case p.tok.kind == tokOp && (op == opEq || op == opNe || op == opLt || op == opLe || op == opGt || op == opGe),
		p.tok.kind == tokPath && (op == opStarts || op == opEnds || op == opContains):
		out.op = op
		p.advance()
		return out, p.one(out)
	case p.word("in"):
		out.op = opIn
		p.advance()
		return out, p.many(out)
	}
	return nil, p.expected("one of = != < <= > >= in starts ends contains")
}

func (p *predParser) one(out *predicate) error {
	at := p.tok.at
	lit, err := p.literal()
	if err != nil {
		return err
	}
	out.lits = []literal{lit}
	switch out.op {
	case opLt, opLe, opGt, opGe:
		if !lit.number {
			return fmt.Errorf("%s compares numbers (column %d of the predicate)", out.op, at+1)
		}
	case opStarts, opEnds, opContains:
		if lit.number {
			return fmt.Errorf("%s needs a text in double quotes (column %d of the predicate)", out.op, at+1)
		}
	default:
	}
	return nil
}

func (p *predParser) many(out *predicate) error {
	if err := p.take("("); err != nil {
		return err
	}
	for {
		lit, err := p.literal()
		if err != nil {
			return err
		}
		out.lits = append(out.lits, lit)
		if !p.sign(",") {
			return p.take(")")
		}
		p.advance()
	}
}

func (p *predParser) literal() (literal, error) {
	lit := literal{text: []byte(p.tok.text)}
	switch {
	case p.tok.kind == tokString, p.word("true"), p.word("false"):
	case p.tok.kind == tokNumber:
		lit.number = true
		lit.num, _ = parseDecimal(lit.text) // the lexer has read it already
	case p.tok.kind == tokPath:
		return lit, fmt.Errorf("expected a value after %q at column %d of the predicate; text goes in double quotes: %q", p.last.text, p.tok.at+1, p.tok.text)
	default:
		return lit, p.expected("a value")
	}
	p.advance()
	return lit, nil
}

// paths adds the paths that the predicate asks for.
func (p *predicate) paths(dst []path) []path {
	if p == nil {
		return dst
	}
	if len(p.path.members) > 0 {
		dst = append(dst, p.path)
	}
	for _, k := range p.kids {
		dst = k.paths(dst)
	}
	return dst
}

// compile returns the predicate as a closure that allocates nothing.
func (p *predicate) compile(find func(path) ref) func(*view) bool {
	if p == nil {
		return func(*view) bool { return true }
	}
	kids := make([]func(*view) bool, len(p.kids))
	for i, k := range p.kids {
		kids[i] = k.compile(find)
	}
	switch p.op {
	case opAnd, opOr:
		stop := p.op == opOr
		return func(v *view) bool {
			for _, k := range kids {
				if k(v) == stop {
					return stop
				}
			}
			return !stop
		}
	case opNot:
		return func(v *view) bool { return !kids[0](v) }
	case opExists:
		r := find(p.path)
		return func(v *view) bool { return v.get(r).kind != absent }
	case opNe:
		eq := p.compare(find(p.path), opEq)
		return func(v *view) bool { return !eq(v) }
	default:
		return p.compare(find(p.path), p.op)
	}
}

func (p *predicate) compare(r ref, op predOp) func(*view) bool {
	switch op {
	case opEq, opIn:
		lits := p.lits
		lower := p.lower
		return func(v *view) bool {
			val := v.get(r)
			if val.kind == absent {
				return false
			}
			for i := range lits {
				if v.equal(val, &lits[i], lower) {
					return true
				}
			}
			return false
		}
	case opStarts, opEnds, opContains:
		test := map[predOp]func(b, lit []byte) bool{opStarts: bytes.HasPrefix, opEnds: bytes.HasSuffix, opContains: bytes.Contains}[op]
		lit, lower := p.lits[0].text, p.lower
		return func(v *view) bool {
			val := v.get(r)
			return val.kind != absent && test(v.textOf(val, lower), lit)
		}
	default:
		lit := p.lits[0].num
		return func(v *view) bool {
			d, ok := val2num(v.get(r))
			if !ok {
				return false
			}
			c := d.cmp(&lit)
			return op == opLt && c < 0 || op == opLe && c <= 0 || op == opGt && c > 0 || op == opGe && c >= 0
		}
	}
}

// equal compares numbers by value with a number, all else by its text.
func (v *view) equal(val value, lit *literal, lower bool) bool {
	if lit.number {
		d, ok := val2num(val)
		return ok && d.cmp(&lit.num) == 0
	}
	return bytes.Equal(v.textOf(val, lower), lit.text)
}

func suggest(word string, known []string) string {
	if best := nearestWord(word, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

func isName(s string) bool {
	if s == "" || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
