package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/wire"
)

// ChainReport is what Verifier.Chain found.
type ChainReport struct {
	ID       ChainID
	First    int64 // offset at which the chain begins
	Next     int64 // its position
	Commits  int
	Files    int
	Rows     int64
	Records  int64
	Problems []string // each a sentence; none if the chain is sound
}

// Verifier checks a lake from S3 alone. It remembers schemas and compactions,
// so one of them should see all chains of a lake.
type Verifier struct {
	Lake *Lake
	// Deep reads a data object and says in what it is not the file that the
	// lake describes; nil: bytes are not read.
	Deep func(ctx context.Context, f File, columns wire.Columns) (problems []string, err error)
	// Lineage computes the lineage of the rows of data objects together;
	// complete is false if one of them is gone. nil: rows are not read.
	Lineage func(ctx context.Context, keys []string) (lineage string, complete bool, err error)

	mu       sync.Mutex                   // guards what follows
	schemas  map[string]map[string]Schema // by table, then schema8
	replaced map[string]map[string]bool   // by table, then key
}

// VerifyChain is Verifier.Chain for one chain, without reading data objects.
func (l *Lake) VerifyChain(ctx context.Context, id ChainID) (ChainReport, error) {
	return (&Verifier{Lake: l}).Chain(ctx, id)
}

// Chain checks that a chain's commits continue each other without a gap or an
// overlap, that their arithmetic holds, that primary rows agree with files, that
// every file is there with its size unless a compaction has replaced it, and
// that schemas are versions that the lake has. An error means that the check
// itself could not be made.
func (v *Verifier) Chain(ctx context.Context, id ChainID) (ChainReport, error) {
	r := ChainReport{ID: id}
	var before *Commit
	err := v.Lake.walk(ctx, id, func(key string, c Commit, err error) error {
		if err != nil {
			r.Problems = append(r.Problems, err.Error())
			if c.V != 1 || c.Next <= c.First { // nothing to go on from
				return nil
			}
		}
		r.add(c, before)
		before = &c
		problems, err := v.commit(ctx, c)
		for _, p := range problems {
			r.problem(c, "%s", p)
		}
		return err
	})
	return r, err
}

// walk reads the commits of a chain in order. each gets what a key holds, or
// why that is no commit of this chain.
func (l *Lake) walk(ctx context.Context, id ChainID, visit func(key string, c Commit, err error) error) error {
	const atOnce = 256
	keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), "", 0)
	if err != nil {
		return err
	}
	type read struct {
		c   Commit
		err error
	}
	for part := range slices.Chunk(keys, atOnce) {
		got := make([]read, len(part))
		err := each(ctx, len(part), func(ctx context.Context, i int) error {
			first, err := CommitFirst(part[i].Key)
			if err == nil {
				got[i].c, err = l.Commit(ctx, id, first)
			}
			var fault *FormatError
			if err != nil && !errors.As(err, &fault) && !errors.Is(err, objstore.ErrNotFound) {
				return err
			}
			got[i].err = err
			return nil
		})
		if err != nil {
			return err
		}
		for i, g := range got {
			if err := visit(part[i].Key, g.c, g.err); err != nil {
				return err
			}
		}
	}
	return nil
}

// FormatError says that an object is not what its key or its own words say.
type FormatError struct{ Problem error }

func (e *FormatError) Error() string { return e.Problem.Error() }
func (e *FormatError) Unwrap() error { return e.Problem }

func (r *ChainReport) add(c Commit, before *Commit) {
	switch {
	case before == nil:
		r.First = c.First
		if c.Prev != nil {
			r.problem(c, "is the oldest one and says that %d came before it", *c.Prev)
		}
	case c.First != before.Next:
		r.problem(c, "does not begin where the one before ends, at %d", before.Next)
	case c.Prev == nil || *c.Prev != before.First:
		r.problem(c, "does not name the one before, %d", before.First)
	case c.TopicID != before.TopicID:
		r.problem(c, "is of the topic with id %s, the one before of %s", c.TopicID, before.TopicID)
	}
	for _, p := range c.primaryProblems() {
		r.problem(c, "%s", p)
	}
	r.Next = c.Next
	r.Commits++
	r.Files += len(c.Files)
	for _, f := range c.Files {
		r.Rows += f.Rows
	}
	for _, a := range c.Accounting {
		r.Records += a.Records
	}
}

func (r *ChainReport) problem(c Commit, format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf("commit %s/%d: ", r.ID, c.First)+fmt.Sprintf(format, args...))
}

// commit checks what a commit says of files and schemas.
func (v *Verifier) commit(ctx context.Context, c Commit) ([]string, error) {
	problems := make([][]string, len(c.Files))
	err := each(ctx, len(c.Files), func(ctx context.Context, i int) (err error) {
		problems[i], err = v.committed(ctx, c, c.Files[i])
		return err
	})
	seen := map[string]bool{}
	var out []string
	for i, f := range c.Files {
		if seen[f.Key] {
			out = append(out, fmt.Sprintf("names file %s twice", f.Key))
		}
		seen[f.Key] = true
		out = append(out, problems[i]...)
	}
	return out, err
}

