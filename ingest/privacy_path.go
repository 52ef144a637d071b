package ingest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// pathStep is one level of a rule's path.
type pathStep struct {
	name string
	kind stepKind
}

type stepKind uint8

const (
	stepName  stepKind = iota
	stepAny            // *: any member of an object
	stepEvery          // []: every element of an array
)

// parsePath reads properties.*.iban and properties.items[].note. The error completes "must …".
func parsePath(path string) ([]pathStep, error) {
	var out []pathStep
	for part := range strings.SplitSeq(path, ".") {
		name := strings.TrimRight(part, "[]")
		arrays := len(part) - len(name)
		switch {
		case name == "":
			return nil, fmt.Errorf("be names with dots between them, such as properties.email (got %q)", path)
		case part != name+strings.Repeat("[]", arrays/2) || strings.ContainsAny(name, "[]"):
			return nil, fmt.Errorf("have [] only behind a name, such as properties.items[].note (got %q)", path)
		case name != "*" && strings.Contains(name, "*"):
			return nil, fmt.Errorf("have * only in place of a whole name, such as properties.*.iban (got %q)", path)
		case name == "*":
			out = append(out, pathStep{kind: stepAny})
		default:
			out = append(out, pathStep{name: name})
		}
		for range arrays / 2 {
			out = append(out, pathStep{kind: stepEvery})
		}
	}
	return out, reserved(path, out)
}

// reserved refuses the paths of what the server itself needs: an event without them is not the same event any more.
func reserved(path string, steps []pathStep) error {
	switch first := steps[0]; {
	case first.kind == stepAny && len(steps) == 1:
		return fmt.Errorf("not be * alone, which is type and messageId, too: name the members")
	case slices.Contains([]string{"messageId", "type"}, first.name):
		return fmt.Errorf("not be %s, by which events are told apart: it stays as it is (got %q)", first.name, path)
	case slices.Contains([]string{"timestamp", "originalTimestamp", "sentAt", "receivedAt"}, first.name):
		return fmt.Errorf("not be a time, for timestamps are made of %s (got %q)", first.name, path)
	case first.name == "writeKey":
		return fmt.Errorf("not be writeKey, which is removed in any case (got %q)", path)
	case first.name == "context" && len(steps) > 1 && steps[1].name == "millstream":
		return fmt.Errorf("not be context.millstream, which is the server's own; a client's is removed in any case (got %q)", path)
	}
	return nil
}

// isIdentity says whether a path is that of an id: what is no text and no number is none, and must not become one.
func isIdentity(steps []pathStep) bool {
	return len(steps) == 1 && slices.Contains([]string{"userId", "anonymousId", "groupId", "previousId"}, steps[0].name)
}

// action is what happens to a value.
type action uint8

const (
	actNone action = iota
	actDrop
	actMask
	actHash
	actTruncate // an address, to its network
	actHashAddr // an address; texts that are none are hashed as they are
)

// pathNode is a place to which the paths of rules lead. The nodes of several rules are one where their paths are.
type pathNode struct {
	names    []namedNode
	any      *pathNode // of an object's members
	every    *pathNode // of an array's elements
	action   action
	order    int  // of the rule in its file: the first one that fits a member acts
	identity bool // it is an id of the event
}

type namedNode struct {
	name string
	node *pathNode
}

// at returns the node to which steps lead, and makes it.
func (n *pathNode) at(steps []pathStep) *pathNode {
	if len(steps) == 0 {
		return n
	}
	next := &n.every
	switch step := steps[0]; step.kind {
	case stepName:
		i := slices.IndexFunc(n.names, func(c namedNode) bool { return c.name == step.name })
		if i < 0 {
			i = len(n.names)
			n.names = append(n.names, namedNode{step.name, &pathNode{}})
		}
		next = &n.names[i].node
	case stepAny:
		next = &n.any
	case stepEvery:
	}
	if *next == nil {
		*next = &pathNode{}
	}
	return (*next).at(steps[1:])
}

// match appends to dst the nodes to which a member's name leads from n. A name that has dots itself, such as the
// "user.email" that flat forms send, is led on part by part, too: to people it is the same path.
func (n *pathNode) match(dst []*pathNode, name []byte) []*pathNode {
	if n.any != nil {
		dst = append(dst, n.any)
	}
	dot := bytes.IndexByte(name, '.')
	for i := range n.names {
		c := &n.names[i]
		if string(name) == c.name {
			dst = append(dst, c.node)
		} else if dot >= 0 && string(name[:dot]) == c.name {
			dst = c.node.match(dst, name[dot+1:])
		}
	}
	if dot >= 0 && n.any != nil {
		dst = n.any.match(dst, name[dot+1:])
	}
	return dst
}

// deeper says whether anything lies below the nodes in an object or in an array.
func deeper(nodes []*pathNode, object bool) bool {
	for _, n := range nodes {
		if object && (n.any != nil || len(n.names) > 0) || !object && n.every != nil {
			return true
		}
	}
	return false
}

// acting returns the node whose rule acts, or nil.
func acting(nodes []*pathNode) *pathNode {
	var out *pathNode
	for _, n := range nodes {
		if n.action != actNone && (out == nil || n.order < out.order) {
			out = n
		}
	}
	return out
}
