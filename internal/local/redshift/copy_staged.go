//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A large COPY into an empty temporary table checks its files and leaves them where they are: the table becomes a view
// over them until a statement changes it. The loader's staging tables are read once and dropped, so the rows need not
// be written to memory first, which costs more than reading Parquet twice.

// stagedBytes is how large a COPY must be for that. Below, the rows are cheap and the view's metadata is not.
const stagedBytes = 2 << 20

// stageable reports whether COPY may leave its files where they are.
func (s *session) stageable(ctx context.Context, t *tableMeta, o copyOptions, files []copyFile) (bool, error) {
	var bytes int64
	for _, f := range files {
		bytes += f.size
	}
	if !t.temp || t.view || t.staged != nil || o.columns != nil || o.fill || bytes < stagedBytes {
		return false, nil
	}
	for _, c := range t.cols {
		if c.notNull || c.deflt != "" {
			return false, nil
		}
	}
	var n int
	err := s.duck.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+t.sql()+" LIMIT 1)").Scan(&n)
	return n == 0, err
}

// stage puts a view over the files in place of t and returns their rows.
func (s *session) stage(ctx context.Context, t *tableMeta, files []copyFile) (rows int64, err error) {
	local, err := s.fetch(ctx, files)
	next := *t
	next.staged = make([]string, 0, len(files))
	for _, f := range local {
		if f.path != "" {
			s.stagedFiles[f.path] = true // swept when no table has it
			next.staged = append(next.staged, f.path)
		}
	}
	if err != nil {
		return 0, err
	}
	for i := range local {
		f := &local[i]
		if f.columns, err = s.parquetColumns(ctx, f.path, f.url); err != nil {
			return 0, err
		}
		if err := fits(t.cols, *f, copyOptions{}); err != nil {
			return 0, err
		}
	}
	var parts []string
	for rest := local; len(rest) > 0; {
		n := alike(rest)
		loaded, err := s.checkFiles(ctx, t.cols, rest[:n])
		if err != nil {
			return 0, err
		}
		parts = append(parts, stagedSelect(t.cols, rest[:n]))
		rows, rest = rows+loaded, rest[n:]
	}
	for _, text := range []string{"DROP TABLE " + t.sql(), "CREATE TEMP VIEW " + quoteIdent(t.name.table) + " AS " + strings.Join(parts, " UNION ALL ")} {
		if _, err := s.exec(ctx, text); err != nil {
			return 0, err
		}
	}
	s.temps[t.name.table] = &next
	return rows, nil
}

// stagedSelect reads files of one shape by position.
func stagedSelect(cols []columnMeta, files []localFile) string {
	shape := files[0].columns
	exprs := make([]string, len(shape))
	for i, p := range shape {
		exprs[i] = storedValue(fmt.Sprintf(`"c%d"`, i), cols[i], p) + " AS " + quoteIdent(cols[i].name)
	}
	return "SELECT " + strings.Join(exprs, ", ") + " FROM " + byPosition(files)
}

// byPosition is files of one shape as a table whose columns are c0, c1, ….
func byPosition(files []localFile) string {
	names, paths := make([]string, len(files[0].columns)), make([]string, len(files))
	for i := range names {
		names[i] = fmt.Sprintf(`"c%d"`, i)
	}
	for i, f := range files {
		paths[i] = quoteString(f.path)
	}
	return fmt.Sprintf("read_parquet([%s]) AS \"_f\"(%s)", strings.Join(paths, ", "), strings.Join(names, ", "))
}

// checkFiles decodes every column of files of one shape once: it counts the rows, and refuses what the columns cannot
// hold. All are read by one query, whose files are work for all threads; only if that finds a value too long are they
// read one by one, to name the first that has such.
func (s *session) checkFiles(ctx context.Context, cols []columnMeta, files []localFile) (rows int64, err error) {
	checks := []string{"count(*)"}
	for i, p := range files[0].columns {
		name := fmt.Sprintf(`"c%d"`, i)
		if size := byteLength(name, cols[i], p); size != "" {
			checks = append(checks, "coalesce(max("+size+"), 0)")
		} else {
			checks = append(checks, "count("+name+")")
		}
	}
	got, into := make([]int64, len(checks)), make([]any, len(checks))
	for i := range got {
		into[i] = &got[i]
	}
	if err := s.duck.QueryRowContext(ctx, "SELECT "+strings.Join(checks, ", ")+" FROM "+byPosition(files)).Scan(into...); err != nil {
		return 0, s.loadError(ctx, err, cols, files)
	}
	for i, c := range cols {
		if byteLength("", c, files[0].columns[i]) == "" || got[i+1] <= int64(c.typ.limit) {
			continue
		}
		for j := range files[:len(files)-1] {
			if _, err := s.checkFiles(ctx, cols, files[j:j+1]); err != nil {
				return 0, err
			}
		}
		return 0, errColumnTooLong(c, strconv.FormatInt(got[i+1], 10), files[len(files)-1].url)
	}
	return got[0], nil
}

// unstage makes a table of the view that a COPY has left, before a statement changes it.
func (s *session) unstage(ctx context.Context, t *tableMeta) (*tableMeta, error) {
	next := *t
	next.staged = nil
	defs := make([]string, len(t.cols))
	for i, c := range t.cols {
		defs[i] = columnSQL(c)
	}
	view := quoteIdent(t.name.table + " staged")
	for _, text := range []string{
		"ALTER VIEW " + t.sql() + " RENAME TO " + view,
		createHead(&next) + " (" + strings.Join(defs, ", ") + ")",
		"INSERT INTO " + t.sql() + " SELECT * FROM temp.main." + view,
		"DROP VIEW temp.main." + view,
	} {
		if _, err := s.exec(ctx, text); err != nil {
			return nil, err
		}
	}
	s.temps[t.name.table] = &next
	return &next, nil
}

// sweep removes the files of staged tables that are no more; it runs when a transaction has ended.
func (s *session) sweep() {
	if len(s.stagedFiles) == 0 {
		return
	}
	used := map[string]bool{}
	for _, t := range s.temps {
		for _, path := range t.staged {
			used[path] = true
		}
	}
	for path := range s.stagedFiles {
		if !used[path] {
			_ = os.Remove(path)
			delete(s.stagedFiles, path)
		}
	}
}
