package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/cdc"
	"github.com/millstream-data/millstream/internal/wire"
)

var cdcSections = []section{"admin", "kafka", "cdc"}

// cdc runs the poller alone, or answers a question about it:
//
//	databases ◀─SELECT─ horizon ▶ pages ▶ overlap ──▶ one transaction ──▶ Kafka: changes.*, cdc.state.*
func (p *program) cdc(ctx context.Context, args []string) error {
	if len(args) > 0 {
		orders := []string{wire.CDCReload, wire.CDCPause, wire.CDCResume, wire.CDCAccept, wire.CDCForget}
		switch word := args[0]; {
		case word == "plan":
			return p.cdcPlan(ctx, args[1:])
		case word == "status":
			return p.cdcStatus(ctx, args[1:])
		case slices.Contains(orders, word):
			return p.cdcOrder(ctx, word, args[1:])
		case !strings.HasPrefix(word, "-"):
			return fmt.Errorf("cdc: unknown %q; there are plan, status, %s, and none of them, which reads the databases", word, strings.Join(orders, ", "))
		}
	}
	f := p.newFlags("cdc", "[plan|status|reload|pause|resume|accept|forget …] --config FILE [--set KEY=VALUE …]")
	return p.runRole(ctx, f, args, cdcSections, (*services).startCDC)
}

// startCDC starts nothing if no source is configured.
func (s *services) startCDC(ctx context.Context) error {
	if len(s.cfg.CDC.Sources) == 0 {
		s.log.Info("cdc has no sources, so it does not run")
		return nil
	}
	return s.stack.role(ctx, "cdc", func(_ context.Context, reg *prometheus.Registry) (runner, error) {
		role, err := cdc.New(s.cfg.CDC, s.cfg.Kafka, s.log.With("role", "cdc"), reg)
		if err == nil {
			s.health.Register("cdc", role.Health)
		}
		return role, err
	})
}

// words takes the arguments in front of the first flag.
func words(args []string) (front, rest []string) {
	i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if i < 0 {
		return args, nil
	}
	return args[:i], args[i:]
}

// cdcPlan says how tables are read, and why some are not.
func (p *program) cdcPlan(ctx context.Context, args []string) error {
	const usage = "[SOURCE] [--json] [--write FILE] (--config FILE [--set KEY=VALUE …] | --dsn DSN [--name SOURCE])"
	sources, rest := words(args)
	f := p.newFlags("cdc plan", usage)
	asJSON := f.set.Bool("json", false, "print the plan as JSON")
	write := f.set.String("write", "", "write the configuration of the plan to `FILE`; - is the standard output")
	dsn := f.set.String("dsn", "", "plan every table of the database at `DSN`, without a configuration")
	name := f.set.String("name", "", "name of the source for --dsn")
	variable := f.set.String("dsn-env", "", "variable that the written configuration takes the DSN from; by default SOURCE_DSN")
	sections := []section{"cdc"}
	if slices.ContainsFunc(rest, func(a string) bool { return strings.HasPrefix(strings.TrimLeft(a, "-"), "dsn") }) {
		sections = nil
	}
	cfg, err := p.load(f, rest, defaultConfig(), sections...)
	if err != nil {
		return err
	}
	if *dsn != "" {
		src, err := cdc.SourceOf(*dsn)
		if err != nil {
			return fmt.Errorf("--dsn: %w", err)
		}
		if *name == "" {
			*name = "shop"
		}
		cfg.CDC.Sources = map[string]cdc.SourceConfig{*name: src}
		if err := cfg.CDC.Validate(); err != nil {
			return err
		}
	}
	if len(cfg.CDC.Sources) == 0 {
		return errors.New("cdc plan: the configuration has no cdc.sources; name a database by --dsn")
	}
	plans, err := cdc.Plan(ctx, cfg.CDC, sources...)
	if err != nil {
		return err
	}
	if err := p.printPlans(plans, *asJSON, *write, *variable); err != nil {
		return err
	}
	if slices.ContainsFunc(plans, cdc.SourcePlan.Refused) {
		return errFindings
	}
	return nil
}

func (p *program) printPlans(plans []cdc.SourcePlan, asJSON bool, write, variable string) error {
	if write != "" {
		out := p.stdout
		if write != "-" {
			file, err := os.OpenFile(write, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("--write: %w", err)
			}
			defer func() { _ = file.Close() }() // Sync tells
			if err := writePlans(file, plans, variable); err != nil {
				return err
			}
			if err := file.Sync(); err != nil {
				return fmt.Errorf("--write: %w", err)
			}
			_, err = fmt.Fprintf(out, "wrote %s; the DSN is read from the variable %s\n", write, variableOf(plans[0], variable))
			return err
		}
		return writePlans(out, plans, variable)
	}
	if asJSON {
		return printJSON(p.stdout, plans)
	}
	for _, plan := range plans {
		if err := plan.WriteText(p.stdout); err != nil {
			return err
		}
	}
	return nil
}

func variableOf(plan cdc.SourcePlan, variable string) string {
	if variable == "" {
		return strings.ToUpper(plan.Source) + "_DSN"
	}
	return variable
}

func writePlans(w io.Writer, plans []cdc.SourcePlan, variable string) error {
	for _, plan := range plans {
		if err := plan.WriteConfig(w, variableOf(plan, variable)); err != nil {
			return fmt.Errorf("--write: %w", err)
		}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// cdcStatus says where each table stands; it reads Kafka only.
func (p *program) cdcStatus(ctx context.Context, args []string) error {
	sources, rest := words(args)
	f := p.newFlags("cdc status", "[SOURCE] [--json] --config FILE [--set KEY=VALUE …]")
	asJSON := f.set.Bool("json", false, "print the status as JSON")
	cfg, err := p.load(f, rest, p.nearby(rest), "kafka")
	if err != nil {
		return err
	}
	p.demoToo(&cfg)
	if len(cfg.CDC.Sources) == 0 {
		return errors.New("cdc status: no source is configured; give --config FILE with cdc.sources, or run it where millstream dev keeps its data")
	}
	all, err := cdc.Status(ctx, cfg.CDC, cfg.Kafka, slog.New(slog.DiscardHandler), sources...)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(p.stdout, all)
	}
	for _, s := range all {
		if err := s.WriteText(p.stdout); err != nil {
			return err
		}
	}
	return nil
}

// demoToo adds the shop of millstream dev --demo, which no configuration names.
func (p *program) demoToo(cfg *Config) {
	shop := filepath.Join(cfg.DataDir, "shop.db")
	if _, err := os.Stat(shop); err == nil && len(cfg.CDC.Sources) == 0 {
		cfg.CDC.Sources = demoSource(shop)
	}
}

// cdcOrder gives an order for a table; the process that reads it obeys.
func (p *program) cdcOrder(ctx context.Context, order string, args []string) error {
	front, rest := words(args)
	f := p.newFlags("cdc "+order, "SOURCE TABLE --config FILE [--set KEY=VALUE …]")
	cfg, err := p.load(f, rest, p.nearby(rest), "kafka")
	if err != nil {
		return err
	}
	p.demoToo(&cfg)
	if len(front) != 2 {
		f.set.Usage()
		return errUsage
	}
	if err := cdc.Order(ctx, cfg.CDC, cfg.Kafka, slog.New(slog.DiscardHandler), front[0], front[1], order); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s of %s: ordered; the process that reads it obeys within seconds (millstream cdc status shows it)\n", order, front[1])
	return err
}
