package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/batcher/loader/care"
	"github.com/millstream-data/millstream/batcher/loader/status"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// warehouse says how Redshift stands; there is one word below it:
//
//	ledger, catalogue, S3: commits ─▶ targets, what is held and how to mend it, maintenance, models
func (p *program) warehouse(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "status" {
		fmt.Fprintln(p.stderr, "usage: millstream warehouse status [--all] [--target T] [--json] --config FILE [--set KEY=VALUE …]")
		return errUsage
	}
	f := p.newFlags("warehouse status", "[--all] [--target T] [--json] --config FILE [--set KEY=VALUE …]")
	var o status.Options
	f.set.BoolVar(&o.All, "all", false, "every target and everything held, not the worst 20 only")
	f.set.StringVar(&o.Target, "target", "", "only this `table`, such as app.tracks")
	asJSON := f.set.Bool("json", false, "everything, for machines")
	cfg, err := p.load(f, args[1:], p.nearby(args), "s3", "lake", "warehouse", "loader")
	if err != nil {
		return err
	}
	d, err := p.statusDeps(ctx, cfg)
	if err != nil {
		return err
	}
	report, err := status.Read(ctx, d, time.Now())
	if err != nil {
		return err
	}
	if o.Target != "" && !report.Has(o.Target) {
		return fmt.Errorf("--target %s: neither the ledger nor a commit names it; millstream warehouse status --all shows what there is", o.Target)
	}
	if *asJSON {
		enc := json.NewEncoder(p.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err = enc.Encode(report)
	} else {
		err = report.Write(p.stdout, o)
	}
	if err == nil && report.Wrong() {
		return errFindings
	}
	return err
}

func (p *program) statusDeps(ctx context.Context, cfg Config) (status.Deps, error) {
	w, err := warehouse.Open(cfg.Warehouse)
	if err != nil {
		return status.Deps{}, err
	}
	l, err := openLake(ctx, cfg)
	if err != nil {
		return status.Deps{}, err
	}
	log := telemetry.NewLogger(p.stderr, telemetry.LogConfig{Level: "error", Format: "text"})
	keeper, err := care.New(cfg.Loader.Maintenance, care.Deps{Warehouse: w, Lake: l, LedgerKeep: cfg.Loader.LedgerKeep, Log: log, Registry: prometheus.NewRegistry()})
	user := "millstream"
	if u, parseErr := url.Parse(cfg.Warehouse.DSN); parseErr == nil && u.User.Username() != "" {
		user = u.User.Username()
	}
	return status.Deps{Warehouse: w, Lake: l, User: user, Keeper: keeper, Enabled: cfg.Loader.Maintenance.Enabled}, err
}
