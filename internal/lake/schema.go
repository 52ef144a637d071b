package lake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/wire"
)

// SchemaKind says how a table's columns come about.
type SchemaKind string

// The kinds of tables.
const (
	SchemaEvents SchemaKind = "events" // columns are discovered and only ever appended
	SchemaMirror SchemaKind = "mirror" // columns are an origin's, announced by cdc
	// SchemaMetrics is of the one table of metrics that rollup exports.
	SchemaMetrics SchemaKind = "metrics"
)

// Schema is a version of a table's columns as the lake keeps it. Members are
// written in this order.
type Schema struct {
	V           int        `json:"v"`
	Table       string     `json:"table"` // schema.table
	Version     int        `json:"version"`
	Kind        SchemaKind `json:"kind"`
	Fingerprint string     `json:"fingerprint"`      // of Columns, as wire.Columns.Fingerprint
	Origin      string     `json:"origin,omitempty"` // of a mirror: the fingerprint that cdc gave it
	Key         []string   `json:"key"`              // of a mirror: the key's columns in order
	Cursor      string     `json:"cursor,omitempty"` // of a mirror: the column that incremental polls follow
	// Renamed are the columns of a mirror that the version before had by other
	// names, new names by old ones.
	Renamed   map[string]string `json:"renamed,omitempty"`
	Columns   []SchemaColumn    `json:"columns"`
	CreatedAt Time              `json:"created_at"`
}

// SchemaColumn is a column of a Schema.
type SchemaColumn struct {
	Name  string        `json:"name"`
	Type  wire.LakeType `json:"type"`
	Path  string        `json:"path,omitempty"` // where its values stood when it was registered; dots inside names are \.
	Since int           `json:"since"`          // the version that brought it
	// Of a mirror, as cdc announced them:
	From      string     `json:"from,omitempty"` // the origin's own name of the column
	Origin    string     `json:"origin,omitempty"`
	Form      event.Form `json:"form,omitempty"`
	Warehouse string     `json:"warehouse,omitempty"`
	NotNull   bool       `json:"not_null,omitempty"`
}

// FileColumns are the columns of the files that have this schema.
func (s Schema) FileColumns() wire.Columns {
	out := make(wire.Columns, len(s.Columns))
	for i, c := range s.Columns {
		out[i] = wire.Column{Name: c.Name, Type: c.Type}
	}
	return out
}

// Encode returns the schema's bytes, without white space, after setting the
// version of the format and the fingerprint.
func (s Schema) Encode() ([]byte, error) {
	s.V, s.Fingerprint = 1, s.FileColumns().Fingerprint()
	if s.Key == nil {
		s.Key = []string{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("encode schema %s: %w", s.Table, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// DecodeSchema reads a schema and checks its fingerprint. Members that it does
// not know are ignored; a version of the format above 1 is an error.
func DecodeSchema(b []byte) (Schema, error) {
	var s Schema
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("decode schema: %w", err)
	}
	if s.V != 1 {
		return s, fmt.Errorf("decode schema: unknown version %d of the format", s.V)
	}
	for _, c := range s.Columns {
		if _, err := wire.ParseLakeType(string(c.Type)); err != nil {
			return s, fmt.Errorf("schema %s, column %s: %w", s.Table, c.Name, err)
		}
	}
	if got := s.FileColumns().Fingerprint(); got != s.Fingerprint {
		return s, fmt.Errorf("schema %s, version %d: fingerprint %s is not that of its columns", s.Table, s.Version, s.Fingerprint)
	}
	return s, nil
}

// SplitTable splits schema.table.
func SplitTable(name string) (schema, table string, err error) {
	schema, table, ok := strings.Cut(name, ".")
	if !ok || schema == "" || table == "" {
		return "", "", fmt.Errorf("table %q: want schema.table", name)
	}
	return schema, table, nil
}

// LatestSchema returns the newest version of a table's schema, or
// objstore.ErrNotFound.
func (l *Lake) LatestSchema(ctx context.Context, name string) (Schema, error) {
	versions, err := l.schemaKeys(ctx, name)
	if err != nil {
		return Schema{}, err
	}
	if len(versions) == 0 {
		return Schema{}, fmt.Errorf("schema of %s: %w", name, objstore.ErrNotFound)
	}
	return l.readSchema(ctx, versions[len(versions)-1].Key)
}

// Schemas returns all versions of a table's schema, the newest first.
func (l *Lake) Schemas(ctx context.Context, name string) ([]Schema, error) {
	keys, err := l.schemaKeys(ctx, name)
	if err != nil {
		return nil, err
	}
	out := make([]Schema, 0, len(keys))
	for _, k := range slices.Backward(keys) {
		s, err := l.readSchema(ctx, k.Key)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Schema returns one version of a table's schema, or objstore.ErrNotFound.
func (l *Lake) Schema(ctx context.Context, name string, version int) (Schema, error) {
	schema, table, err := SplitTable(name)
	if err != nil {
		return Schema{}, err
	}
	return l.readSchema(ctx, l.Paths.Schema(schema, table, version))
}

// CreateSchema puts a version. It returns objstore.ErrExists when the version
// is taken, perhaps by an earlier attempt of our own.
func (l *Lake) CreateSchema(ctx context.Context, s Schema) error {
	schema, table, err := SplitTable(s.Table)
	if err != nil {
		return err
	}
	b, err := s.Encode()
	if err != nil {
		return err
	}
	return l.Store.Create(ctx, l.Paths.Schema(schema, table, s.Version), b)
}

// TablesOf returns the tables of a schema that have columns in the lake.
func (l *Lake) TablesOf(ctx context.Context, schema string) ([]string, error) {
	return l.Store.Folders(ctx, l.Paths.Tables(schema))
}

func (l *Lake) schemaKeys(ctx context.Context, name string) ([]objstore.Info, error) {
	schema, table, err := SplitTable(name)
	if err != nil {
		return nil, err
	}
	return l.Store.List(ctx, l.Paths.Schemas(schema, table), "", 0)
}

func (l *Lake) readSchema(ctx context.Context, key string) (Schema, error) {
	b, err := l.Store.Get(ctx, key)
	if err != nil {
		return Schema{}, err
	}
	s, err := DecodeSchema(b)
	if err != nil {
		return s, &FormatError{fmt.Errorf("%s: %w", key, err)}
	}
	return s, nil
}
