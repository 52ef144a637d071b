package batcher

import (
	"errors"
	"fmt"
)

// leaf is a value of an event that wants a column, or has no place in one.
type leaf struct {
	*node
	raw   []byte
	plain bool // a string whose text is what stands between its quotes
}

// root is the member of an event that a leaf comes from.
type root uint8

const (
	rootTop        root = iota // top-level members
	rootContext                // flattened
	rootProperties             // flattened
	rootTraits                 // flattened
)

// parsed is an event as its leaves. Its buffers are reused, and it remembers the
// paths that events have had.
type parsed struct {
	leaves []leaf
	depth  int                  // levels of objects that are flattened
	tops   [topCount][]byte     // by topOf: values that fixed columns take, the first of each name; of properties the object
	flat   [rootTraits + 1]bool // roots that came as an object; a second one of a name is a leaf
	length int                  // of the leaves' paths together

	paths node // the root of all paths
	known int  // nodes below it
}

var (
	errNoObject = errors.New("is no JSON object")
	errNoJSON   = errors.New("is no valid JSON")
)

// size bounds what the event takes in a row.
func (p *parsed) size() (n int) {
	for _, l := range p.leaves {
		n += min(len(l.raw), maxText)
	}
	return n
}

// unmappedBound bounds the size of a row's _unmapped and of each of its values,
// whatever has a column: escapes and replaced characters make them longer.
func (p *parsed) unmappedBound(value []byte) int {
	return 6*p.length + 2*len(value) + 4*len(p.leaves)
}

// parse splits an event into leaves, which alias value. Nulls and empty objects
// make none; type, writeKey, integrations, messageId, receivedAt and _metadata
// are known from elsewhere or left out by rule.
func (p *parsed) parse(value []byte) error {
	p.leaves, p.length = p.leaves[:0], 0
	p.tops, p.flat = [topCount][]byte{}, [rootTraits + 1]bool{}
	i := scanBlank(value, 0)
	if i == len(value) || value[i] != '{' {
		return errNoObject
	}
	if i = p.object(value, i, &p.paths, p.depth+1, 1); i < 0 || scanBlank(value, i) != len(value) {
		return errNoJSON
	}
	return nil
}

// object adds the leaves of the object at i and returns the index after it, or
// -1 if it is not valid. Objects are flattened to depth further levels.
func (p *parsed) object(b []byte, i int, at *node, depth, nesting int) int {
	if i = scanBlank(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	var before *node
	for {
		key, value := scanKey(b, i)
		if value < 0 {
			return -1
		}
		n := p.member(at, before, key)
		if i = p.value(b, value, n, depth-1, nesting); i < 0 {
			return -1
		}
		before = n
		var more bool
		if i, more = scanNext(b, i, '}'); !more {
			return i
		}
	}
}

// value adds what the value at i makes and returns the index after it, or -1.
func (p *parsed) value(b []byte, i int, n *node, depth, nesting int) int {
	if i < len(b) && b[i] == '{' && depth > 0 && p.flattens(n) {
		end := p.object(b, i, n, depth, nesting+1)
		if n.top == topProperties && end > 0 {
			p.tops[topProperties] = b[i:end]
		}
		return end
	}
	end, plain := scanValue(b, i, nesting)
	if end < 0 || n.omit || b[i] == 'n' {
		return end
	}
	raw := b[i:end]
	if raw[0] == '{' && n.root != rootTop && scanBlank(raw, 1) == len(raw)-1 {
		return end
	}
	if n.top != 0 && p.tops[n.top] == nil {
		p.tops[n.top] = raw
	}
	p.leaves = append(p.leaves, leaf{n, raw, plain})
	p.length += len(n.path)
	return end
}

// flattens says whether an object at n is flattened: below a root every one is.
func (p *parsed) flattens(n *node) bool {
	if n.root != rootTop {
		return true
	}
	if n.opens == rootTop || p.flat[n.opens] {
		return false
	}
	p.flat[n.opens] = true
	return true
}

// digest stands for a value that is too large for the lake.
func digest(raw []byte) []byte {
	return fmt.Appendf(nil, `{"_bytes":%d,"_sha256":"%s"}`, len(raw), sha256Hex(raw))
}
