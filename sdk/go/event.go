package millstream

import (
	"encoding/json"
	"time"
)

// Map holds properties, traits, context or integrations. It is read within the call and never kept; nobody may write to it
// meanwhile. Values are what JSON has, at any depth: nil, text, booleans, numbers ([json.Number] for decimals, [*big.Int]
// for integers of any size), [time.Time], slices and maps, and types with a JSON or text form of their own. NaN and
// infinities become null and count as Stats.Coerced. Structs have the members that
// encoding/json gives them.
type Map map[string]any

// Event is what every call makes. Middleware sees and changes it; everybody else uses [Track], [Identify], [Page],
// [Screen], [Group] and [Alias].
type Event struct {
	Type         string // track, identify, page, screen, group or alias; middleware that changes it makes the event invalid
	MessageID    string
	UserID       string
	AnonymousID  string
	PreviousID   string // alias
	GroupID      string // group
	Event        string // track
	Name         string // page, screen
	Category     string // page, screen
	Timestamp    time.Time
	Properties   Map // track, page, screen
	Traits       Map // identify, group
	Context      Map
	Integrations Map
}

// Message is one of [Track], [Identify], [Page], [Screen], [Group] and [Alias], for [Client.Enqueue] and [Client.Send].
type Message interface{ event() Event }

// Track says what somebody did. Event is required, and one of UserID and AnonymousID; MessageID is a UUIDv7 and
// Timestamp the time of the call where they are left out. The same holds for the other messages.
type Track struct {
	MessageID, UserID, AnonymousID string
	Event                          string
	Timestamp                      time.Time
	Properties                     Map
	Context                        Map
	Integrations                   Map
}

// Identify says who somebody is.
type Identify struct {
	MessageID, UserID, AnonymousID string
	Timestamp                      time.Time
	Traits                         Map
	Context                        Map
	Integrations                   Map
}

// Page says which page of a site somebody saw.
type Page struct {
	MessageID, UserID, AnonymousID string
	Name, Category                 string
	Timestamp                      time.Time
	Properties                     Map
	Context                        Map
	Integrations                   Map
}

// Screen says which screen of an application somebody saw.
type Screen struct {
	MessageID, UserID, AnonymousID string
	Name, Category                 string
	Timestamp                      time.Time
	Properties                     Map
	Context                        Map
	Integrations                   Map
}

// Group says what company or team somebody belongs to. GroupID is required.
type Group struct {
	MessageID, UserID, AnonymousID string
	GroupID                        string
	Timestamp                      time.Time
	Traits                         Map
	Context                        Map
	Integrations                   Map
}

// Alias says that PreviousID and UserID are one person. Both are required.
type Alias struct {
	MessageID, UserID, AnonymousID string
	PreviousID                     string
	Timestamp                      time.Time
	Context                        Map
	Integrations                   Map
}

func (m Track) event() Event {
	return Event{
		Type: "track", MessageID: m.MessageID, UserID: m.UserID, AnonymousID: m.AnonymousID, Event: m.Event,
		Timestamp: m.Timestamp, Properties: m.Properties, Context: m.Context, Integrations: m.Integrations,
	}
}

func (m Identify) event() Event {
	return Event{
		Type: "identify", MessageID: m.MessageID, UserID: m.UserID, AnonymousID: m.AnonymousID,
		Timestamp: m.Timestamp, Traits: m.Traits, Context: m.Context, Integrations: m.Integrations,
	}
}

func (m Page) event() Event {
	return Event{
		Type: "page", MessageID: m.MessageID, UserID: m.UserID, AnonymousID: m.AnonymousID, Name: m.Name, Category: m.Category,
		Timestamp: m.Timestamp, Properties: m.Properties, Context: m.Context, Integrations: m.Integrations,
	}
}

func (m Screen) event() Event {
	e := Page(m).event()
	e.Type = "screen"
	return e
}

func (m Group) event() Event {
	return Event{
		Type: "group", MessageID: m.MessageID, UserID: m.UserID, AnonymousID: m.AnonymousID, GroupID: m.GroupID,
		Timestamp: m.Timestamp, Traits: m.Traits, Context: m.Context, Integrations: m.Integrations,
	}
}

func (m Alias) event() Event {
	return Event{
		Type: "alias", MessageID: m.MessageID, UserID: m.UserID, AnonymousID: m.AnonymousID, PreviousID: m.PreviousID,
		Timestamp: m.Timestamp, Context: m.Context, Integrations: m.Integrations,
	}
}

// eventOf is m's event, or an invalid one if m is nil.
func eventOf(m Message) (e Event) {
	defer func() {
		if recover() != nil {
			e = Event{}
		}
	}()
	return m.event()
}

// check returns what the event lacks.
func (e *Event) check() *InvalidError {
	const mend = "is empty: set it"
	switch e.Type {
	case "track":
		if e.Event == "" {
			return &InvalidError{Field: "event", Reason: mend}
		}
	case "group":
		if e.GroupID == "" {
			return &InvalidError{Field: "groupId", Reason: mend}
		}
	case "alias":
		if e.PreviousID == "" {
			return &InvalidError{Field: "previousId", Reason: mend}
		}
		if e.UserID == "" {
			return &InvalidError{Field: "userId", Reason: mend}
		}
	case "identify", "page", "screen":
	default:
		return &InvalidError{Field: "type", Reason: "of the message is none of track, identify, page, screen, group, alias"}
	}
	if e.UserID == "" && e.AnonymousID == "" {
		return &InvalidError{Field: "userId", Reason: "and anonymousId are empty: set one of them"}
	}
	return nil
}

// cloneMap copies m so deeply that middleware, which may change what it is given, never writes into the caller's maps.
func cloneMap(m Map) Map {
	if m == nil {
		return nil
	}
	out := make(Map, len(m))
	for k, v := range m {
		out[k] = cloneValue(v, 1)
	}
	return out
}

func cloneValue(v any, depth int) any {
	if depth > maxDepth {
		return v // the encoder refuses it
	}
	switch v := v.(type) {
	case Map:
		out := make(Map, len(v))
		for k, e := range v {
			out[k] = cloneValue(e, depth+1)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = cloneValue(e, depth+1)
		}
		return out
	case map[string]string:
		out := make(map[string]string, len(v))
		for k, e := range v {
			out[k] = e
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = cloneValue(e, depth+1)
		}
		return out
	case []Map:
		out := make([]Map, len(v))
		for i, e := range v {
			out[i], _ = cloneValue(e, depth+1).(Map)
		}
		return out
	case []map[string]any:
		out := make([]map[string]any, len(v))
		for i, e := range v {
			out[i], _ = cloneValue(e, depth+1).(map[string]any)
		}
		return out
	case []string:
		return append([]string(nil), v...)
	case json.RawMessage:
		return append(json.RawMessage(nil), v...)
	}
	return v
}
