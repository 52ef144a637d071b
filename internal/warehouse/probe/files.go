package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// file is a Parquet file that a probe reads.
type file struct {
	columns     wire.Columns
	compression parquetout.Compression
	rows        [][]any                // nil: NULL
	raw         func() ([]byte, error) // writes what parquetout does not, instead of all that
}

// manifest is how the manifest of a probe's files differs from the loader's.
type manifest int

const (
	sound manifest = iota
	wrongLength
	noMeta
	twice
	missingOptional
	missingMandatory
	unknownMembers
	thousands // 5,000 entries
)

// put writes files and manifest and returns the COPY of it, without its table.
func (r *run) put(ctx context.Context, n int, p *Probe) (string, error) {
	var entries []map[string]any
	entry := func(key string, size int64) map[string]any {
		return map[string]any{"url": "s3://" + r.Store.Bucket() + "/" + key, "mandatory": true, "meta": map[string]any{"content_length": size}}
	}
	for i, f := range p.files {
		body, err := f.encode()
		if err != nil {
			return "", err
		}
		copies := 1
		if p.manifest == thousands {
			copies = 5000
		}
		for c := range copies {
			key := fmt.Sprintf("%s%d/%d-%d.parquet", r.folder, n, i, c)
			if err := r.Store.Put(ctx, key, body); err != nil {
				return "", err
			}
			entries = append(entries, entry(key, int64(len(body))))
		}
	}
	gone := entry(fmt.Sprintf("%s%d/gone.parquet", r.folder, n), 100)
	switch p.manifest {
	case sound, thousands:
	case wrongLength:
		entries[0]["meta"] = map[string]any{"content_length": 1_000_000}
	case noMeta:
		delete(entries[0], "meta")
	case twice:
		entries = append(entries, entries[0])
	case missingOptional:
		gone["mandatory"] = false
		entries = append(entries, gone)
	case missingMandatory:
		entries = append(entries, gone)
	case unknownMembers:
		entries[0]["rows"] = 2
	}
	body, err := json.Marshal(map[string]any{"entries": entries})
	if err != nil {
		return "", fmt.Errorf("encode the manifest: %w", err)
	}
	key := fmt.Sprintf("%s%d.manifest", r.folder, n)
	if err := r.Store.Put(ctx, key, body); err != nil {
		return "", err
	}
	const name = "t"
	statement, err := r.Warehouse.Config().Copy(name, r.Store.Bucket(), key)
	return statement[len("COPY \"t\""):], err
}

func (f file) encode() ([]byte, error) {
	if f.raw != nil {
		return f.raw()
	}
	cols := make([]*parquetout.Column, len(f.columns))
	for i, c := range f.columns {
		cols[i] = parquetout.NewColumn(c.Type)
		for _, row := range f.rows {
			add(cols[i], row[i])
		}
	}
	dir, err := os.MkdirTemp("", "millstream-probe-")
	if err != nil {
		return nil, fmt.Errorf("folder for probe files: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the system's own folder for what is temporary
	o := parquetout.DefaultOptions()
	if f.compression != "" {
		o.Compression = f.compression
	}
	path := filepath.Join(dir, "f.parquet")
	w, err := parquetout.Create(path, f.columns, o)
	if err != nil {
		return nil, err
	}
	if len(f.rows) > 0 {
		if err := w.Append(parquetout.NewRecord(cols)); err != nil {
			return nil, err
		}
	}
	if _, err := w.Finish(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func add(c *parquetout.Column, v any) {
	switch v := v.(type) {
	case nil:
		c.AppendNulls(1)
	case string:
		if _, _, decimal := c.Type().Decimal(); decimal {
			c.AppendDecimal(v)
			return
		}
		c.AppendString(v)
	case int:
		c.AppendInt(int64(v))
	case float64:
		c.AppendFloat(v)
	case bool:
		c.AppendBool(v)
	case time.Time:
		c.AppendTime(v)
	case []byte:
		c.AppendBytes(v)
	default:
		panic(fmt.Sprintf("BUG: no way to write a %T", v))
	}
}
