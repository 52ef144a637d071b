package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/millstream-data/millstream/internal/objstore"
)

// ChainReport is what VerifyChain found.
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

// VerifyChain reads a chain from S3 alone and checks that commits continue each
// other without a gap or an overlap, that their arithmetic holds, that primary
// rows agree with files, and that every file is there with its size. An error
// means that the check itself could not be made.
func (l *Lake) VerifyChain(ctx context.Context, id ChainID) (ChainReport, error) {
	r := ChainReport{ID: id}
	keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), "", 0)
	if err != nil {
		return r, err
	}
	var before *Commit
	for _, k := range keys {
		first, err := CommitFirst(k.Key)
		if err != nil {
			r.Problems = append(r.Problems, err.Error())
			continue
		}
		c, err := l.Commit(ctx, id, first)
		if err != nil {
			if errors.Is(err, objstore.ErrNotFound) || c.V != 0 {
				r.Problems = append(r.Problems, err.Error())
				continue
			}
			return r, err
		}
		r.add(c, before)
		if err := l.verifyFiles(ctx, c, &r); err != nil {
			return r, err
		}
		before = &c
	}
	return r, nil
}

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
	}
	for _, p := range c.primaryProblems() {
		r.problem(c, "%s", p)
	}
	r.Next = c.Next
	r.Commits++
	for _, a := range c.Accounting {
		r.Records += a.Records
	}
}

func (r *ChainReport) problem(c Commit, format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf("commit %s/%d: ", r.ID, c.First)+fmt.Sprintf(format, args...))
}

func (l *Lake) verifyFiles(ctx context.Context, c Commit, r *ChainReport) error {
	for _, f := range c.Files {
		r.Files++
		r.Rows += f.Rows
		info, err := l.Store.Head(ctx, f.Key)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			r.problem(c, "file %s is missing", f.Key)
		case err != nil:
			return err
		case info.Size != f.Bytes:
			r.problem(c, "file %s has %d bytes of %d", f.Key, info.Size, f.Bytes)
		}
	}
	return nil
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
	return out
}
