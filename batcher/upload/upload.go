package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// Options say what is uploaded as what.
type Options struct {
	File      string    // a path; "-" reads Stdin
	Stdin     io.Reader // nil: there is none
	Table     string    // empty: by the name of the file
	Delimiter rune      // 0: guessed from the first line
	Nulls     []string  // texts that mean null; nil: the empty text
	Types     map[string]wire.LakeType
	Append    bool
	// Progress, if not nil, is told the bytes of the file that a pass has read.
	// It is called often.
	Progress func(pass string, read, size int64)
}

func (o Options) nulls() []string {
	if o.Nulls == nil {
		return []string{""}
	}
	return o.Nulls
}

// Uploader brings CSV files into tables.
type Uploader struct {
	Config    Config
	Lake      *lake.Lake
	Warehouse *warehouse.Client
	GateWait  time.Duration // for the loader's transaction
	wait      time.Duration // 0: swapWait
	pause     func(context.Context, time.Duration) error
}

// Summary is what an upload has done.
type Summary struct {
	Target    warehouse.Name
	Columns   []*Column
	Types     []warehouse.Type // in the table
	Rows      int64
	Files     int
	Bytes     int64 // of Parquet
	Delimiter rune
	Appended  bool
}

// Upload brings a file into a table, which shows either what it showed before or
// the whole file. A LineError names the line that is wrong.
func (u *Uploader) Upload(ctx context.Context, o Options) (*Summary, error) {
	name, err := tableName(o)
	if err != nil {
		return nil, err
	}
	path, remove, err := u.spool(o)
	if err != nil {
		return nil, err
	}
	defer remove()
	s, err := openSource(path, o.Delimiter, int64(u.Config.MaxBytes))
	if err != nil {
		return nil, err
	}
	conn, err := u.Warehouse.Connect(ctx)
	if err != nil {
		return nil, err
	}
	l := &load{
		conn: conn, client: u.Warehouse, cfg: u.Warehouse.Config(), name: warehouse.Name{Schema: u.Config.Schema, Table: name}, id: event.ULID(time.Now()), append: o.Append, started: time.Now(), wait: cmp.Or(u.wait, swapWait), pause: u.pause,
		gate: &warehouse.Gate{Timeout: u.GateWait, Statement: u.Warehouse.Config().StatementTimeout},
	}
	defer func() { l.conn.Close() }() // the one that there is by then
	if err := conn.EnsureLedger(ctx); err != nil {
		return nil, err
	}
	if l.pause == nil {
		l.pause = pause
	}
	if err := u.read(ctx, s, o, l); err != nil {
		return nil, err
	}
	return u.bring(ctx, s, o, l)
}

// read makes the first pass, by the types of the table for an append.
func (u *Uploader) read(ctx context.Context, s *source, o Options, l *load) error {
	types, err := l.plan(ctx)
	if err != nil {
		return err
	}
	if o.Append {
		if len(o.Types) > 0 {
			return errors.New("--append takes the types of the table: leave --type out")
		}
		head, err := headOf(s)
		if err != nil {
			return err
		}
		if err := match(l.name, head, types); err != nil {
			return err
		}
		o.Types = map[string]wire.LakeType{}
		for _, c := range head {
			o.Types[c.Name] = types[c.Name]
		}
	}
	if l.table, err = scan(s, o, o.told("reading", s.info.Size())); err != nil {
		return err
	}
	var existing warehouse.Existing
	if o.Append {
		all, err := l.conn.Columns(ctx, []warehouse.Name{l.name})
		if err != nil {
			return err
		}
		existing = all[l.name]
	}
	l.columns = target(l.table, existing)
	for _, c := range l.columns {
		if c.Type.Kind == warehouse.Varchar && c.Longest > warehouse.MaxVarchar {
			return fmt.Errorf("column %s has a text of %d bytes: Redshift's VARCHAR takes %d", c.Name, c.Longest, warehouse.MaxVarchar)
		}
	}
	return nil
}

// errHead ends a pass after the header.
var errHead = errors.New("header read")

func headOf(s *source) (head []*Column, err error) {
	err = s.rows(nil, func(_ int64, fields []string) error {
		if head, err = header(fields, nil); err != nil {
			return err
		}
		return errHead
	})
	if errors.Is(err, errHead) {
		err = nil
	}
	return head, err
}

