package batcher

// maxPaths bounds the paths that are remembered: names that never end must not
// end in memory.
const maxPaths = 8192

// node is a path that events have had, so that the next event with it needs no
// more than a comparison of its keys. A key that is written in two ways has two
// nodes with one path.
type node struct {
	path  string // see appendEscaped
	root  root
	opens root // of a top-level member: the root that it is as an object
	top   int  // see topOf; 0 below the top level
	omit  bool // is known from elsewhere or left out by rule
	id    int  // numbers the nodes that are remembered from 1 on; 0: this one is not

	key     string           // as it is written, with its quotes
	after   *node            // the member that followed it last
	first   *node            // the member that was its first last
	members map[string]*node // by key
}

// member returns the node of a member of at, by its key as it is written, after
// the member before, which is nil at an object's first.
func (p *parsed) member(at, before *node, key []byte) *node {
	guess := &at.first
	if before != nil {
		guess = &before.after
	}
	if n := *guess; n != nil && n.key == string(key) {
		return n
	}
	n := at.members[string(key)]
	if n == nil {
		n = at.newMember(key)
		if p.known >= maxPaths || at.id == 0 && at != &p.paths {
			return n
		}
		p.known++
		n.id = p.known
		if at.members == nil {
			at.members = map[string]*node{}
		}
		at.members[n.key] = n
	}
	*guess = n
	return n
}

func (at *node) newMember(key []byte) *node {
	decoded, _ := text(nil, key)
	n := &node{key: string(key)}
	if at.key != "" {
		n.path, n.root = string(appendEscaped([]byte(at.path+"."), decoded)), at.root
		if at.root == rootTop {
			n.root = at.opens
		}
		return n
	}
	n.path, n.opens, n.top = string(appendEscaped(nil, decoded)), rootOf(decoded), topOf(string(decoded))
	switch string(decoded) {
	case "type", "writeKey", "integrations", "_metadata", "messageId", "receivedAt":
		n.omit = true
	}
	return n
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

// topProperties and topCount are the number of properties and the least above all.
const (
	topProperties = 1
	topCount      = 12
)

// topOf numbers the members of an event that fixed columns take; 0 is none.
func topOf(member string) int {
	switch member {
	case memberProperties:
		return topProperties
	case "timestamp":
		return 2
	case "originalTimestamp":
		return 3
	case "sentAt":
		return 4
	case "anonymousId":
		return 5
	case "userId":
		return 6
	case "event":
		return 7
	case "name":
		return 8
	case "category":
		return 9
	case "groupId":
		return 10
	case "previousId":
		return 11
	}
	return 0
}

// spot is what a chunk does with the values of a path.
type spot struct {
	id     int // of the node; 0: this slot is free
	column *column
	// leftOut is set where the path has no column: its values are in another
	// table, or, if first is set, the first of them is in a fixed column.
	leftOut, first bool
}

// spots finds a chunk's spots by their nodes.
type spots struct {
	slots []spot
	used  int
}

// of returns the slot of a node; its id is 0 if it is to be filled.
func (p *spots) of(n *node) *spot {
	if 2*p.used >= len(p.slots) {
		p.grow()
	}
	mask := len(p.slots) - 1
	for i := n.id & mask; ; i = (i + 1) & mask {
		if s := &p.slots[i]; s.id == n.id || s.id == 0 {
			return s
		}
	}
}

func (p *spots) grow() {
	old := p.slots
	p.slots = make([]spot, max(32, 2*len(old)))
	for _, s := range old {
		if s.id == 0 {
			continue
		}
		mask := len(p.slots) - 1
		i := s.id & mask
		for p.slots[i].id != 0 {
			i = (i + 1) & mask
		}
		p.slots[i] = s
	}
}

// firstOf says whether a leaf is the first of its event with its name.
func (p *parsed) firstOf(l leaf) bool {
	raw := p.tops[l.top]
	return l.top != 0 && len(raw) > 0 && &raw[0] == &l.raw[0]
}
