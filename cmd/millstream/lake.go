package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/lake"
)

// lake answers questions of readers; there is one:
//
//	S3: commits, compactions ─▶ the files that make up a table, as a list or a statement
func (p *program) lake(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "files" {
		fmt.Fprintln(p.stderr, "usage: millstream lake files --table T [--dt DAY] [--format keys|duckdb|spark|athena] --config FILE [--set KEY=VALUE …]")
		return errUsage
	}
	f := p.newFlags("lake files", "--table T [--dt DAY] [--format keys|duckdb|spark|athena] --config FILE [--set KEY=VALUE …]")
	table := f.set.String("table", "", "the `table`, such as app.tracks")
	day := f.set.String("dt", "", "only this `day`, such as 2026-11-21")
	format := f.set.String("format", "keys", "keys, one a line; or a statement of duckdb, spark or athena that reads these files and no others")
	cfg, err := p.load(f, args[1:], p.nearby(args), "s3", "lake")
	if err != nil {
		return err
	}
	if err := tableOf(*table, false); err != nil {
		return err
	}
	dt, err := dayOf(*day)
	if err != nil {
		return err
	}
	write, ok := fileFormats[*format]
	if !ok {
		return config.OneOf("--format", *format, "keys", "duckdb", "spark", "athena")
	}
	l, err := openLake(ctx, cfg)
	if err != nil {
		return err
	}
	files, err := l.Files(ctx, *table, dt)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("--table %s: there is no file of it%s that a commit names; millstream verify shows what there is, and what is missing", *table, on(dt))
	}
	return write(p.stdout, cfg.Lake.Bucket, files)
}

func on(dt string) string {
	if dt == "" {
		return ""
	}
	return " on " + dt
}

// fileFormats are the forms of a list of files.
var fileFormats = map[string]func(w io.Writer, bucket string, files []lake.File) error{
	"keys": func(w io.Writer, bucket string, files []lake.File) error {
		for _, f := range files {
			if _, err := fmt.Fprintf(w, "s3://%s/%s\n", bucket, f.Key); err != nil {
				return err
			}
		}
		return nil
	},
	"duckdb": func(w io.Writer, bucket string, files []lake.File) error {
		_, err := fmt.Fprintf(w, "SELECT * FROM read_parquet([\n%s], union_by_name = true, hive_partitioning = true);\n", quoted("s3://"+bucket+"/", files, "'", ",\n"))
		return err
	},
	"spark": func(w io.Writer, bucket string, files []lake.File) error {
		base, _, _ := strings.Cut(files[0].Key, "/dt=")
		_, err := fmt.Fprintf(w, "spark.read.option(\"mergeSchema\", \"true\").option(\"basePath\", \"s3a://%s/%s\").parquet(\n%s)\n",
			bucket, base, quoted("s3a://"+bucket+"/", files, `"`, ",\n"))
		return err
	},
	// Athena reads folders; "$path" tells files apart.
	"athena": func(w io.Writer, bucket string, files []lake.File) error {
		_, name, _ := strings.Cut(files[0].Table, ".")
		_, err := fmt.Fprintf(w, "SELECT * FROM \"%s\" WHERE \"$path\" IN (\n%s);\n", name, quoted("s3://"+bucket+"/", files, "'", ",\n"))
		return err
	},
}

func quoted(before string, files []lake.File, quote, between string) string {
	texts := make([]string, len(files))
	for i, f := range files {
		texts[i] = "  " + quote + before + strings.ReplaceAll(f.Key, quote, quote+quote) + quote
	}
	return strings.Join(texts, between)
}
