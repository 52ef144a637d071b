package compact

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// fetched is what an object's bytes turned out to be.
type fetched struct {
	bytes          int64
	sha256, crc32c string
}

// fetch copies an object to path. A body that is cut is read again.
func fetch(ctx context.Context, store *objstore.Client, key, path string) (sum fetched, err error) {
	const attempts = 4
	for range attempts {
		if sum, err = fetchOnce(ctx, store, key, path); err == nil || ctx.Err() != nil || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRefused) {
			return sum, err
		}
	}
	return sum, err
}

func fetchOnce(ctx context.Context, store *objstore.Client, key, path string) (fetched, error) {
	body, _, err := store.Open(ctx, key)
	if err != nil {
		return fetched{}, err
	}
	defer func() { _ = body.Close() }()
	f, err := os.Create(path)
	if err != nil {
		return fetched{}, fmt.Errorf("create spool: %w", err)
	}
	sha, crc := sha256.New(), crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err := io.Copy(io.MultiWriter(f, sha, crc), body)
	if err := errors.Join(err, f.Close()); err != nil {
		return fetched{}, fmt.Errorf("get %s: %w", key, err)
	}
	return fetched{n, hex.EncodeToString(sha.Sum(nil)), base64.StdEncoding.EncodeToString(crc.Sum(nil))}, nil
}

var keyColumns = wire.Columns{{Name: "_partition", Type: wire.Int64}, {Name: "_offset", Type: wire.Int64}}

// eachKey visits where the rows of a file are from, in its order.
func eachKey(path string, visit func(rowKey)) error {
	r, err := parquetout.Open(path, keyColumns)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
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
			visit(rowKey{partitions[i], offsets[i]})
		}
		r.Skip(n)
	}
}

func addLineage(l *lake.Lineage, path string) error {
	return eachKey(path, func(k rowKey) { l.Add(k.partition, k.offset) })
}

// Inspector reads data objects for millstream verify --deep: its methods are a
// lake.Verifier's Deep and Lineage. It is safe for concurrent use.
type Inspector struct {
	Store *objstore.Client
	Dir   string // for one object at a time and call
}

// Deep says in what an object is not the file that the lake describes: bytes,
// sums, columns, rows and where they are from.
func (n *Inspector) Deep(ctx context.Context, f lake.File, columns wire.Columns) (problems []string, err error) {
	path, err := n.temp()
	if err != nil {
		return nil, err
	}
	defer os.Remove(path) //nolint:errcheck // a temporary file
	sum, err := fetch(ctx, n.Store, f.Key, path)
	if err != nil {
		return nil, err
	}
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if sum.bytes != f.Bytes || sum.sha256 != f.SHA256 {
		say("has the SHA-256 %s, the lake says %s", sum.sha256, f.SHA256)
	}
	if sum.crc32c != f.CRC32C {
		say("has the CRC32C %s, the lake says %s", sum.crc32c, f.CRC32C)
	}
	r, err := parquetout.Open(path, columns)
	if err != nil {
		say("is not readable: %v", err)
		return problems, nil
	}
	names := r.Names()
	rows, meta := r.Rows(), r.Meta("millstream.table")
	if err := r.Close(); err != nil {
		return problems, err
	}
	if len(names) != len(columns) || !slices.EqualFunc(names, columns, func(name string, c wire.Column) bool { return name == c.Name }) {
		say("has the columns %v, its schema is %v", names, columns)
	}
	if rows != f.Rows {
		say("has %d rows in its footer, the lake says %d", rows, f.Rows)
	}
	if meta != f.Table {
		say("says that it is of %q, the lake says %s", meta, f.Table)
	}
	return append(problems, keyProblems(path, f)...), nil
}

// keyProblems checks that rows are in order and within the file's offsets.
func keyProblems(path string, f lake.File) (problems []string) {
	last, rows := rowKey{-1, -1}, int64(0)
	lo, hi := int64(-1), int64(-1)
	disorder := false
	err := eachKey(path, func(k rowKey) {
		disorder = disorder || compareKeys(k, last) <= 0
		last = k
		if lo < 0 || k.offset < lo {
			lo = k.offset
		}
		hi = max(hi, k.offset)
		rows++
	})
	switch {
	case err != nil:
		problems = append(problems, fmt.Sprintf("is not readable: %v", err))
	case rows != f.Rows:
		problems = append(problems, fmt.Sprintf("has %d rows, the lake says %d", rows, f.Rows))
	case lo != f.First || hi+1 != f.Next:
		problems = append(problems, fmt.Sprintf("has the offsets %d to %d, the lake says [%d, %d)", lo, hi, f.First, f.Next))
	}
	if disorder {
		problems = append(problems, "has rows that are not in the order of _partition and _offset, or twice")
	}
	return problems
}

// Lineage computes the lineage of the rows of objects together; complete is
// false if one of them is gone.
func (n *Inspector) Lineage(ctx context.Context, keys []string) (lineage string, complete bool, err error) {
	path, err := n.temp()
	if err != nil {
		return "", false, err
	}
	defer os.Remove(path) //nolint:errcheck // a temporary file
	var all []rowKey
	for _, key := range keys {
		_, err := fetch(ctx, n.Store, key, path)
		if errors.Is(err, objstore.ErrNotFound) {
			return "", false, nil
		}
		if err == nil {
			err = eachKey(path, func(k rowKey) { all = append(all, k) })
		}
		if err != nil {
			return "", false, err
		}
	}
	slices.SortFunc(all, compareKeys)
	l := lake.NewLineage()
	for _, k := range all {
		l.Add(k.partition, k.offset)
	}
	return l.Sum(), true, nil
}

func (n *Inspector) temp() (string, error) {
	f, err := os.CreateTemp(n.Dir, "verify-*.parquet")
	if err != nil {
		return "", fmt.Errorf("make temporary file: %w", err)
	}
	return f.Name(), f.Close()
}
