package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/millstream-data/millstream/batcher/loader"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// loaderByHand are the commands below loader:
//
//	what somebody decided ─▶ [gate │ millstream.held │ COMMIT] ─▶ the running loader's next wave
func loaderByHand() map[string]func(p *program, ctx context.Context, args []string) error {
	return map[string]func(p *program, ctx context.Context, args []string) error{
		"retry": (*program).loaderRetry, "skip": (*program).loaderSkip,
	}
}

// byHand reads the configuration of a command below loader.
func (p *program) byHand(f *flags, args []string, sections ...section) (loader.ByHand, Config, error) {
	cfg, err := p.load(f, args, p.nearby(args), append(sections, "warehouse", "loader")...)
	if err != nil {
		return loader.ByHand{}, cfg, err
	}
	w, err := warehouse.Open(cfg.Warehouse)
	return loader.ByHand{Config: cfg.Loader, Warehouse: w}, cfg, err
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

// targetOf checks a target of the command line.
func targetOf(target string) error {
	if _, err := warehouse.ParseName(target); err != nil {
		return fmt.Errorf("--target %q: must be a table such as app.tracks", target)
	}
	return nil
}
