package loader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// schemaObject is what the loader reads of a table's schema in the lake.
type schemaObject struct {
	V       int      `json:"v"`
	Kind    string   `json:"kind"`
	Key     []string `json:"key"`
	Cursor  string   `json:"cursor"`
	Columns []struct {
		Name      string `json:"name"`
		Warehouse string `json:"warehouse"`
	} `json:"columns"`
}

// readInfo reads the schema object of a commit's schema. A table of events that
// has none is loaded by what its commits say; a mirror without its key cannot be.
func readInfo(ctx context.Context, l *lake.Lake, name warehouse.Name, s lake.CommitSchema) (tableInfo, error) {
	info := tableInfo{kind: kindOf(name, s.Columns), types: map[string]string{}}
	key := l.Paths.Schema(name.Schema, name.Table, s.Version)
	b, err := l.Store.Get(ctx, key)
	if errors.Is(err, objstore.ErrNotFound) {
		return info, nil
	}
	if err != nil {
		return info, err
	}
	var o schemaObject
	if err := json.Unmarshal(b, &o); err != nil {
		return info, fmt.Errorf("decode %s: %w", key, err)
	}
	switch o.Kind {
	case "mirror":
		info.kind = kindMirror
	case "metrics":
		info.kind = kindMetrics
	case "events":
		info.kind = kindAppend
	}
	info.key, info.cursor = o.Key, o.Cursor
	for _, c := range o.Columns {
		if c.Warehouse != "" {
			info.types[c.Name] = c.Warehouse
		}
	}
	return info, nil
}
