package compact

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// A compaction reads no more than this; the rest of an hour is for the next round.
const (
	maxInputs     = 2000
	maxInputBytes = 1 << 30
)

// worth returns the hours that are over and have more small objects than
// MinFiles, whether commits name them or not.
func (c *Compactor) worth(objects []lake.Object, since, now time.Time) map[lake.Hour][]lake.Object {
	out := map[lake.Hour][]lake.Object{}
	small := map[lake.Hour]int{}
	for _, o := range objects {
		end := o.End()
		if end.Add(c.o.Grace).After(now) || end.Before(since) {
			continue
		}
		out[o.Hour] = append(out[o.Hour], o)
		if o.Size < c.o.Small {
			small[o.Hour]++
		}
	}
	for h := range out {
		if small[h] <= c.o.MinFiles {
			delete(out, h)
		}
	}
	return out
}

// hourState is what the lake has of an hour.
type hourState struct {
	paths       lake.Paths
	hour        lake.Hour
	compactions []lake.Compaction // by generation
	objects     []lake.Object
	named       map[string]lake.File // by commits, of this hour and others
}

// effective returns the files that readers take.
func (s hourState) effective() []lake.File {
	var committed []lake.File
	for _, o := range s.objects {
		if f, ok := s.named[o.Key]; ok {
			committed = append(committed, f)
		}
	}
	return lake.Effective(committed, s.compactions)
}

func (s hourState) small(below int64) []lake.File {
	return slices.DeleteFunc(s.effective(), func(f lake.File) bool { return f.Bytes >= below })
}

// orphans counts the objects that neither a commit nor a compaction names.
func (s hourState) orphans(now time.Time) (n int) {
	written := map[string]bool{}
	for _, c := range s.compactions {
		for _, f := range c.Files {
			written[f.Key] = true
		}
	}
	for _, o := range s.objects {
		if _, ok := s.named[o.Key]; !ok && !written[o.Key] && now.Unix()-o.Modified > int64(orphanAge.Seconds()) {
			n++
		}
	}
	return n
}

// input is a file to be rewritten.
type input struct {
	file    lake.File
	columns wire.Columns
	first   rowKey // no row of it is before; of a compacted file that is not known
	partial bool   // the bytes were compacted before: first says nothing
}

// pick chooses the files to be rewritten together and the schema to write them
// with: of a table of events the newest one, of which all others are a prefix;
// of a mirrored table the one that they share. Topics are not mixed: offsets of
// two say nothing of each other. None if that is not worth it.
func (s hourState) pick(o Options, versions []lake.Schema) ([]input, lake.Schema, error) {
	known := map[string]lake.Schema{}
	for _, v := range versions {
		known[wire.Schema8(v.Fingerprint)] = v
	}
	groups := map[string][]input{} // by topic, and of a mirrored table by schema8
	newest := map[string]lake.Schema{}
	for _, f := range s.small(o.Small) {
		v, ok := known[f.Schema]
		if !ok {
			return nil, lake.Schema{}, fmt.Errorf("file %s has the schema %s, which is no version of %s", f.Key, f.Schema, s.hour.Name())
		}
		group := s.topic(f.Key)
		if v.Kind == lake.SchemaMirror {
			group += "/" + f.Schema
		}
		if v.Version > newest[group].Version {
			newest[group] = v
		}
		groups[group] = append(groups[group], s.input(f, v))
	}
	var best string
	for g, in := range groups {
		if c := cmp.Compare(len(in), len(groups[best])); c > 0 || c == 0 && g > best {
			best = g
		}
	}
	in := groups[best]
	if len(in) <= o.MinFiles {
		return nil, lake.Schema{}, nil
	}
	schema := newest[best]
	for _, i := range in {
		if !isPrefix(i.columns, schema.FileColumns()) {
			return nil, schema, fmt.Errorf("file %s: its columns are no prefix of those of version %d of %s", i.file.Key, schema.Version, s.hour.Name())
		}
	}
	return bounded(in), schema, nil
}

// topic is where a file's rows are from; a compacted file's are from where those
// of what it replaces are.
func (s hourState) topic(key string) string {
	if k, ok := s.paths.ParseData(key); ok && !k.Compacted() {
		return k.Chain.Topic
	}
	for _, c := range s.compactions {
		if slices.ContainsFunc(c.Files, func(f lake.File) bool { return f.Key == key }) {
			return s.topic(c.Replaces[0])
		}
	}
	return ""
}

func (s hourState) input(f lake.File, v lake.Schema) input {
	in := input{file: f, columns: v.FileColumns(), partial: true}
	for _, o := range s.objects {
		if o.Key == f.Key && !o.Compacted() {
			in.partial, in.first = false, rowKey{int64(o.Chain.Partition), o.First}
		}
	}
	return in
}

// bounded keeps as many inputs as one compaction may read, in the order of their
// rows, so that those left out do not lie between them.
func bounded(in []input) []input {
	slices.SortFunc(in, func(a, b input) int {
		if a.partial != b.partial {
			return map[bool]int{true: -1, false: 1}[a.partial]
		}
		return cmp.Or(compareKeys(a.first, b.first), cmp.Compare(a.file.Key, b.file.Key))
	})
	var bytes int64
	for i, x := range in {
		if bytes += x.file.Bytes; i == maxInputs || i > 0 && bytes > maxInputBytes {
			return in[:i]
		}
	}
	return in
}

func isPrefix(some, all wire.Columns) bool {
	return len(some) <= len(all) && slices.Equal(some, all[:len(some)])
}