// bring makes the second pass and loads what it has written, which is removed
// afterwards, loaded or not.
func (u *Uploader) bring(ctx context.Context, s *source, o Options, l *load) (*Summary, error) {
	key := func(n int) string { return u.Lake.Paths.Upload(l.name.String(), l.id, n) }
	manifest := u.Lake.Paths.UploadManifest(l.name.String(), l.id)
	parts, err := write(ctx, s, l.table, o, u.Lake.Store, key, o.told("writing", s.info.Size()))
	defer u.remove(ctx, parts, manifest)
	if err != nil {
		return nil, err
	}
	if err := l.run(ctx, u, parts, manifest); err != nil {
		return nil, err
	}
	sum := &Summary{Target: l.name, Columns: l.table.Columns, Rows: l.table.Rows, Files: len(parts), Delimiter: s.comma, Appended: o.Append}
	for _, p := range parts {
		sum.Bytes += p.bytes
	}
	for _, c := range l.columns {
		sum.Types = append(sum.Types, c.Type)
	}
	return sum, nil
}

// remove removes what was put; millstream gc finds what it misses.
func (u *Uploader) remove(ctx context.Context, parts []part, manifest string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for _, p := range parts {
		_ = u.Lake.Store.Delete(ctx, p.key)
	}
	_ = u.Lake.Store.Delete(ctx, manifest)
}

func (o Options) told(pass string, size int64) func(int64) {
	if o.Progress == nil {
		return nil
	}
	return func(n int64) { o.Progress(pass, n, size) }
}

// tableName checks the table's name, or makes one of the file's.
func tableName(o Options) (string, error) {
	given := o.Table
	if given == "" {
		if o.File == "-" {
			return "", errors.New("--as NAME says what standard input is uploaded as")
		}
		given = filepath.Base(o.File)
		for _, ext := range []string{".gz", ".csv", ".tsv", ".txt"} {
			given = strings.TrimSuffix(given, ext)
		}
	}
	name := lake.NewNamer().Name(given)
	switch {
	case o.Table != "" && name != o.Table:
		return "", fmt.Errorf("--as %s: a table cannot be called so here; --as %s would do", o.Table, name)
	case len(name) > lake.MaxName:
		return "", fmt.Errorf("%s is too long: choose another name by --as", name)
	}
	return name, nil
}

// spool returns the path of the file; standard input and pipes are written to
// one first, because it is read twice.
func (u *Uploader) spool(o Options) (path string, remove func(), err error) {
	in, what := o.Stdin, "standard input"
	if o.File != "-" {
		info, err := os.Stat(o.File)
		if err != nil || info.Mode().IsRegular() || info.IsDir() {
			return o.File, func() {}, err
		}
		pipe, err := os.Open(o.File)
		if err != nil {
			return "", nil, err
		}
		defer pipe.Close() //nolint:errcheck // only read
		in, what = pipe, o.File
	}
	f, err := os.CreateTemp("", "millstream-upload-*.csv")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.Remove(f.Name()) }
	n, err := io.Copy(f, io.LimitReader(in, int64(u.Config.MaxBytes)+1))
	if err = errors.Join(err, f.Close()); err == nil && n > int64(u.Config.MaxBytes) {
		err = fmt.Errorf("%s has more than %d bytes: that is uploads.max_bytes", what, u.Config.MaxBytes)
	}
	if err != nil {
		remove()
	}
	return f.Name(), remove, err
}

// Write prints the table that came of it, and where to look at it.
func (s *Summary) Write(w io.Writer, psql string) {
	verb := "now holds"
	if s.Appended {
		verb = "got"
	}
	fmt.Fprintf(w, "%s %s %d rows (Parquet: %d bytes)\n\n", s.Target, verb, s.Rows, s.Bytes)
	for i, c := range s.Columns {
		note := c.Note
		if !strings.EqualFold(c.Header, c.Name) {
			note = strings.TrimPrefix(fmt.Sprintf("%s; %q in the file", note, c.Header), "; ")
		}
		if c.Nulls > 0 {
			note = strings.TrimPrefix(fmt.Sprintf("%s; %d null", note, c.Nulls), "; ")
		}
		fmt.Fprintf(w, "  %-30s %-18s %s\n", c.Name, s.Types[i].SQL(), note)
	}
	fmt.Fprintf(w, "\n%s -c 'SELECT * FROM %s LIMIT 10'\n", psql, s.Target)
}

// SetType reads column=type, the type in the lake's words or in Redshift's.
func (o *Options) SetType(arg string) error {
	column, text, ok := strings.Cut(arg, "=")
	if !ok || column == "" {
		return errors.New("want column=type, such as spend=decimal(18,2)")
	}
	text = strings.ToLower(strings.ReplaceAll(text, " ", ""))
	typ, err := wire.ParseLakeType(text)
	if err != nil {
		typ = lakeType(warehouse.ParseType(text))
		if typ == "" {
			return err
		}
	}
	if typ == wire.Bytes {
		return errors.New("bytes have no form in CSV: a text can hold them in base64 or hexadecimal, by type string")
	}
	if o.Types == nil {
		o.Types = map[string]wire.LakeType{}
	}
	o.Types[column] = typ
	return nil
}
