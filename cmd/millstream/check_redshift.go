package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
	redshift "github.com/millstream-data/millstream/internal/warehouse/probe"
)

const probeFlag = "--probe-redshift"

// silentMinutes are those that a session must survive, as it does during a
// long COPY.
const silentMinutes = 10 * time.Minute

// probeRedshift asks a cluster what the loader relies on:
//
//	probes ─▶ scratch schema, _probe/ in the lake ─▶ a table, and a file of JSON for an issue
func (p *program) probeRedshift(ctx context.Context, args []string) error {
	f := p.newFlags("check", "--probe-redshift [--out FILE] [--silence TIME] --config FILE [--set KEY=VALUE …]")
	f.set.Bool(probeFlag[2:], true, "ask the warehouse what its documentation leaves open; takes about 20 minutes")
	out := f.set.String("out", "redshift-probe.json", "`file` for the answers")
	silence := f.set.Duration("silence", silentMinutes, "how long a session is left without a word")
	cfg, err := p.load(f, args, p.nearby(args), "s3", "lake", "warehouse")
	if err != nil {
		return err
	}
	w, err := warehouse.Open(cfg.Warehouse)
	if err != nil {
		return err
	}
	l, err := openLake(ctx, cfg)
	if err != nil {
		return err
	}
	d := redshift.Deps{Warehouse: w, Store: l.Store, Prefix: cfg.Lake.Prefix, Local: cfg.Warehouse.SSLMode == "disable", Silence: *silence}
	results := []redshift.Result{}
	differ := 0
	tab := tabwriter.NewWriter(p.stdout, 0, 8, 2, ' ', 0)
	err = redshift.Run(ctx, d, redshift.All(), func(r redshift.Result) {
		results = append(results, r)
		state := "ok"
		switch {
		case r.Known:
			state = "known"
		case !r.OK:
			state = "DIFFERS"
			differ++
		}
		fmt.Fprintf(tab, "%s\t%s: %s\t%.1f s\n", state, r.Area, r.Name, r.Seconds)
		if !r.OK {
			fmt.Fprintf(tab, "\t  expected: %s\n\t  seen:     %s\n", r.Expected, r.Seen)
		}
	})
	if flushErr := tab.Flush(); err == nil {
		err = flushErr
	}
	body, jsonErr := json.MarshalIndent(results, "", "  ")
	if jsonErr == nil {
		jsonErr = os.WriteFile(*out, append(body, '\n'), 0o600)
	}
	if err := errors.Join(err, jsonErr); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%d probes, %d differ; the answers are in %s\n", len(results), differ, *out)
	if differ > 0 {
		return errFindings
	}
	return nil
}
