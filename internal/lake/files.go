package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

// each calls do for 0 to n-1, some at a time, and returns the first error,
// after which no further call begins.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	const atOnce = 16 // the client bounds what really runs
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := do(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Tables lists the tables that have data, as schema and table.
func (l *Lake) Tables(ctx context.Context) ([][2]string, error) {
	return l.pairs(ctx, l.Paths.Prefix+"/")
}

// pairs lists the folders two levels below folder.
func (l *Lake) pairs(ctx context.Context, folder string) ([][2]string, error) {
	schemas, err := l.Store.Folders(ctx, folder)
	if err != nil {
		return nil, err
	}
	var out [][2]string
	for _, schema := range schemas {
		if bookkeeping[schema] {
			continue
		}
		tables, err := l.Store.Folders(ctx, folder+schema+"/")
		if err != nil {
			return nil, err
		}
		for _, table := range tables {
			out = append(out, [2]string{schema, table})
		}
	}
	return out, nil
}

// bookkeeping are the folders under the prefix that hold no data.
var bookkeeping = map[string]bool{"_commits": true, "_schemas": true, "_compact": true, "_loads": true, "_uploads": true, "_check": true}

// Days lists the days for which a table has data, in order.
func (l *Lake) Days(ctx context.Context, schema, table string) ([]string, error) {
	folders, err := l.Store.Folders(ctx, l.Paths.Prefix+"/"+schema+"/"+table+"/")
	var out []string
	for _, f := range folders {
		if dt, ok := strings.CutPrefix(f, "dt="); ok {
			out = append(out, dt)
		}
	}
	return out, err
}

// Object is a data object as a list shows it.
type Object struct {
	DataKey
	Size     int64
	Modified int64 // unix seconds, by the store's clock
}

// Objects lists the data objects of a table and day, whether they exist for
// readers or not. Keys that are none of a data object are counted.
func (l *Lake) Objects(ctx context.Context, schema, table, dt string) (out []Object, unknown int, err error) {
	list, err := l.Store.List(ctx, fmt.Sprintf("%s/%s/%s/dt=%s/", l.Paths.Prefix, schema, table, dt), "", 0)
	for _, o := range list {
		k, ok := l.Paths.ParseData(o.Key)
		if !ok {
			unknown++
			continue
		}
		out = append(out, Object{k, o.Size, o.Modified.Unix()})
	}
	return out, unknown, err
}

// Committed returns the files that commits name among keys, by key. It reads
// the commits that can name them and no others.
func (l *Lake) Committed(ctx context.Context, keys []DataKey) (map[string]File, error) {
	chains := map[ChainID][]DataKey{}
	for _, k := range keys {
		if !k.Compacted() {
			chains[k.Chain] = append(chains[k.Chain], k)
		}
	}
	var mu sync.Mutex
	out := map[string]File{}
	for id, keys := range chains {
		firsts, err := l.firsts(ctx, id)
		if err != nil {
			return nil, err
		}
		wanted := map[string]bool{}
		var commits []int64
		for _, k := range keys {
			wanted[k.Key] = true
			if i := sort.Search(len(firsts), func(i int) bool { return firsts[i] > k.First }); i > 0 {
				commits = append(commits, firsts[i-1])
			}
		}
		slices.Sort(commits)
		commits = slices.Compact(commits)
		err = each(ctx, len(commits), func(ctx context.Context, i int) error {
			c, err := l.Commit(ctx, id, commits[i])
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, f := range c.Files {
				if wanted[f.Key] {
					out[f.Key] = f
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// firsts lists where the commits of a chain begin.
func (l *Lake) firsts(ctx context.Context, id ChainID) ([]int64, error) {
	keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), "", 0)
	if err != nil {
		return nil, err
	}
	out := make([]int64, 0, len(keys))
	for _, k := range keys {
		first, err := CommitFirst(k.Key)
		if err != nil {
			return nil, err
		}
		out = append(out, first)
	}
	return out, nil
}

// Files returns the files that make up a table, of one day or, if dt is empty,
// of all: what commits name, without what compactions replace, with what they
// have written. A file of a compaction that is not there is an error; one that a
// commit names is Verifier's to miss.
func (l *Lake) Files(ctx context.Context, table, dt string) ([]File, error) {
	schema, name, err := SplitTable(table)
	if err != nil {
		return nil, err
	}
	days := []string{dt}
	if dt == "" {
		if days, err = l.Days(ctx, schema, name); err != nil {
			return nil, err
		}
	}
	var (
		out     []File
		missing []error
	)
	for _, day := range days {
		// Compactions come before the list: what they have written was there by then.
		compactions, err := l.CompactionsOf(ctx, schema, name, day)
		if err != nil {
			return nil, err
		}
		objects, _, err := l.Objects(ctx, schema, name, day)
		if err != nil {
			return nil, err
		}
		keys := make([]DataKey, len(objects))
		present := map[string]bool{}
		for i, o := range objects {
			keys[i], present[o.Key] = o.DataKey, true
		}
		named, err := l.Committed(ctx, keys)
		if err != nil {
			return nil, err
		}
		committed := make([]File, 0, len(named))
		for _, f := range named {
			committed = append(committed, f)
		}
		for _, f := range Effective(committed, compactions) {
			if !present[f.Key] {
				missing = append(missing, fmt.Errorf("file %s is missing", f.Key))
			}
			out = append(out, f)
		}
	}
	return out, errors.Join(missing...)
}
