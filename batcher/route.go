package batcher

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// oddHeader says what is wrong with headers whose values go into columns as
// they are, or name a folder.
func oddHeader(h wire.EventHeader) string {
	switch y := h.ReceivedAt.Year(); {
	case !utf8.ValidString(h.MessageID) || strings.Contains(h.MessageID, "\x00") || len(h.MessageID) > maxText:
		return "header message_id: is no text of a column"
	case y < 1 || y > 9999:
		return "header received_at: is not within the years 1 to 9999"
	}
	return ""
}

// dayOf is the day of an account. Times that Kafka keeps for a record may be
// anything; those that no date tells count for the first day.
func dayOf(t time.Time) string {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format(time.DateOnly)
}

// routeKey is what decides where an event goes.
type routeKey struct {
	source, event string
	typ           event.Type
	hour          int64
}

// route is where an event goes.
type route struct {
	key   routeKey
	table string  // that a track event's name makes
	parts []*part // which get a row of it
}

// maxRoutes bounds what is remembered of events' names.
const maxRoutes = 4096

// folder returns the folder of a source.
func (s *span) folder(source string) string {
	if source != s.lastSource {
		s.lastSource, s.lastFolder = source, s.env.names.Origin(source)
	}
	return s.lastFolder
}

// route returns where an event goes. problem says why the lake can have no such
// tables.
func (s *span) route(ctx context.Context, folder string, h wire.EventHeader) (r *route, problem, err error) {
	key := routeKey{h.Source, h.Event, h.Type, floorDiv(h.ReceivedAt.Unix(), 3600)}
	if s.lastRoute != nil && s.lastRoute.key == key {
		return s.lastRoute, nil, nil
	}
	r = s.routes[key]
	if r == nil {
		r = &route{key: key}
		if problem, err = s.newRoute(ctx, folder, h, r); problem != nil || err != nil {
			return nil, problem, err
		}
		if len(s.routes) >= maxRoutes {
			clear(s.routes)
		}
		s.routes[key] = r
	}
	s.lastRoute = r
	return r, nil, nil
}

func (s *span) newRoute(ctx context.Context, folder string, h wire.EventHeader, r *route) (problem, err error) {
	tables := []string{primary(h.Type)}
	if h.Type == event.Track {
		r.table = s.env.names.EventTable(h.Event)
		name, err := s.eventTable(ctx, folder, r.table, h.ReceivedAt)
		if err != nil {
			return nil, err
		}
		tables = append(tables, name)
	}
	for _, table := range tables {
		key := partKey{schema: folder, table: table, hour: r.key.hour}
		p := s.parts[key]
		if p == nil {
			p, problem, err = s.newPart(ctx, key)
			if problem != nil || err != nil {
				return problem, err
			}
		}
		r.parts = append(r.parts, p)
	}
	return nil, nil
}

// eventTable returns the table of a track event: the one called name, or the one
// of all events beyond the source's limit of tables.
func (s *span) eventTable(ctx context.Context, folder, name string, at time.Time) (string, error) {
	if s.parts[partKey{schema: folder, table: name, hour: floorDiv(at.Unix(), 3600)}] != nil {
		return name, nil
	}
	err := s.env.retry(ctx, "tables of "+folder, func(ctx context.Context) error {
		ok, err := s.env.registry.admit(ctx, folder, name)
		if err == nil && !ok {
			name = lake.TableTracksOther
		}
		return err
	})
	return name, err
}

func (s *span) newPart(ctx context.Context, key partKey) (p *part, problem, err error) {
	p = &part{key: key}
	var schema lake.Schema
	err = s.env.retry(ctx, "schema of "+p.name(), func(ctx context.Context) (err error) {
		schema, err = s.env.registry.events(ctx, p.name())
		if errors.Is(err, errOtherKind) {
			problem, err = err, nil
		}
		return err
	})
	if problem != nil || err != nil {
		return nil, problem, err
	}
	rules := s.env.rules.of(key.schema, key.table)
	rules.compare(schema.Columns)
	p.chunk = newChunk(s.env.shapes.table(key.table), rules, schema.Columns, s.countsOf(p.name()))
	s.parts[key] = p
	return p, nil, nil
}

func (s *span) countsOf(table string) *valueCounts {
	c := s.counts[table]
	if c == nil {
		c = newValueCounts()
		s.counts[table] = c
	}
	return c
}
