package millstream

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxEvent = 256 << 10 // bytes of an event; ingest's hard limit
	maxDepth = 200       // of objects and lists, the event being the first; ingest's limit
	idLead   = `{"messageId":"`
)

// encoder builds one event. It works outside every lock: it may run a caller's MarshalJSON, which may call us.
type encoder struct {
	buf     []byte
	pairs   []pair
	coerced int // NaN and infinities that became null
}

var encoders = sync.Pool{New: func() any { return &encoder{buf: make([]byte, 0, 1<<10)} }}

func newEncoder() *encoder { return encoders.Get().(*encoder) }

// free gives the encoder back, unless one large event made it large.
func (n *encoder) free() {
	if cap(n.buf) <= 64<<10 && cap(n.pairs) <= 1024 {
		n.buf, n.coerced = n.buf[:0], 0
		encoders.Put(n)
	}
}

// platform is the part of context that does not come from the call: the client's, the library's, the consent.
type platform struct {
	pairs []pair // sorted by key, values already encoded
	whole []byte // the object of pairs alone, which most events have
	plain Map    // for middleware, which gets copies
}

// newPlatform encodes m, which is its own from then on.
func newPlatform(m Map) (*platform, error) {
	p := &platform{plain: m}
	for k, v := range m {
		n := new(encoder)
		if err := n.value(v, 3); err != nil {
			return nil, under(err, k)
		}
		p.pairs = append(p.pairs, pair{k, encoded(n.buf)})
	}
	sortPairs(p.pairs)
	n := new(encoder)
	if err := n.members(p.pairs, 2); err != nil {
		return nil, err
	}
	p.whole = n.buf
	return p, nil
}

// event encodes e. Its message id comes first, so that it is found without parsing.
func (n *encoder) event(e *Event, now time.Time, ids *idClock, base *platform) error {
	n.buf = append(n.buf[:0], idLead...)
	if e.MessageID != "" {
		n.buf = appendString(n.buf[:len(idLead)-1], e.MessageID)
	} else {
		n.buf = append(ids.append(n.buf, now.UnixMilli()), '"')
	}
	n.buf = append(n.buf, `,"type":"`...)
	n.buf = append(n.buf, e.Type...)
	n.buf = append(n.buf, `","timestamp":"`...)
	at := e.Timestamp
	if at.IsZero() {
		at = now
	}
	if !writable(at) {
		return &InvalidError{Field: "timestamp", Reason: "is outside the years 0 to 9999: set it to a time within"}
	}
	n.buf = append(appendTime(n.buf, at, false), '"')
	n.text(`,"userId":`, e.UserID)
	n.text(`,"anonymousId":`, e.AnonymousID)
	n.text(`,"previousId":`, e.PreviousID)
	n.text(`,"groupId":`, e.GroupID)
	n.text(`,"event":`, e.Event)
	n.text(`,"name":`, e.Name)
	n.text(`,"category":`, e.Category)
	if err := n.maps(e, base); err != nil {
		return err
	}
	n.buf = append(n.buf, '}')
	if len(n.buf) > maxEvent {
		return ErrTooLarge
	}
	return nil
}

func (n *encoder) maps(e *Event, base *platform) error {
	if err := n.member("properties", e.Properties); err != nil {
		return err
	}
	if err := n.member("traits", e.Traits); err != nil {
		return err
	}
	if err := n.context(e.Context, base); err != nil {
		return err
	}
	return n.member("integrations", e.Integrations)
}

func (n *encoder) text(lead, s string) {
	if s != "" {
		n.buf = appendString(append(n.buf, lead...), s)
	}
}

func (n *encoder) member(name string, m Map) error {
	if m == nil {
		return nil
	}
	n.buf = append(n.buf, ',', '"')
	n.buf = append(n.buf, name...)
	n.buf = append(n.buf, '"', ':')
	return under(n.object(m, 2), name)
}

// context lays the call's members over those of base, one level deep.
func (n *encoder) context(m Map, base *platform) error {
	n.buf = append(n.buf, `,"context":`...)
	if len(m) == 0 && base != nil {
		n.buf = append(n.buf, base.whole...)
		return nil
	}
	if base == nil { // middleware has seen the whole
		return under(n.object(m, 2), "context")
	}
	pairs := make([]pair, 0, len(m)+len(base.pairs))
	for k, v := range m {
		pairs = append(pairs, pair{k, v})
	}
	for _, p := range base.pairs {
		if _, over := m[p.key]; !over {
			pairs = append(pairs, p)
		}
	}
	sortPairs(pairs)
	return under(n.members(pairs, 2), "context")
}

type pair struct {
	key   string
	value any
}

// sortPairs makes an event's bytes a function of its content: requests can be compared, and they compress better.
func sortPairs(p []pair) {
	if len(p) > 32 {
		slices.SortFunc(p, func(a, b pair) int { return strings.Compare(a.key, b.key) })
		return
	}
	for i := 1; i < len(p); i++ {
		for j := i; j > 0 && p[j].key < p[j-1].key; j-- {
			p[j], p[j-1] = p[j-1], p[j]
		}
	}
}

// object encodes m, which lies at depth.
func (n *encoder) object(m map[string]any, depth int) error {
	from := len(n.pairs) // objects within objects lie behind
	for k, v := range m {
		n.pairs = append(n.pairs, pair{k, v})
	}
	pairs := n.pairs[from:]
	sortPairs(pairs)
	err := n.members(pairs, depth)
	clear(n.pairs[from:]) // keep nothing of the caller's
	n.pairs = n.pairs[:from]
	return err
}

func (n *encoder) members(pairs []pair, depth int) error {
	if err := n.room(depth); err != nil {
		return err
	}
	n.buf = append(n.buf, '{')
	for i := range pairs {
		if i > 0 {
			n.buf = append(n.buf, ',')
		}
		n.buf = append(appendString(n.buf, pairs[i].key), ':')
		if err := n.value(pairs[i].value, depth+1); err != nil {
			return under(err, pairs[i].key)
		}
	}
	n.buf = append(n.buf, '}')
	return nil
}

// room refuses early what can only become too deep or too large, a cycle for one.
func (n *encoder) room(depth int) error {
	if depth > maxDepth {
		return &InvalidError{Reason: "is nested deeper than 200, or contains itself: flatten it"}
	}
	if len(n.buf) > maxEvent {
		return ErrTooLarge
	}
	return nil
}

// under says where in the event an error lies, from the inside out.
func under(err error, name string) error {
	if err == nil {
		return nil
	}
	return prefix(err, name)
}

func prefix(err error, name string) error {
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	switch {
	case invalid.Field == "":
		invalid.Field = name
	case len(invalid.Field) > 200:
	case invalid.Field[0] == '[':
		invalid.Field = name + invalid.Field
	default:
		invalid.Field = name + "." + invalid.Field
	}
	return err
}
