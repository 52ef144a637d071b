package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millstream-data/millstream/batcher/loader"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// loaderByHand are the commands below loader:
//
//	what somebody decided ─▶ [gate │ millstream.held │ COMMIT] ─▶ the running loader's next wave
func loaderByHand() map[string]func(p *program, ctx context.Context, args []string) error {
	return map[string]func(p *program, ctx context.Context, args []string) error{
		"retry": (*program).loaderRetry, "skip": (*program).loaderSkip, "reload": (*program).loaderReload,
	}
}

// byHand reads the configuration of a command below loader.
func (p *program) byHand(f *flags, args []string, sections ...section) (loader.ByHand, Config, error) {
	cfg, err := p.load(f, args, p.nearby(args), append(sections, "warehouse", "loader")...)
	if err != nil {
		return loader.ByHand{}, cfg, err
	}
	w, err := warehouse.Open(cfg.Warehouse)
	return loader.ByHand{Config: cfg.Loader, Warehouse: w, Dedup: cfg.Dedup, Log: telemetry.NewLogger(p.stderr, cfg.Log)}, cfg, err
}

// loaderRetry has what is held of a target tried at once.
func (p *program) loaderRetry(ctx context.Context, args []string) error {
	f := p.newFlags("loader retry", "--target T --config FILE [--set KEY=VALUE …]")
	target := f.set.String("target", "", "the `table`, such as app.tracks, of which something is held")
	b, _, err := p.byHand(f, args)
	if err != nil {
		return err
	}
	if err := targetOf(*target); err != nil {
		return err
	}
	held, err := b.Retry(ctx, *target)
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.FileKey == warehouse.WholeTarget {
			fmt.Fprintf(p.stdout, "%s from %s/%d offset %d: the loader's next wave tries it (held as %s)\n", h.Target, h.Chain.Topic, h.Chain.Part, h.First, h.Reason)
			continue
		}
		fmt.Fprintf(p.stdout, "%s: the loader's next wave tries it (held as %s)\n", h.FileKey, h.Reason)
	}
	return nil
}

// loaderSkip gives up on a file for good.
func (p *program) loaderSkip(ctx context.Context, args []string) error {
	f := p.newFlags("loader skip", "--file KEY --reason TEXT --config FILE [--set KEY=VALUE …]")
	key := f.set.String("file", "", "`key` of the held file, as millstream.held has it")
	why := f.set.String("reason", "", "why its rows are given up; kept in millstream.held, and shown by millstream verify ever after")
	b, _, err := p.byHand(f, args)
	switch {
	case err != nil:
		return err
	case *key == "":
		return errors.New("--file: must be the key of a held file; SELECT file_key FROM millstream.held names them")
	case *why == "":
		return errors.New("--reason: must say why the rows of this file are given up, for those who find them missing")
	}
	held, err := b.Skip(ctx, *key, *why)
	for _, h := range held {
		if err == nil {
			fmt.Fprintf(p.stdout, "%s of %s is skipped for good: %s\n", h.FileKey, h.Target, *why)
		}
	}
	return err
}

// loaderReload loads a table of events again from the lake:
//
//	S3: files, compacted ones for what they replace ─COPY─▶ T__reload ─▶ [gate │ positions │ swap │ COMMIT]
//	    with days:                                  ─COPY─▶ staging   ─▶ [gate │ positions │ DELETE, INSERT │ COMMIT]
func (p *program) loaderReload(ctx context.Context, args []string) error {
	f := p.newFlags("loader reload", "--target T [--from DAY --to DAY] [--force] --config FILE [--set KEY=VALUE …]")
	var r loader.Reload
	f.set.StringVar(&r.Target, "target", "", "the `table`, such as app.tracks")
	from := f.set.String("from", "", "only from this `day` of received_at on, such as 2026-11-20")
	to := f.set.String("to", "", "to this `day`, which is included")
	f.set.BoolVar(&r.Force, "force", false, "go on without files that COPY refuses, and when the lake has fewer rows than the table")
	b, cfg, err := p.byHand(f, args, "s3", "lake", "dedup")
	if err != nil {
		return err
	}
	if err := targetOf(r.Target); err != nil {
		return err
	}
	if r.Days, err = daysOf(*from, *to); err != nil {
		return err
	}
	if b.Lake, err = openLake(ctx, cfg); err != nil {
		return err
	}
	out, err := b.Reload(ctx, r)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: %d files of %d rows were loaded again, %d rows inserted, %d duplicates named; before there were %d rows and duplicates\n",
		r.Target, out.Files, out.Rows, out.Inserted, out.Duplicates, out.Before)
	for _, file := range out.LeftOut {
		fmt.Fprintf(p.stdout, "left out: %s\n", file)
	}
	if out.Old != nil {
		fmt.Fprintf(p.stdout, "the former table is still there, as %s__old: %v\n", r.Target, out.Old)
	}
	return nil
}

// daysOf reads the days of --from and --to.
func daysOf(from, to string) (d warehouse.Days, err error) {
	if from == "" && to == "" {
		return d, nil
	}
	for _, day := range []struct {
		flag, text string
		into       *time.Time
	}{{"--from", from, &d.From}, {"--to", to, &d.To}} {
		if *day.into, err = time.Parse(time.DateOnly, day.text); err != nil {
			return d, fmt.Errorf("%s %q: must be a day such as 2026-11-21; --from and --to come together", day.flag, day.text)
		}
	}
	if d.To.Before(d.From) {
		return d, fmt.Errorf("--to %s: must not lie before --from %s", to, from)
	}
	d.To = d.To.AddDate(0, 0, 1)
	return d, nil
}

// targetOf checks a target of the command line.
func targetOf(target string) error {
	if _, err := warehouse.ParseName(target); err != nil {
		return fmt.Errorf("--target %q: must be a table such as app.tracks", target)
	}
	return nil
}
