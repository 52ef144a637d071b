package batcher

import (
	"bytes"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// shape says what the table of a type of event looks like: the fixed columns,
// which come first in every version of its schema, and the members whose own
// members become columns.
type shape struct {
	fixed wire.Columns
	// fixedPaths has the path of each fixed column's value, or "" where the
	// value does not come from the event's JSON.
	fixedPaths []string
	fixedTops  []int  // by topOf; 0 for ""
	root       string // properties or traits; "" for tracks and aliases
	context    bool   // its members become columns, too
	// omits are the members of an event that are in another table of it, and so
	// neither in columns nor in _unmapped.
	omits []string
}

// discovers says whether members below a root become columns.
func (s *shape) discovers(r root) bool {
	switch r {
	case rootContext:
		return s.context
	case rootProperties:
		return s.root == memberProperties
	case rootTraits:
		return s.root == memberTraits
	case rootTop:
	}
	return false
}

// The members of an event whose members are flattened.
const (
	memberContext    = "context"
	memberProperties = "properties"
	memberTraits     = "traits"
)

// shapes holds the shape of each kind of table of events.
type shapes struct {
	tracks, event, other, identify, page, screen, group, alias shape
}

func newShapes() shapes {
	col := func(name string) wire.Column { return wire.Column{Name: name, Type: wire.String} }
	build := func(root string, extra []wire.Column, paths []string) shape {
		s := shape{root: root, context: true}
		add := func(c wire.Column, path string) {
			s.fixed = append(s.fixed, c)
			s.fixedPaths = append(s.fixedPaths, path)
			s.fixedTops = append(s.fixedTops, topOf(path))
		}
		add(col("id"), "")
		add(wire.Column{Name: "received_at", Type: wire.Timestamp}, "")
		add(wire.Column{Name: "timestamp", Type: wire.Timestamp}, "timestamp")
		add(wire.Column{Name: "original_timestamp", Type: wire.Timestamp}, "originalTimestamp")
		add(wire.Column{Name: "sent_at", Type: wire.Timestamp}, "sentAt")
		add(col("anonymous_id"), "anonymousId")
		add(col("user_id"), "userId")
		for i, c := range extra {
			add(c, paths[i])
		}
		add(wire.Column{Name: "_unmapped", Type: wire.JSON}, "")
		add(wire.Column{Name: "_partition", Type: wire.Int64}, "")
		add(wire.Column{Name: "_offset", Type: wire.Int64}, "")
		return s
	}
	names := []wire.Column{col("event"), col("event_text")}
	titles := []wire.Column{col("name"), col("category")}
	out := shapes{
		tracks:   build("", names, []string{"", "event"}),
		event:    build(memberProperties, names, []string{"", "event"}),
		other:    build("", append(slices.Clone(names), wire.Column{Name: memberProperties, Type: wire.JSON}), []string{"", "event", memberProperties}),
		identify: build(memberTraits, nil, nil),
		page:     build(memberProperties, titles, []string{"name", "category"}),
		screen:   build(memberProperties, titles, []string{"name", "category"}),
		group:    build(memberTraits, []wire.Column{col("group_id")}, []string{"groupId"}),
		alias:    build("", []wire.Column{col("previous_id")}, []string{"previousId"}),
	}
	out.tracks.omits = []string{memberProperties}
	out.other.omits, out.other.context = []string{memberContext}, false // tracks has it
	return out
}

// table returns the shape of a table by its name.
func (s *shapes) table(name string) *shape {
	switch name {
	case lake.TableTracksOther:
		return &s.other
	case lake.TableTracks:
		return &s.tracks
	case lake.TableIdentifies:
		return &s.identify
	case lake.TablePages:
		return &s.page
	case lake.TableScreens:
		return &s.screen
	case lake.TableGroups:
		return &s.group
	case lake.TableAliases:
		return &s.alias
	}
	return &s.event
}

// primary returns the name of the table that has a row for every event of a type.
func primary(t event.Type) string {
	switch t {
	case event.Track:
		return lake.TableTracks
	case event.Identify:
		return lake.TableIdentifies
	case event.Page:
		return lake.TablePages
	case event.Screen:
		return lake.TableScreens
	case event.Group:
		return lake.TableGroups
	case event.Alias:
		return lake.TableAliases
	}
	panic("BUG: event type " + string(t))
}

// Paths name values of an event: members joined with ".", a dot or backslash
// inside a member as \. and \\.

func appendEscaped(path, member []byte) []byte {
	if bytes.IndexByte(member, '.') < 0 && bytes.IndexByte(member, '\\') < 0 {
		return append(path, member...)
	}
	for _, c := range member {
		if c == '.' || c == '\\' {
			path = append(path, '\\')
		}
		path = append(path, c)
	}
	return path
}

func splitPath(path string) []string {
	var (
		out []string
		b   strings.Builder
	)
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path):
			i++
			b.WriteByte(path[i])
		case path[i] == '.':
			out = append(out, b.String())
			b.Reset()
		default:
			b.WriteByte(path[i])
		}
	}
	return append(out, b.String())
}

// columnName returns the name of the column for a discovered path: context
// keeps its name in front, properties and traits only where they would meet a
// fixed column.
func columnName(n *lake.Namer, path string, fixed wire.Columns) string {
	m := splitPath(path)
	if len(m) < 2 || m[0] == memberContext {
		return n.Name(m...)
	}
	name := n.Name(m[1:]...)
	if fixed.Index(name) >= 0 {
		return n.Name(m...)
	}
	return name
}
