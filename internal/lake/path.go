package lake

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Paths makes the keys of the lake under its prefix, which has no slash at
// either end.
type Paths struct{ Prefix string }

// Data returns the key of a data file: <prefix>/<schema>/<table>/dt=…/hh=…/<topic>-<partition>-<first>-<next>-<schema8>.parquet.
// hour is the received_at (events) or ts_ms (changes) of its rows.
func (p Paths) Data(schema, table string, hour time.Time, topic string, partition int32, first, next int64, schema8 string) string {
	hour = hour.UTC()
	return fmt.Sprintf("%s/%s/%s/dt=%s/hh=%s/%s-%d-%d-%d-%s.parquet", p.Prefix, schema, table,
		hour.Format("2006-01-02"), hour.Format("15"), topic, partition, first, next, schema8)
}

// Rescue returns the key to use when the one of Data is taken by another
// object: no key is ever overwritten.
func (p Paths) Rescue(dataKey, attempt string) string {
	return strings.TrimSuffix(dataKey, ".parquet") + "-r" + attempt[:min(8, len(attempt))] + ".parquet"
}

// Commits is the folder of all chains.
func (p Paths) Commits() string { return p.Prefix + "/_commits/" }

// Chain is the folder of a chain's commits.
func (p Paths) Chain(topic string, partition int32) string {
	return fmt.Sprintf("%s%s/%d/", p.Commits(), topic, partition)
}

// Commit returns the key of the commit that begins at first.
func (p Paths) Commit(topic string, partition int32, first int64) string {
	return fmt.Sprintf("%s%020d.json", p.Chain(topic, partition), first)
}

// CommitFirst returns the offset in a commit's key.
func CommitFirst(key string) (int64, error) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	digits, ok := strings.CutSuffix(name, ".json")
	first, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || len(digits) != 20 {
		return 0, &FormatError{fmt.Errorf("commit key %s: want 20 digits and .json", key)}
	}
	return first, nil
}

// Tables is the folder of the schemas of all tables of a schema.
func (p Paths) Tables(schema string) string { return fmt.Sprintf("%s/_schemas/%s/", p.Prefix, schema) }

// Schemas is the folder of a table's schema versions.
func (p Paths) Schemas(schema, table string) string { return p.Tables(schema) + table + "/" }

// Schema returns the key of a version of a table's schema.
func (p Paths) Schema(schema, table string, version int) string {
	return fmt.Sprintf("%s%08d.json", p.Schemas(schema, table), version)
}

// Compacted returns the key of a file that a compaction writes, the n-th of its
// generation: <prefix>/<schema>/<table>/dt=…/hh=…/compact-<generation>-<n>-<attempt8>-<schema8>.parquet.
// attempt8 tells apart what rivals write.
func (p Paths) Compacted(h Hour, generation, n int, attempt8, schema8 string) string {
	return fmt.Sprintf("%s%s%d-%d-%s-%s.parquet", p.Hour(h), compactedPrefix, generation, n, attempt8, schema8)
}

// Hour is the folder of a table's data files of one hour.
func (p Paths) Hour(h Hour) string { return p.Prefix + "/" + h.folder() }

// Compactions is the folder of the compactions of a table.
func (p Paths) Compactions(schema, table string) string {
	return fmt.Sprintf("%s/_compact/%s/%s/", p.Prefix, schema, table)
}

// Compaction returns the key of a compaction; the folder of an hour's is that
// of generation 0 without its name.
func (p Paths) Compaction(h Hour, generation int) string {
	return fmt.Sprintf("%s%08d.json", p.compactionsOf(h), generation)
}

func (p Paths) compactionsOf(h Hour) string { return p.Prefix + "/_compact/" + h.folder() }

// Loads is the folder of the loader's manifests, which it removes, and of what
// it tells.
func (p Paths) Loads() string { return p.Prefix + "/_loads/" }

// Manifest returns the key of a load's manifest; target is schema.table.
func (p Paths) Manifest(target, load, schema8 string) string {
	return fmt.Sprintf("%s%s/%s-%s.manifest", p.Loads(), target, load, schema8)
}

// Uploads is the folder of what uploads have put; they remove it.
func (p Paths) Uploads() string { return p.Prefix + "/_uploads/" }

// Upload returns the key of the n-th file of an upload; target is schema.table.
func (p Paths) Upload(target, id string, n int) string {
	return fmt.Sprintf("%s%s/%s-%d.parquet", p.Uploads(), target, id, n)
}

// UploadManifest returns the key of an upload's manifest.
func (p Paths) UploadManifest(target, id string) string {
	return fmt.Sprintf("%s%s/%s.manifest", p.Uploads(), target, id)
}

// Positions returns the key of the object in which the loader tells how far it is.
func (p Paths) Positions() string { return p.Loads() + "_positions.json" }
