package loader

import (
	"context"
	"errors"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// readInfo reads the schema object of a commit's schema. A table of events that
// has none is loaded by what its commits say; a mirror without its key cannot
// be. An object that does not decode is the target's fault, all else the
// store's.
func (s *session) readInfo(ctx context.Context, w *work, cs lake.CommitSchema) (tableInfo, error) {
	info := tableInfo{kind: kindOf(w.base(), cs.Columns), types: map[string]string{}, since: map[string]int{}}
	if info.kind == kindMetrics {
		info.types = warehouse.CellTypes()
	}
	body, err := s.l.lake.Store.Get(ctx, s.l.lake.Paths.Schema(w.base().Schema, w.base().Table, cs.Version))
	if errors.Is(err, objstore.ErrNotFound) {
		return info, nil
	}
	if err != nil {
		return info, &storeError{err}
	}
	o, err := lake.DecodeSchema(body)
	if err != nil {
		return info, &targetError{work: w, reason: reasonColumns, err: err}
	}
	info.kind = kindFor(w.base(), o.Kind, info.kind)
	info.key, info.cursor = o.Key, o.Cursor
	for _, c := range o.Columns {
		info.since[c.Name] = c.Since
		if c.Warehouse != "" {
			info.types[c.Name] = c.Warehouse
		}
	}
	return info, nil
}

// kindFor is the loader's kind for the lake's.
func kindFor(name warehouse.Name, k lake.SchemaKind, otherwise kind) kind {
	switch k {
	case lake.SchemaMirror:
		return kindMirror
	case lake.SchemaMetrics:
		return kindMetrics
	case lake.SchemaEvents:
		if name.Schema != warehouse.Schema {
			return kindAppend
		}
	}
	return otherwise
}
