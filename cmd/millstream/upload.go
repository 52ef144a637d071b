package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millstream-data/millstream/batcher/upload"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// upload brings a CSV file into a table:
//
//	file ─▶ types from all rows ─▶ Parquet on S3 ──COPY──▶ staging ──one transaction──▶ uploads.<table>
func (p *program) upload(ctx context.Context, args []string) error {
	const usage = "FILE.csv [--as TABLE] [--append] [--delimiter ';'] [--null NA …] [--type COLUMN=TYPE …] [--config FILE] [--set KEY=VALUE …]  (- reads standard input)"
	if len(args) == 0 || args[0] != "-" && strings.HasPrefix(args[0], "-") {
		fmt.Fprintln(p.stderr, "the file comes first, then the flags\nusage: millstream upload "+usage)
		return errUsage
	}
	o := upload.Options{File: args[0], Stdin: p.stdin, Progress: p.uploadProgress()}
	args = args[1:]
	f := p.newFlags("upload", usage)
	f.set.StringVar(&o.Table, "as", "", "the `table`, in the schema uploads.schema; by default it is called like the file")
	f.set.BoolVar(&o.Append, "append", false, "add the rows to the table, columns by name; without it they take the place of those that are there")
	delimiter := f.set.String("delimiter", "", "the `character` between fields, or tab; by default the one of , ; | and tab that the first line has most of")
	f.set.Func("null", "`text` that means null; may be repeated; by default the empty one", func(text string) error { o.Nulls = append(o.Nulls, text); return nil })
	f.set.Func("type", "`column=type` where the one found is not wanted, such as spend=decimal(18,2) or code=string; may be repeated", o.SetType)
	cfg, err := p.load(f, args, p.nearby(args), "s3", "lake", "warehouse", "uploads")
	if err != nil {
		return err
	}
	switch n := utf8.RuneCountInString(*delimiter); {
	case *delimiter == "tab", *delimiter == `\t`:
		o.Delimiter = '\t'
	case n == 1 && !strings.ContainsAny(*delimiter, "\"\r\n"):
		o.Delimiter, _ = utf8.DecodeRuneInString(*delimiter)
	case n > 0:
		return fmt.Errorf("--delimiter %s: must be one character, or tab", *delimiter)
	}
	l, err := openLake(ctx, cfg)
	if err != nil {
		return err
	}
	w, err := warehouse.Open(cfg.Warehouse)
	if err != nil {
		return err
	}
	u := upload.Uploader{Config: cfg.Uploads, Lake: l, Warehouse: w, GateWait: cfg.Loader.GateTimeout}
	sum, err := u.Upload(ctx, o)
	if err != nil {
		return fmt.Errorf("upload %s: %w", o.File, err)
	}
	sum.Write(p.stdout, psqlLine(cfg.Warehouse))
	return nil
}

// uploadProgress tells now and then how far a large file is.
func (p *program) uploadProgress() func(pass string, read, size int64) {
	const large = 64 << 20
	last := time.Now()
	return func(pass string, read, size int64) {
		if size >= large && time.Since(last) >= 2*time.Second {
			last = time.Now()
			fmt.Fprintf(p.stderr, "%s: %d of %d MiB\n", pass, read>>20, size>>20)
		}
	}
}

// psqlLine is how psql is called for the warehouse; the password of a server on
// this machine is in it, because millstream dev prints that anyway.
func psqlLine(c warehouse.Config) string {
	dsn := c.DSN
	if u, err := url.Parse(dsn); err == nil && c.SSLMode == "disable" && c.Password != "" {
		u.User = url.UserPassword(u.User.Username(), c.Password.Reveal())
		dsn = u.String()
	}
	return "psql '" + dsn + "'"
}
