package batcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/wire"
)

// registry knows the schemas of tables as the lake has them. Batchers agree by
// conditional puts: whoever puts a version first has registered its columns,
// the others build on it. It is safe for concurrent use; one table's calls wait
// for each other.
type registry struct {
	lake    *lake.Lake
	metrics *metrics
	limits  LimitsConfig
	mu      sync.Mutex // guards tables and sources
	tables  map[string]*tableSchemas
	sources map[string]*sourceTables
}

type tableSchemas struct {
	mu      sync.Mutex // guards what follows; held during calls to the store
	loaded  bool
	current lake.Schema            // events; version 0 if there is none
	mirrors map[string]lake.Schema // by wire.Schema16 of the origin's fingerprint
	unknown map[string]time.Time   // when the lake did not have a fingerprint
	latest  int                    // of mirrors
	other   time.Time              // when the lake said that the table is of the other kind
}

// errOtherKind says that a table of events and a mirrored one have one name.
var errOtherKind = errors.New("an event source and a mirrored schema have one name; give one of them another")

// askAgain is how long an answer of the lake holds that a table is of the other
// kind, or that it has not a schema: each costs requests, and there may be many
// records that ask.
const askAgain = 10 * time.Second

func newRegistry(l *lake.Lake, m *metrics, limits LimitsConfig) *registry {
	return &registry{lake: l, metrics: m, limits: limits, tables: map[string]*tableSchemas{}, sources: map[string]*sourceTables{}}
}

func (r *registry) table(name string) *tableSchemas {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tables[name]
	if t == nil {
		t = &tableSchemas{mirrors: map[string]lake.Schema{}, unknown: map[string]time.Time{}}
		r.tables[name] = t
	}
	return t
}

