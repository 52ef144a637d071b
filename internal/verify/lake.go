package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// ofEvents and ofChanges say what a chain carries; whatever else a lake has is
// not compared.
func ofEvents(id lake.ChainID) bool  { return strings.HasSuffix(id.Topic, ".events") }
func ofChanges(id lake.ChainID) bool { _, _, ok := wire.OriginOf(id.Topic); return ok }

// readLake reads the commits that can hold rows of the range. It waits until
// they reach what metrics have counted: that is a batcher's age at most.
func (v *verifier) readLake(ctx context.Context) error {
	chains, err := v.Lake.Chains(ctx)
	if err != nil {
		return fmt.Errorf("read the lake: %w", err)
	}
	all := map[lake.ChainID]bool{}
	for _, id := range chains {
		all[id] = ofEvents(id) || ofChanges(id)
	}
	if v.metrics != nil {
		for id, next := range v.metrics.next {
			all[id] = all[id] || ofEvents(id) && next > 0
		}
	}
	deadline := time.Now().Add(v.o.Wait)
	v.ends, v.begins = map[lake.ChainID]int64{}, map[lake.ChainID]int64{}
	for _, id := range sortedChains(all) {
		if !all[id] {
			continue
		}
		if err := v.readChain(ctx, id, deadline); err != nil {
			return fmt.Errorf("read the lake: %w", err)
		}
	}
	return nil
}

func sortedChains[V any](m map[lake.ChainID]V) []lake.ChainID {
	return slices.SortedFunc(maps.Keys(m), func(a, b lake.ChainID) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		return int(a.Partition) - int(b.Partition)
	})
}

