package lake

import (
	"context"
	"fmt"
	"slices"
)

// CompactionReport is what Verifier.Compactions found of one table.
type CompactionReport struct {
	Table       string
	Compactions int
	Replaced    int // files
	Files       int // that replace them
	Rows        int64
	Problems    []string // each a sentence; none if the compactions are balanced
}

// CompactedTables lists the tables that have compactions.
func (l *Lake) CompactedTables(ctx context.Context) ([][2]string, error) {
	return l.pairs(ctx, l.Paths.Prefix+"/_compact/")
}

// Compactions checks a table's compactions: each generation continues the one
// before, replaces files that exist for readers at that point and holds as many
// rows as they, and its files are there with their sizes and schemas. With Deep
// lineages are computed anew, of what has been replaced as long as it is there.
func (v *Verifier) Compactions(ctx context.Context, schema, table string) (CompactionReport, error) {
	r := CompactionReport{Table: schema + "." + table}
	all, faults, err := v.Lake.compactions(ctx, v.Lake.Paths.Compactions(schema, table))
	if err != nil {
		return r, err
	}
	for _, f := range faults {
		r.Problems = append(r.Problems, f.Error())
	}
	byHour := map[Hour][]Compaction{}
	var hours []Hour
	for _, c := range all {
		if h := c.Hour(); byHour[h] == nil {
			hours = append(hours, h)
		}
		byHour[c.Hour()] = append(byHour[c.Hour()], c)
		r.Compactions++
		r.Replaced += len(c.Replaces)
		r.Files += len(c.Files)
		r.Rows += c.Rows
	}
	for _, h := range hours {
		if err := v.hour(ctx, byHour[h], &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// hour checks the generations of one hour.
func (v *Verifier) hour(ctx context.Context, generations []Compaction, r *CompactionReport) error {
	readers, err := v.Lake.named(ctx, generations)
	if err != nil {
		return err
	}
	replaced := map[string]bool{}
	for _, c := range generations {
		for _, key := range c.Replaces {
			replaced[key] = true
		}
	}
	for i, c := range generations {
		say := func(format string, args ...any) {
			r.Problems = append(r.Problems, fmt.Sprintf("compaction of %s, generation %d: ", c.Hour(), c.Generation)+fmt.Sprintf(format, args...))
		}
		if c.Generation != i+1 {
			say("follows generation %d", i)
		}
		var rows int64
		for _, key := range c.Replaces {
			f, ok := readers[key]
			if !ok {
				say("replaces %s, which no commit and no earlier generation names, or which was replaced before", key)
			}
			rows += f.Rows
			delete(readers, key)
		}
		if rows != c.Rows {
			say("has %d rows, what it replaces has %d", c.Rows, rows)
		}
		for _, f := range c.Files {
			readers[f.Key] = f
		}
		problems, err := v.compacted(ctx, c, replaced)
		if err != nil {
			return err
		}
		for _, p := range problems {
			say("%s", p)
		}
	}
	return nil
}

// named returns the committed files that generations replace, by key.
func (l *Lake) named(ctx context.Context, generations []Compaction) (map[string]File, error) {
	var keys []DataKey
	for _, c := range generations {
		for _, key := range c.Replaces {
			if k, ok := l.Paths.ParseData(key); ok {
				keys = append(keys, k)
			}
		}
	}
	return l.Committed(ctx, keys)
}

// compacted checks the files of a compaction.
func (v *Verifier) compacted(ctx context.Context, c Compaction, replaced map[string]bool) ([]string, error) {
	problems := make([][]string, len(c.Files)+1)
	err := each(ctx, len(c.Files), func(ctx context.Context, i int) (err error) {
		f := c.Files[i]
		k, ok := v.Lake.Paths.ParseData(f.Key)
		if !ok || k.Hour != c.Hour() || k.Generation != c.Generation || k.Schema8 != f.Schema {
			problems[i] = append(problems[i], fmt.Sprintf("file %s is not what its key says", f.Key))
		}
		s, known, err := v.schema(ctx, f.Table, f.Schema)
		if err != nil {
			return err
		}
		if !known {
			problems[i] = append(problems[i], fmt.Sprintf("file %s has the schema %s, which is no version of %s", f.Key, f.Schema, f.Table))
		}
		found, err := v.file(ctx, f, s.FileColumns(), replaced[f.Key])
		problems[i] = append(problems[i], found...)
		return err
	})
	if err != nil || v.Lineage == nil {
		return slices.Concat(problems...), err
	}
	for _, keys := range [][]string{fileKeys(c.Files), c.Replaces} {
		got, complete, err := v.Lineage(ctx, keys)
		if err != nil {
			return nil, err
		}
		if complete && got != c.Lineage {
			problems[len(c.Files)] = append(problems[len(c.Files)], fmt.Sprintf("has the lineage %s, and the rows of %d files have %s", c.Lineage, len(keys), got))
		}
	}
	return slices.Concat(problems...), nil
}

func fileKeys(files []File) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = f.Key
	}
	return out
}
