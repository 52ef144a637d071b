package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/millstream-data/millstream/batcher/compact"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// compact rewrites the small files of hours that are over:
//
//	S3: commits, files ─▶ merge by partition and offset ─▶ S3: fewer files, then the object that names them
func (p *program) compact(ctx context.Context, args []string) error {
	f := p.newFlags("compact", "[--table T] [--dt DAY] --config FILE [--set KEY=VALUE …]")
	var scope compact.Scope
	f.set.StringVar(&scope.Table, "table", "", "only this `table`, such as app.tracks")
	day := f.set.String("dt", "", "only this `day`, such as 2026-11-21")
	cfg, err := p.load(f, args, p.nearby(args), "s3", "lake", "batcher")
	if err != nil {
		return err
	}
	if scope.DT, err = dayOf(*day); err != nil {
		return err
	}
	if err := tableOf(scope.Table, true); err != nil {
		return err
	}
	l, err := openLake(ctx, cfg)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "millstream-compact-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays is temporary
	hours, replaced, files := 0, 0, 0
	c := compact.New(cfg.Batcher.CompactOptions(dir), compact.Deps{Lake: l, Log: telemetry.NewLogger(p.stderr, cfg.Log)})
	// An hour is compacted until nothing of it is worth it any more.
	for before := -1; before != hours && err == nil && ctx.Err() == nil; {
		before = hours
		err = c.Round(ctx, scope, time.Now(), func(r compact.Result) {
			fmt.Fprintf(p.stdout, "%s: %d files of %d bytes are %d of %d bytes, %d rows (generation %d)\n",
				r.Hour, r.Replaced, r.BytesBefore, r.Files, r.BytesAfter, r.Rows, r.Generation)
			hours, replaced, files = hours+1, replaced+r.Replaced, files+r.Files
		})
	}
	fmt.Fprintf(p.stdout, "%d compactions of %d files into %d; millstream gc removes the former after batcher.gc.keep\n", hours, replaced, files)
	return err
}

// dayOf checks a day of the command line; empty is none.
func dayOf(text string) (string, error) {
	if _, err := time.Parse(time.DateOnly, text); text != "" && err != nil {
		return "", fmt.Errorf("--dt %s: must be a day such as 2026-11-21", text)
	}
	return text, nil
}

// tableOf checks a table of the command line.
func tableOf(name string, optional bool) error {
	if name == "" && optional {
		return nil
	}
	if _, _, err := lake.SplitTable(name); err != nil {
		return fmt.Errorf("--table %s: must be a table such as app.tracks", name)
	}
	return nil
}
