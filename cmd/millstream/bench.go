package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millstream-data/millstream/internal/bench"
)

// bench measures on this hardware. What is measured runs in processes of its
// own, so that their CPU time can be told from the load generator's:
//
//	load generator (this process) ──HTTP──▶ ingest, then the bare reference ──▶ embedded Kafka
func (p *program) bench(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("bench what? there are: bench ingest, bench batcher, bench loader, bench e2e")
	}
	switch args[0] {
	case "ingest":
		return p.benchIngest(ctx, args[1:])
	case "batcher":
		return p.benchBatcher(ctx, args[1:])
	case "loader":
		return p.benchLoader(ctx, args[1:])
	case "e2e":
		return p.benchPath(ctx, args[1:])
	case "child":
		return p.benchChild(ctx, args[1:])
	}
	return fmt.Errorf("bench %s: there are bench ingest, bench batcher, bench loader and bench e2e", args[0])
}

// benchPath measures the whole path of a running installation.
func (p *program) benchPath(ctx context.Context, args []string) error {
	f := p.newFlags("bench e2e", "[--duration 60s] [--rate 100] [--json FILE]   (beside a running millstream dev)")
	path := bench.Path{Metric: "orders"}
	f.set.StringVar(&path.Ingest, "ingest", "http://127.0.0.1:8080", "`URL` of ingest")
	f.set.StringVar(&path.WriteKey, "write-key", "dev-server", "write key")
	f.set.StringVar(&path.Source, "source", "app", "the write key's source")
	f.set.StringVar(&path.Serve, "serve", "http://127.0.0.1:8090", "`URL` of serve")
	f.set.StringVar(&path.Warehouse, "warehouse", "postgres://millstream:millstream@127.0.0.1:5439/millstream?sslmode=disable", "`DSN` of the warehouse")
	f.set.IntVar(&path.Rate, "rate", 100, "events a second")
	f.set.DurationVar(&path.Duration, "duration", time.Minute, "how long to send")
	out := f.set.String("json", "", "write the figures to this `file` too")
	if _, err := p.load(f, args, defaultConfig()); err != nil {
		return err
	}
	if path.Rate < 1 || path.Duration < time.Second {
		return errors.New("bench e2e: --rate must be at least 1 and --duration at least 1s")
	}
	r, err := path.Run(ctx, func(s string) { fmt.Fprintln(p.stderr, s) })
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%d events at %d/s\naccepted -> visible in the warehouse  %s\naccepted -> frame on a WebSocket      %s\n", r.Sent, r.Rate, r.Warehouse, r.Frame)
	return writeJSON(*out, r)
}

func writeJSON(file string, v any) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // figures are no secret
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644) //nolint:gosec // figures are no secret
}
