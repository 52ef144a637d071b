//go:build cgo

package redshift

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// What one INSERT reads at most: the objects take that much disk meanwhile.
const (
	copyBatchFiles = 64
	copyBatchBytes = 256 << 20
)

// copyFetches is how many objects are asked for at a time.
const copyFetches = 8

// missingObject is the size of an object that may be missing, and is.
const missingObject = -1

// fileColumn tells in a batch which file a row is from.
const fileColumn = `"_file"`

// batches cuts files into runs that one INSERT reads.
func batches(files []copyFile) iter.Seq[[]copyFile] {
	return func(yield func([]copyFile) bool) {
		for len(files) > 0 {
			n, bytes := 0, int64(0)
			for n < len(files) && n < copyBatchFiles && (n == 0 || bytes+files[n].size <= copyBatchBytes) {
				bytes += files[n].size
				n++
			}
			if !yield(files[:n]) {
				return
			}
			files = files[n:]
		}
	}
}

// sizes asks for the size of each object. One that is missing is Redshift's
// 404, which still is fs.ErrNotExist, unless optional says that it may be.
func (s *session) sizes(ctx context.Context, files []copyFile, optional func(i int) bool) error {
	errs := make([]error, len(files))
	var g errgroup.Group
	g.SetLimit(copyFetches)
	for i := range files {
		f := &files[i]
		g.Go(func() error {
			var err error
			f.size, err = s.srv.objects.Size(ctx, f.bucket, f.key)
			if errors.Is(err, fs.ErrNotExist) && optional != nil && optional(i) {
				f.size, err = missingObject, nil
			}
			if err != nil {
				errs[i] = objectError(f.url, err)
			}
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	for _, err := range errs {
		if err != nil {
			return err // of the first file, as if they had been asked for in order
		}
	}
	return nil
}

// localFile is an object in the one folder that DuckDB may read.
type localFile struct {
	copyFile
	path    string
	columns []parquetColumn
}

// fetch copies objects to that folder. The caller removes what is returned,
// also beside an error.
func (s *session) fetch(ctx context.Context, files []copyFile) ([]localFile, error) {
	out := make([]localFile, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copyFetches)
	for i, f := range files {
		out[i].copyFile = f
		g.Go(func() (err error) {
			out[i].path, err = s.fetchObject(ctx, f)
			return err
		})
	}
	return out, g.Wait()
}

func (s *session) fetchObject(ctx context.Context, f copyFile) (path string, err error) {
	body, err := s.srv.objects.Open(ctx, f.bucket, f.key)
	if err != nil {
		return "", objectError(f.url, err)
	}
	defer func() { _ = body.Close() }()
	file, err := os.CreateTemp(s.srv.scratch, "copy-*.parquet")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if _, err := io.Copy(file, body); err != nil {
		_ = file.Close()
		return "", objectError(f.url, err)
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	return filepath.Abs(file.Name())
}

// copyBatch loads objects by position, those of one shape in a row by one
// INSERT: DuckDB then reads them side by side.
func (s *session) copyBatch(ctx context.Context, t *tableMeta, cols []columnMeta, files []copyFile, o copyOptions) (total int64, err error) {
	local, err := s.fetch(ctx, files)
	defer func() {
		for _, f := range local {
			if f.path != "" {
				_ = os.Remove(f.path)
			}
		}
	}()
	if err != nil {
		return 0, err
	}
	for i := range local {
		f := &local[i]
		if f.columns, err = s.parquetColumns(ctx, f.path, f.url); err != nil {
			return 0, err
		}
		if err := fits(cols, *f, o); err != nil {
			return 0, err
		}
	}
	for rest := local; len(rest) > 0; {
		n := alike(rest)
		rows, err := s.insertFiles(ctx, t, cols, rest[:n])
		if err != nil {
			return 0, err
		}
		total, rest = total+rows, rest[n:]
	}
	return total, nil
}

// alike is how many files, from the first on, have one shape: DuckDB matches the
// files of one list by name.
func alike(files []localFile) int {
	n := 1
	for n < len(files) && slices.Equal(files[n].columns, files[0].columns) {
		n++
	}
	return n
}

// fits says why a file cannot come into columns.
func fits(cols []columnMeta, f localFile, o copyOptions) error {
	if len(f.columns) != len(cols) && (!o.fill || len(f.columns) >= len(cols)) {
		return &copyError{url: f.url, err: internalError(15007,
			fmt.Sprintf("Unmatched number of columns between table and file. Table columns: %d, Data columns: %d", len(cols), len(f.columns)), f.url, "dory_util.cpp")}
	}
	for i, p := range f.columns {
		if !compatible(cols[i].typ, p) {
			return &copyError{url: f.url, column: cols[i].name, typ: cols[i].typ.declared, err: internalError(15007, fmt.Sprintf(
				"File '%s' has an incompatible Parquet schema for column '%s.%s'. Column type: %s, Parquet schema: %s",
				f.url, f.url, cols[i].name, shortType(cols[i].typ), p.described), f.url, "dory_util.cpp")}
		}
	}
	return nil
}

// insertFiles loads files of one shape.
func (s *session) insertFiles(ctx context.Context, t *tableMeta, cols []columnMeta, files []localFile) (int64, error) {
	shape := files[0].columns
	names, into, exprs, paths := make([]string, len(shape)), make([]string, len(shape)), make([]string, len(shape)), make([]string, len(files))
	for i, p := range shape {
		names[i] = fmt.Sprintf(`"c%d"`, i)
		into[i] = quoteIdent(cols[i].name)
		exprs[i] = loaded(names[i], cols[i], p)
	}
	for i, f := range files {
		paths[i] = quoteString(f.path)
	}
	n, err := s.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM read_parquet([%s], filename = true) AS \"_f\"(%s, %s)", t.sql(),
		strings.Join(into, ", "), strings.Join(exprs, ", "), strings.Join(paths, ", "), strings.Join(names, ", "), fileColumn))
	if err != nil {
		return 0, s.loadError(ctx, err, cols, files)
	}
	return n, nil
}
