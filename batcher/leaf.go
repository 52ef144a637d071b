package batcher

import (
	"errors"
	"fmt"

	"github.com/segmentio/encoding/json"
)

// leaf is a value of an event that wants a column, or has no place in one.
type leaf struct {
	from, to int // its path in parsed.paths
	raw      []byte
	root     root
}

// root is the member of an event that a leaf comes from.
type root uint8

const (
	rootTop        root = iota // top-level members
	rootContext                // flattened
	rootProperties             // flattened
	rootTraits                 // flattened
)

// parsed is an event as its leaves. Its buffers are reused.
type parsed struct {
	leaves []leaf
	paths  []byte
	key    []byte // scratch of decoded keys
	depth  int    // levels of objects that are flattened

	properties []byte // as sent, if it is an object
}

var errNoObject = errors.New("is no JSON object")

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
	return 6*len(p.paths) + 2*len(value) + 4*len(p.leaves)
}

// parse splits an event into leaves, which alias value. Nulls and empty objects
// make none; type, writeKey, integrations, messageId, receivedAt and _metadata
// are known from elsewhere or left out by rule.
func (p *parsed) parse(value []byte) error {
	p.leaves, p.paths, p.properties = p.leaves[:0], p.paths[:0], nil
	var flat [rootTraits + 1]bool // roots that came as an object; a second one of a name is a leaf
	value = trim(value)
	if len(value) == 0 || value[0] != '{' {
		return errNoObject
	}
	if !json.Valid(value) {
		return errors.New("is no valid JSON")
	}
	for m := membersOf(value); ; {
		rawKey, raw, ok := m.next()
		if !ok {
			return nil
		}
		key, _ := text(p.key, rawKey)
		switch string(key) {
		case "type", "writeKey", "integrations", "_metadata", "messageId", "receivedAt":
			continue
		}
		r := rootOf(key)
		if r == rootTop || raw[0] != '{' || flat[r] {
			p.add(nil, key, raw, rootTop)
			continue
		}
		flat[r] = true
		if r == rootProperties {
			p.properties = raw
		}
		var buf [256]byte
		p.object(appendEscaped(buf[:0], key), raw, r, p.depth)
	}
}

func rootOf(key []byte) root {
	switch string(key) {
	case memberContext:
		return rootContext
	case memberProperties:
		return rootProperties
	case memberTraits:
		return rootTraits
	}
	return rootTop
}

func (p *parsed) add(prefix, key, raw []byte, r root) {
	if raw[0] == 'n' {
		return
	}
	from := len(p.paths)
	p.paths = append(p.paths, prefix...)
	if len(prefix) > 0 {
		p.paths = append(p.paths, '.')
	}
	p.paths = appendEscaped(p.paths, key)
	p.leaves = append(p.leaves, leaf{from, len(p.paths), raw, r})
}

// object adds the leaves below an object.
func (p *parsed) object(prefix, raw []byte, r root, depth int) {
	for m := membersOf(raw); ; {
		rawKey, value, ok := m.next()
		if !ok {
			return
		}
		key, _ := text(p.key, rawKey)
		if value[0] != '{' {
			p.add(prefix, key, value, r)
			continue
		}
		if len(trim(value[1:len(value)-1])) == 0 {
			continue
		}
		if depth == 1 {
			p.add(prefix, key, value, r)
			continue
		}
		// The slots after prefix are this level's: its members are done one after the other.
		p.object(appendEscaped(append(prefix, '.'), key), value, r, depth-1)
	}
}

func (p *parsed) path(l leaf) []byte { return p.paths[l.from:l.to] }

// top returns the value of a top-level member that is not flattened, or
// properties as a whole. Of a name that came twice it is the first.
func (p *parsed) top(name string) (raw []byte, ok bool) {
	if name == memberProperties && p.properties != nil {
		return p.properties, true
	}
	for _, l := range p.leaves {
		if l.root == rootTop && string(p.path(l)) == name {
			return l.raw, true
		}
	}
	return nil, false
}

// digest stands for a value that is too large for the lake.
func digest(raw []byte) []byte {
	return fmt.Appendf(nil, `{"_bytes":%d,"_sha256":"%s"}`, len(raw), sha256Hex(raw))
}
