package batcher

import (
	"bytes"
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
	root       string // properties or traits; "" for tracks and aliases
}

// shapes holds the shape of each kind of table of events.
type shapes struct {
	tracks, event, identify, page, screen, group, alias shape
}

func newShapes() shapes {
	col := func(name string) wire.Column { return wire.Column{Name: name, Type: wire.String} }
	build := func(root string, extra []wire.Column, paths []string) shape {
		s := shape{root: root}
		add := func(c wire.Column, path string) {
			s.fixed = append(s.fixed, c)
			s.fixedPaths = append(s.fixedPaths, path)
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
	return shapes{
		tracks:   build("", names, []string{"", "event"}),
		event:    build("properties", names, []string{"", "event"}),
		identify: build("traits", nil, nil),
		page:     build("properties", []wire.Column{col("name"), col("category")}, []string{"name", "category"}),
		screen:   build("properties", []wire.Column{col("name"), col("category")}, []string{"name", "category"}),
		group:    build("traits", []wire.Column{col("group_id")}, []string{"groupId"}),
		alias:    build("", []wire.Column{col("previous_id")}, []string{"previousId"}),
	}
}

// of returns the primary table of a type of event and its shape.
func (s *shapes) of(t event.Type) (table string, sh *shape) {
	switch t {
	case event.Track:
		return lake.TableTracks, &s.tracks
	case event.Identify:
		return lake.TableIdentifies, &s.identify
	case event.Page:
		return lake.TablePages, &s.page
	case event.Screen:
		return lake.TableScreens, &s.screen
	case event.Group:
		return lake.TableGroups, &s.group
	case event.Alias:
		return lake.TableAliases, &s.alias
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
	if len(m) < 2 || m[0] == "context" {
		return n.Name(m...)
	}
	name := n.Name(m[1:]...)
	if fixed.Index(name) >= 0 {
		return n.Name(m...)
	}
	return name
}