// committed checks one file of a commit.
func (v *Verifier) committed(ctx context.Context, c Commit, f File) (out []string, err error) {
	k, ok := v.Lake.Paths.ParseData(f.Key)
	if !ok || k.Compacted() || k.Name() != f.Table || k.DT != f.DT || k.HH != f.HH || k.Schema8 != f.Schema ||
		k.Chain != (ChainID{c.Topic, c.Partition}) || k.First != f.First || k.Next != f.Next {
		out = append(out, fmt.Sprintf("file %s is not what its key says: %s %s %s, [%d, %d), schema %s", f.Key, f.Table, f.DT, f.HH, f.First, f.Next, f.Schema))
	}
	columns := c.Schemas[f.Schema].Columns
	s, ok, err := v.schema(ctx, f.Table, f.Schema)
	if err != nil {
		return out, err
	}
	if !ok || s.Fingerprint != c.Schemas[f.Schema].Fingerprint {
		out = append(out, fmt.Sprintf("file %s has the schema %s, which is no version of %s", f.Key, f.Schema, f.Table))
	}
	replaced, err := v.isReplaced(ctx, f)
	if err != nil {
		return out, err
	}
	found, err := v.file(ctx, f, columns, replaced)
	return append(out, found...), err
}

// file checks that an object is there as described; one that was replaced may be gone.
func (v *Verifier) file(ctx context.Context, f File, columns wire.Columns, replaced bool) ([]string, error) {
	info, err := v.Lake.Store.Head(ctx, f.Key)
	switch {
	case errors.Is(err, objstore.ErrNotFound) && replaced:
		return nil, nil
	case errors.Is(err, objstore.ErrNotFound):
		return []string{fmt.Sprintf("file %s is missing", f.Key)}, nil
	case err != nil:
		return nil, err
	case info.Size != f.Bytes:
		return []string{fmt.Sprintf("file %s has %d bytes of %d", f.Key, info.Size, f.Bytes)}, nil
	case v.Deep == nil:
		return nil, nil
	}
	found, err := v.Deep(ctx, f, columns)
	for i, p := range found {
		found[i] = fmt.Sprintf("file %s %s", f.Key, p)
	}
	return found, err
}

// schema returns the version of a table whose fingerprint begins with schema8.
// One that is not remembered may be new: the lake is asked again.
func (v *Verifier) schema(ctx context.Context, table, schema8 string) (s Schema, ok bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, ok = v.schemas[table][schema8]; ok {
		return s, true, nil
	}
	all, err := v.Lake.Schemas(ctx, table)
	if err != nil {
		return s, false, err
	}
	known := map[string]Schema{}
	for _, s := range all {
		known[wire.Schema8(s.Fingerprint)] = s
	}
	if v.schemas == nil {
		v.schemas = map[string]map[string]Schema{}
	}
	v.schemas[table] = known
	s, ok = known[schema8]
	return s, ok, nil
}

// isReplaced says whether a compaction has replaced a file. Compactions that do
// not hold are reported by Compactions; they replace nothing.
func (v *Verifier) isReplaced(ctx context.Context, f File) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, ok := v.replaced[f.Table]; ok {
		return known[f.Key], nil
	}
	known := map[string]bool{}
	schema, table, err := SplitTable(f.Table)
	if err != nil {
		return false, nil // reported as such
	}
	all, _, err := v.Lake.compactions(ctx, v.Lake.Paths.Compactions(schema, table))
	if err != nil {
		return false, err
	}
	for _, c := range all {
		for _, key := range c.Replaces {
			known[key] = true
		}
	}
	if v.replaced == nil {
		v.replaced = map[string]map[string]bool{}
	}
	v.replaced[f.Table] = known
	return known[f.Key], nil
}

// primaryProblems compares primary rows with the rows of the files of primary
// tables, for each source and day.
func (c Commit) primaryProblems() []string {
	type cell struct{ source, dt string }
	want := map[cell]int64{}
	for _, a := range c.Accounting {
		want[cell{a.Source, a.DT}] += a.Primary
	}
	have := map[cell]int64{}
	for _, f := range c.Files {
		source, table, err := SplitTable(f.Table)
		if err != nil {
			return []string{err.Error()}
		}
		// A topic of changes has one table, and every row of it is primary.
		if IsPrimary(table) || strings.Contains(c.Topic, ".changes.") {
			have[cell{source, f.DT}] += f.Rows
		}
	}
	var out []string
	for k, n := range want {
		if have[k] != n {
			out = append(out, fmt.Sprintf("counts %d primary rows of %s on %s, its files have %d", n, k.source, k.dt, have[k]))
		}
		delete(have, k)
	}
	for k, n := range have {
		out = append(out, fmt.Sprintf("has %d primary rows of %s on %s in files that it does not account for", n, k.source, k.dt))
	}
	slices.Sort(out)
	return out
}
