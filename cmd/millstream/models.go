package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/batcher/loader"
	"github.com/millstream-data/millstream/batcher/models"
	"github.com/millstream-data/millstream/internal/warehouse"
)

const modelsUsage = "list | graph [--dot] | build [NAME[+] …] | test [NAME …] | explain NAME  [--config FILE] [--set KEY=VALUE …]"

// models tells of the SQL models and builds them by hand:
//
//	models/*.sql ──▶ order, mistakes ──▶ warehouse: what is due ──▶ CREATE TABLE AS, tests, swap
func (p *program) models(ctx context.Context, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fmt.Fprintln(p.stderr, "usage: millstream models "+modelsUsage)
		return errUsage
	}
	what, names, args := args[0], []string(nil), args[1:]
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		names, args = append(names, args[0]), args[1:]
	}
	f := p.newFlags("models "+what, strings.TrimPrefix(modelsUsage, "list | "))
	f.key("dir", "models.dir", "folder of models")
	dot := f.set.Bool("dot", false, "graph: write it for Graphviz")
	cfg, err := p.load(f, args, p.nearby(args), "warehouse", "models")
	if err != nil {
		return err
	}
	if cfg.Models.Dir == "" {
		return errors.New("models.dir is empty: it names the folder of *.sql files")
	}
	project, err := models.Read(cfg.Models.Dir, cfg.Models.Schema)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no folder %s: create it, and put a SELECT into %s/name.sql", cfg.Models.Dir, cfg.Models.Dir)
	case err != nil:
		return err
	}
	chosen, err := project.Select(names)
	if err != nil {
		return err
	}
	c := modelsCommand{program: p, cfg: cfg, project: project, chosen: chosen}
	switch {
	case what == "graph" && *dot:
		project.WriteDot(p.stdout)
	case what == "graph":
		project.WriteTree(p.stdout)
	case what == "list", what == "build", what == "test", what == "explain" && len(names) == 1:
		return c.run(ctx, what)
	default:
		return fmt.Errorf("millstream models %s: want %s", what, modelsUsage)
	}
	return c.mistakes(0)
}

// modelsCommand is a command that needs the warehouse.
type modelsCommand struct {
	*program
	cfg     Config
	project *models.Project
	chosen  []*models.Model
}

func (c modelsCommand) run(ctx context.Context, what string) error {
	client, err := warehouse.Open(c.cfg.Warehouse)
	if err != nil {
		return err
	}
	b := models.NewBuilder(c.cfg.Models, client, prometheus.NewRegistry())
	state, err := b.State(ctx, c.project)
	if err != nil {
		return err
	}
	bad := 0
	report := func(r models.Result) {
		r.Write(c.stdout)
		if r.Err != nil {
			bad++
		}
	}
	switch what {
	case "list":
		err = c.project.WriteList(c.stdout, state)
	case "explain":
		c.project.WriteExplained(c.stdout, c.chosen[0], state)
	case "build":
		b.Build(ctx, models.ByHand(client, c.cfg.Loader.GateTimeout), c.project, state, c.chosen, report)
	case "test":
		for _, m := range c.chosen {
			report(b.Test(ctx, c.project, state, m))
		}
	}
	if err != nil {
		return err
	}
	return c.mistakes(bad)
}

// mistakes prints what is wrong with files; bad is what went wrong before.
func (c modelsCommand) mistakes(bad int) error {
	for _, err := range c.project.Mistakes() {
		fmt.Fprintln(c.stdout, err)
		bad++
	}
	if bad > 0 {
		return errFindings
	}
	return nil
}

// keepModels is what the loader with the lease does about models.
func (s *services) keepModels(w *warehouse.Client, reg prometheus.Registerer) []loader.Companion {
	if s.cfg.Models.Dir == "" {
		return nil
	}
	k := models.NewKeeper(models.NewBuilder(s.cfg.Models, w, reg), s.log.With("role", "loader"))
	return []loader.Companion{{Name: "models", Run: func(ctx context.Context, t loader.Tenure) error { return k.Run(ctx, t) }}}
}