// events returns the cached schema of a table of events, version 0 and no
// columns if the lake has none, or errOtherKind.
func (r *registry) events(ctx context.Context, name string) (lake.Schema, error) {
	t := r.table(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	switch {
	case t.loaded:
	case time.Since(t.other) < askAgain:
		err = fmt.Errorf("table %s: %w", name, errOtherKind)
	default:
		err = r.reload(ctx, name, t)
	}
	return t.current, err
}

func (r *registry) reload(ctx context.Context, name string, t *tableSchemas) error {
	s, err := r.lake.LatestSchema(ctx, name)
	switch {
	case err == nil && s.Kind != lake.SchemaEvents:
		t.other, t.loaded, t.current = time.Now(), false, lake.Schema{}
		return fmt.Errorf("table %s: %w", name, errOtherKind)
	case err == nil:
		t.current, t.loaded = s, true
	case errors.Is(err, objstore.ErrNotFound):
		t.loaded = true
	default:
		return err
	}
	return nil
}

// extend returns a schema that has all of wants, which are sorted by name, as
// far as the limit of columns goes. A name that another batcher has registered
// with another type keeps that type.
func (r *registry) extend(ctx context.Context, name string, fixed wire.Columns, fixedPaths []string, wants []lake.SchemaColumn) (lake.Schema, error) {
	t := r.table(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		next := t.current
		next.V, next.Table, next.Kind, next.Version = 1, name, lake.SchemaEvents, t.current.Version+1
		next.Columns = append([]lake.SchemaColumn(nil), t.current.Columns...)
		if t.current.Version == 0 {
			for i, c := range fixed {
				next.Columns = append(next.Columns, lake.SchemaColumn{Name: c.Name, Type: c.Type, Path: fixedPaths[i], Since: 1})
			}
		}
		have := next.FileColumns()
		for _, c := range wants {
			if have.Index(c.Name) < 0 && len(next.Columns) < r.limits.Columns {
				c.Since = next.Version
				next.Columns = append(next.Columns, c)
			}
		}
		if len(next.Columns) == len(t.current.Columns) {
			return t.current, nil
		}
		next.Fingerprint = next.FileColumns().Fingerprint()
		next.CreatedAt = lake.Time{Time: time.Now()}
		err := r.lake.CreateSchema(ctx, next)
		switch {
		case err == nil:
			t.current, t.loaded = next, true
			r.metrics.schemaVersions.WithLabelValues("new").Inc()
		case errors.Is(err, objstore.ErrExists): // a twin's, or ours after a lost answer
			r.metrics.schemaVersions.WithLabelValues("adopted").Inc()
			if err := r.reload(ctx, name, t); err != nil {
				return lake.Schema{}, err
			}
		default:
			return lake.Schema{}, err
		}
	}
}

// mirror returns the schema of a mirrored table that cdc knows by schema16; ok
// is false if the lake does not have it.
func (r *registry) mirror(ctx context.Context, name, schema16 string) (s lake.Schema, ok bool, err error) {
	t := r.table(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok = t.mirrors[schema16]; ok {
		return s, true, nil
	}
	if time.Since(t.unknown[schema16]) < askAgain {
		return s, false, nil
	}
	if err := r.reloadMirrors(ctx, name, t); err != nil {
		return s, false, err
	}
	if s, ok = t.mirrors[schema16]; !ok && len(t.unknown) < 1000 {
		t.unknown[schema16] = time.Now()
	}
	return s, ok, nil
}

func (r *registry) reloadMirrors(ctx context.Context, name string, t *tableSchemas) error {
	if time.Since(t.other) < askAgain {
		return fmt.Errorf("table %s: %w", name, errOtherKind)
	}
	all, err := r.lake.Schemas(ctx, name)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Kind != lake.SchemaMirror {
			t.other = time.Now()
			return fmt.Errorf("table %s: %w", name, errOtherKind)
		}
		t.mirrors[wire.Schema16(s.Origin)] = s
		t.latest = max(t.latest, s.Version)
	}
	return nil
}

// announce registers what a schema mark says. A version that any batcher has
// registered before is taken as it is. It returns errBadMark or errOtherKind if
// the lake can have no such table.
func (r *registry) announce(ctx context.Context, name string, names *lake.Namer, mark event.TableSchema) error {
	next, err := mirrorSchema(name, names, mark)
	if err != nil {
		return err
	}
	t := r.table(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	key := wire.Schema16(mark.Fingerprint)
	for {
		if _, ok := t.mirrors[key]; ok {
			return nil
		}
		if err := r.reloadMirrors(ctx, name, t); err != nil {
			return err
		}
		if _, ok := t.mirrors[key]; ok {
			return nil
		}
		next.Version, next.CreatedAt = t.latest+1, lake.Time{Time: time.Now()}
		for i := range next.Columns {
			next.Columns[i].Since = next.Version
		}
		err := r.lake.CreateSchema(ctx, next)
		switch {
		case err == nil:
			t.mirrors[key], t.latest = next, next.Version
			delete(t.unknown, key)
			r.metrics.schemaVersions.WithLabelValues("new").Inc()
			return nil
		case errors.Is(err, objstore.ErrExists):
			r.metrics.schemaVersions.WithLabelValues("adopted").Inc()
		default:
			return err
		}
	}
}

// errBadMark says that a schema mark describes no table that the lake can have.
var errBadMark = errors.New("bad schema mark")

// mirrorFixed are the columns that follow an origin's.
func mirrorFixed() wire.Columns {
	return wire.Columns{
		{Name: "_op", Type: wire.String},
		{Name: "_pass", Type: wire.Int64},
		{Name: "_page", Type: wire.Int64},
		{Name: "_strategy", Type: wire.String},
		{Name: "_poll", Type: wire.String},
		{Name: "_read_at", Type: wire.Timestamp},
		{Name: "_partition", Type: wire.Int64},
		{Name: "_offset", Type: wire.Int64},
	}
}

func mirrorSchema(name string, names *lake.Namer, mark event.TableSchema) (lake.Schema, error) {
	s := lake.Schema{
		V: 1, Table: name, Kind: lake.SchemaMirror, Origin: mark.Fingerprint, Cursor: mark.Cursor,
	}
	seen := map[string]bool{}
	for _, c := range mark.Columns {
		t, err := wire.ParseLakeType(c.Lake)
		if err != nil {
			return s, fmt.Errorf("%w: column %s: %w", errBadMark, c.Name, err)
		}
		col := lake.SchemaColumn{
			Name: names.Origin(c.Name), Type: t, From: c.Name, Origin: c.Origin, Form: c.Form, Warehouse: c.Warehouse, NotNull: !c.Nullable,
		}
		if seen[col.Name] {
			return s, fmt.Errorf("%w: two columns are called %s", errBadMark, col.Name)
		}
		seen[col.Name] = true
		s.Columns = append(s.Columns, col)
	}
	for _, c := range mirrorFixed() {
		if seen[c.Name] {
			return s, fmt.Errorf("%w: the column %s is Millstream's own", errBadMark, c.Name)
		}
		s.Columns = append(s.Columns, lake.SchemaColumn{Name: c.Name, Type: c.Type})
	}
	for _, k := range mark.Key {
		s.Key = append(s.Key, names.Origin(k))
	}
	if len(mark.Columns) == 0 {
		return s, fmt.Errorf("%w: no columns", errBadMark)
	}
	for from, to := range mark.Renamed {
		if s.Renamed == nil {
			s.Renamed = map[string]string{}
		}
		s.Renamed[names.Origin(from)] = names.Origin(to)
	}
	s.Fingerprint = s.FileColumns().Fingerprint()
	return s, nil
}