func (v *verifier) readChain(ctx context.Context, id lake.ChainID, deadline time.Time) error {
	var need int64
	if v.metrics != nil && ofEvents(id) {
		need = v.metrics.next[id]
	}
	var next int64
	begun := false
	for {
		var err error
		if !begun {
			if next, begun, err = v.Lake.FirstSince(ctx, id, v.o.From.Add(-skew)); err != nil {
				return err
			}
			v.begins[id] = next
		}
		if begun {
			next, err = v.Lake.Walk(ctx, id, next, func(c lake.Commit) error { return v.commit(ctx, id, c) })
		}
		v.ends[id] = next
		var format *lake.FormatError
		switch {
		case errors.Is(err, lake.ErrChainGap) || errors.As(err, &format):
			v.finding("%v; `millstream verify --chain` tells more", err)
			return nil
		case err != nil:
			return err
		case next >= need:
			return nil
		case time.Now().After(deadline):
			v.finding("%s: metrics have counted up to %d, commits end at %d after %s: does the batcher run?", id, need, next, v.o.Wait)
			return nil
		}
		if !pause(ctx, 250*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// commit enters a commit into the books.
func (v *verifier) commit(ctx context.Context, id lake.ChainID, c lake.Commit) error {
	v.log.keeps(id, c)
	for _, a := range c.Accounting {
		if ofChanges(id) {
			v.books.changes[a.Source] = true
		}
		if v.wanted(a.Source, a.DT) {
			sum := v.books.account(a.Source, a.DT)
			sum.Records += a.Records
			sum.Primary += a.Primary
			sum.Duplicates += a.Duplicates
			sum.Rejected += a.Rejected
			sum.Marks += a.Marks
		}
	}
	for _, f := range c.Files {
		source, table, err := lake.SplitTable(f.Table)
		if err != nil {
			return err
		}
		if !v.wanted(source, f.DT) {
			continue
		}
		t := v.books.target(f.Table, f.DT)
		t.lake += f.Rows
		switch v.stateOf(id, c, f) {
		case isDue:
			t.due += f.Rows
		case isHeld:
			t.held += f.Rows
		case isSkipped:
			t.skipped += f.Rows
		case isGone:
			t.gone += f.Rows
		case isLoaded:
		}
		if ofEvents(id) && lake.IsPrimary(table) {
			if err := v.againstMetrics(ctx, id, f, source, t); err != nil {
				return err
			}
		}
	}
	if !ofChanges(id) {
		return nil
	}
	return v.changes(id, c)
}

// state is what has become of a file.
type state int

const (
	isLoaded state = iota
	isDue
	isHeld
	isSkipped
	isGone // loaded, and its table is no more
)

func (v *verifier) stateOf(id lake.ChainID, c lake.Commit, f lake.File) state {
	skipped, held := v.stored.files[f.Key]
	at, begun := v.stored.positions[f.Table][id]
	switch {
	case skipped:
		return isSkipped
	case held:
		return isHeld
	case begun && at >= c.Next && slices.Contains(v.stored.gone, f.Table):
		return isGone
	case begun && at >= c.Next:
		return isLoaded
	case v.stored.held[f.Table]:
		return isHeld
	}
	return isDue
}

// againstMetrics counts the rows of a file that the source's witness has not
// counted.
func (v *verifier) againstMetrics(ctx context.Context, id lake.ChainID, f lake.File, source string, t *tally) error {
	from, to, ok := v.metrics.span(id, source)
	if !ok {
		return nil
	}
	before, err := v.rowsBelow(ctx, id, f, from)
	if err != nil {
		return err
	}
	below, err := v.rowsBelow(ctx, id, f, to)
	if err != nil {
		return err
	}
	t.before += before
	t.uncounted += f.Rows - below
	return nil
}

// rowsBelow counts the rows of a file below an offset. It reads the file only if
// the offset lies within.
func (v *verifier) rowsBelow(ctx context.Context, id lake.ChainID, f lake.File, offset int64) (n int64, err error) {
	switch {
	case offset <= f.First:
		return 0, nil
	case offset >= f.Next:
		return f.Rows, nil
	}
	err = v.offsets(ctx, id, f, func(at int64) {
		if at < offset {
			n++
		}
	})
	if v.unread(f, err) {
		return f.Rows, nil
	}
	return n, err
}

// unreadableError says that a data object is not there, or no Parquet file.
type unreadableError struct {
	key string
	err error
}

func (e *unreadableError) Error() string { return e.key + ": " + e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// unread makes a finding of a file that cannot be read, but not of one that was
// given up, and says whether err is of that kind: the comparison goes on without
// its rows.
func (v *verifier) unread(f lake.File, err error) bool {
	var e *unreadableError
	if !errors.As(err, &e) {
		return false
	}
	if skipped := v.stored.files[f.Key]; !skipped && !v.told[f.Key] {
		v.told[f.Key] = true
		v.finding("%s of %s on %s in %s: its rows are not compared, as it is not readable: %v; restore the object", plural(f.Rows, "row"), f.Table, f.DT, f.Key, e.err)
	}
	return true
}

// offsets visits the offsets of a committed file's rows. Where a compaction has
// replaced the file and it is gone, what the compaction wrote has its rows.
func (v *verifier) offsets(ctx context.Context, id lake.ChainID, f lake.File, visit func(offset int64)) error {
	err := v.readFile(ctx, f.Key, func(_, at int64) { visit(at) })
	if !errors.Is(err, objstore.ErrNotFound) {
		return err
	}
	schema, table, _ := strings.Cut(f.Table, ".")
	compactions, err := v.Lake.CompactionsOf(ctx, schema, table, f.DT)
	if err != nil {
		return err
	}
	keys, replaced := map[string]bool{f.Key: true}, false
	for range compactions { // a generation may replace what an earlier one wrote
		for _, c := range compactions {
			for _, old := range c.Replaces {
				if !keys[old] {
					continue
				}
				replaced = true
				delete(keys, old)
				for _, file := range c.Files {
					keys[file.Key] = true
				}
			}
		}
	}
	if !replaced {
		return &unreadableError{f.Key, objstore.ErrNotFound}
	}
	for key := range keys {
		err := v.readFile(ctx, key, func(partition, at int64) {
			if partition == int64(id.Partition) && at >= f.First && at < f.Next {
				visit(at)
			}
		})
		if err != nil {
			if errors.Is(err, objstore.ErrNotFound) {
				return &unreadableError{key, err}
			}
			return err
		}
	}
	return nil
}

var keyColumns = wire.Columns{{Name: "_partition", Type: wire.Int64}, {Name: "_offset", Type: wire.Int64}}

// readFile visits where the rows of a data object are from.
func (v *verifier) readFile(ctx context.Context, key string, visit func(partition, offset int64)) error {
	path, err := v.fetch(ctx, key)
	if err != nil {
		return err
	}
	defer os.Remove(path) //nolint:errcheck // a temporary file
	if err := eachRow(path, visit); err != nil {
		// The file is gone when somebody reads of it.
		return &unreadableError{key, errors.New(strings.ReplaceAll(err.Error(), path, "its copy"))}
	}
	return nil
}

func eachRow(path string, visit func(partition, offset int64)) error {
	r, err := parquetout.Open(path, keyColumns)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // read only
	for {
		n, err := r.Len()
		if err != nil || n == 0 {
			return err
		}
		partitions, err := r.Ints(0)
		if err != nil {
			return err
		}
		offsets, err := r.Ints(1)
		if err != nil {
			return err
		}
		for i := range n {
			visit(partitions[i], offsets[i])
		}
		r.Skip(n)
	}
}

// fetch copies a data object into a temporary file.
func (v *verifier) fetch(ctx context.Context, key string) (path string, err error) {
	body, _, err := v.Lake.Store.Open(ctx, key)
	if err != nil {
		return "", err
	}
	defer body.Close()
	f, err := os.CreateTemp(v.Dir, "verify-*.parquet")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	return f.Name(), nil
}

// marks are the polls that a commit tells of.
func marks(c lake.Commit) ([]lake.Mark, error) {
	var out []lake.Mark
	for _, raw := range c.Marks {
		var m lake.Mark
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("commit %s/%d/%d: mark: %w", c.Topic, c.Partition, c.First, err)
		}
		out = append(out, m)
	}
	return out, nil
}
