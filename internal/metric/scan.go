package metric

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/millstream-data/millstream/internal/event"
)

// value is what a path leads to. Arrays, objects, null and "" are absent.
type value struct {
	kind valueKind
	raw  []byte // a string without quotes and escapes; a number's or bool's literal
}

type valueKind byte

const (
	absent valueKind = iota
	isString
	isNumber
	isBool
)

// trie holds the paths that a plan needs. Slots are numbered depth first, so
// that the paths below a member are one range.
type trie struct {
	root  *trieNode
	slots int
}

type trieNode struct {
	name   string
	kids   []*trieNode
	slot   int // -1: no path ends here
	lo, hi int // slots of this member and of those below
}

func newTrie(paths [][]string) *trie {
	t := &trie{root: &trieNode{slot: -1}}
	wanted := map[*trieNode]bool{}
	for _, p := range paths {
		n := t.root
		for _, m := range p {
			n = n.child(m)
		}
		wanted[n] = true
	}
	t.number(t.root, wanted)
	return t
}

func (n *trieNode) child(name string) *trieNode {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	k := &trieNode{name: name, slot: -1}
	n.kids = append(n.kids, k)
	return k
}

func (t *trie) number(n *trieNode, wanted map[*trieNode]bool) {
	n.lo = t.slots
	if wanted[n] {
		n.slot = t.slots
		t.slots++
	}
	for _, k := range n.kids {
		t.number(k, wanted)
	}
	n.hi = t.slots
}

func (t *trie) slot(p []string) int {
	n := t.root
	for _, m := range p {
		n = n.child(m)
	}
	return n.slot
}

var errJSON = errors.New("bad JSON") // one value: a scan allocates nothing

// scanner reads one JSON object strictly, in one pass, and fills the values of
// the paths in a trie. Of members that come twice the last one holds.
type scanner struct {
	b     []byte
	i     int
	depth int
	vals  []value
	text  []byte // holds unescaped strings
}

// scan fills s.vals, which stay valid until the next scan or until b changes.
func (s *scanner) scan(t *trie, b []byte) error {
	s.b, s.i, s.depth, s.text = b, 0, 0, s.text[:0]
	if cap(s.vals) < t.slots {
		s.vals = make([]value, t.slots)
	}
	s.vals = s.vals[:t.slots]
	clear(s.vals)
	s.space()
	if s.peek() != '{' {
		return errJSON
	}
	if err := s.value(t.root); err != nil {
		return err
	}
	s.space()
	if s.i != len(s.b) {
		return errJSON
	}
	return nil
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\r' || s.b[s.i] == '\t') {
		s.i++
	}
}

func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// value reads any value; n is nil where no path leads.
func (s *scanner) value(n *trieNode) error {
	if n != nil {
		clear(s.vals[n.lo:n.hi])
	}
	var v value
	switch c := s.peek(); {
	case c == '{':
		return s.object(n)
	case c == '[':
		return s.array()
	case c == '"':
		raw, err := s.str(n != nil && n.slot >= 0)
		if err != nil {
			return err
		}
		if len(raw) > 0 {
			v = value{isString, raw}
		}
	case c == '-' || c >= '0' && c <= '9':
		from := s.i
		if !s.number() {
			return errJSON
		}
		v = value{isNumber, s.b[from:s.i]}
	case c == 't' && s.word("true"), c == 'f' && s.word("false"):
		v = value{isBool, s.b[s.i-4-int(boolInt(c == 'f')) : s.i]}
	case c == 'n' && s.word("null"):
	default:
		return errJSON
	}
	if n != nil && n.slot >= 0 {
		s.vals[n.slot] = v
	}
	return nil
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scanner) object(n *trieNode) error {
	if s.depth++; s.depth > event.MaxDepth {
		return errJSON
	}
	s.i++
	s.space()
	if s.peek() == '}' {
		s.i++
		s.depth--
		return nil
	}
	kids := n != nil && len(n.kids) > 0
	for {
		if s.peek() != '"' {
			return errJSON
		}
		name, err := s.str(kids)
		if err != nil {
			return err
		}
		var kid *trieNode
		if kids {
			for _, k := range n.kids {
				if k.name == string(name) {
					kid = k
					break
				}
			}
		}
		s.space()
		if s.peek() != ':' {
			return errJSON
		}
		s.i++
		s.space()
		if err := s.value(kid); err != nil {
			return err
		}
		if done, err := s.more('}'); done || err != nil {
			return err
		}
	}
}

func (s *scanner) array() error {
	if s.depth++; s.depth > event.MaxDepth {
		return errJSON
	}
	s.i++
	s.space()
	if s.peek() == ']' {
		s.i++
		s.depth--
		return nil
	}
	for {
		if err := s.value(nil); err != nil {
			return err
		}
		if done, err := s.more(']'); done || err != nil {
			return err
		}
	}
}

// more reads what follows a member or element: a comma, or end and the way out.
func (s *scanner) more(end byte) (done bool, err error) {
	s.space()
	switch s.peek() {
	case ',':
		s.i++
		s.space()
		return false, nil
	case end:
		s.i++
		s.depth--
		return true, nil
	}
	return false, errJSON
}

func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > from
}

// str reads a string. If keep is false its content is checked and not unescaped.
func (s *scanner) str(keep bool) ([]byte, error) {
	s.i++
	from := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			out := s.b[from:s.i]
			s.i++
			return out, nil
		case c == '\\':
			return s.escaped(from, keep)
		case c < 0x20:
			return nil, errJSON
		}
		s.i++
	}
	return nil, errJSON
}

func (s *scanner) escaped(from int, keep bool) ([]byte, error) {
	start := len(s.text)
	if keep {
		s.text = append(s.text, s.b[from:s.i]...)
	}
	for s.i < len(s.b) {
		c := s.b[s.i]
		switch {
		case c == '"':
			s.i++
			return s.text[start:], nil
		case c < 0x20:
			return nil, errJSON
		case c == '\\':
			r, ok := s.escape()
			if !ok {
				return nil, errJSON
			}
			if keep {
				s.text = utf8.AppendRune(s.text, r)
			}
			continue
		case keep:
			s.text = append(s.text, c)
		}
		s.i++
	}
	return nil, errJSON
}

func (s *scanner) escape() (rune, bool) {
	if s.i+1 >= len(s.b) {
		return 0, false
	}
	c := s.b[s.i+1]
	s.i += 2
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		r, ok := s.hex4()
		if !ok {
			return 0, false
		}
		if utf16.IsSurrogate(r) && s.i+1 < len(s.b) && s.b[s.i] == '\\' && s.b[s.i+1] == 'u' {
			at := s.i
			s.i += 2
			low, ok := s.hex4()
			if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
				return pair, true
			}
			s.i = at
		}
		if utf16.IsSurrogate(r) {
			return utf8.RuneError, true
		}
		return r, true
	}
	return 0, false
}

func (s *scanner) hex4() (r rune, ok bool) {
	if len(s.b)-s.i < 4 {
		return 0, false
	}
	for _, c := range s.b[s.i : s.i+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.i += 4
	return r, true
}
