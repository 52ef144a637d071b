// Command millstream is every role of Millstream in one binary: see
// `millstream help`, and docs/architecture.md for how the roles fit together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
)

func main() {
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), hurry: &hurry{c: make(chan struct{})}}
	ctx, stop := untilSignalled(p.stderr, p.hurry)
	err := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(p.exitCode(err))
}

// untilSignalled returns a context that the first SIGINT or SIGTERM ends. The second one makes haste, or ends the
// process if no role can, which loses nothing that was acknowledged; so does the third.
func untilSignalled(stderr io.Writer, h *hurry) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		fmt.Fprintln(stderr, "stopping; once more to hurry")
		cancel()
		<-signals
		if h.heard.Load() {
			fmt.Fprintln(stderr, "hurrying; once more to abort")
			close(h.c)
			<-signals
		}
		fmt.Fprintln(stderr, "aborted")
		os.Exit(130)
	}()
	return ctx, cancel
}

// hurry is the second signal, for roles that can end sooner than they do by default.
type hurry struct {
	c     chan struct{}
	heard atomic.Bool
}

// hear returns what the second signal closes.
func (h *hurry) hear() <-chan struct{} {
	if h == nil {
		return nil
	}
	h.heard.Store(true)
	return h.c
}

// program is the command line as a value, so that tests can run it in-process.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	hurry          *hurry // nil: no signal comes
}

// command is one word of the command line.
type command struct {
	name    string
	summary string
	run     func(p *program, ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"dev", "everything in one process on embedded servers; data under ./.millstream", (*program).dev},
		{"all", "every role in one process against the configured services", (*program).all},
		{"ingest", "the HTTP edge: events from SDKs to Kafka", (*program).ingest},
		{"cdc", "the poller: changed rows of databases to Kafka; cdc plan and status say how tables are read and where they stand, reload, pause, resume, accept and forget are orders", (*program).cdc},
		{"batcher", "Kafka to Parquet files and commits on S3", (*program).batcher},
		{"loader", "commits on S3 to tables in Redshift; loader retry, skip and reload mend by hand what it holds", (*program).loader},
		{"models", "tables and views that you declare by SQL: list, graph, build, test, explain", (*program).models},
		{"upload", "a CSV file as a table of the warehouse", (*program).upload},
		{"rollup", "Kafka to daily metrics in the metric store", (*program).rollup},
		{"serve", "metrics to wallboards, over WebSocket and HTTP", (*program).serve},
		{"check", "validates the configuration, connects to each service, says what is wrong and how to mend it", (*program).check},
		{"tail", "shows events and refusals as they come in, of every process", (*program).tail},
		{"replay", "runs what the HTTP edge refused through its code again", (*program).replay},
		{"verify", "shows per source and day that accepted = lake = warehouse = metrics, or names each difference; --chain: that the lake is whole", (*program).verify},
		{"compact", "rewrites the small files of hours that are over as fewer ones with the same rows", (*program).compact},
		{"gc", "finds data objects that no reader can need; --delete removes them", (*program).gc},
		{"lake", "lake files: the files that make up a table, as a list or a statement for DuckDB, Spark or Athena", (*program).lake},
		{"warehouse", "warehouse status: what is loaded, due, held and how to mend it, maintenance, models", (*program).warehouse},
		{"local", "the local Redshift alone, over the configured S3", (*program).local},
		{"bench", "measures on this hardware: ingest, batcher, loader, e2e", (*program).bench},
		{"config", "prints the configuration in force, or with --reference what there is to configure", (*program).config},
		{"version", "prints the version", (*program).version},
	}
}

// errUsage says that the command line is wrong; its text has been printed.
var errUsage = errors.New("usage")

// errFindings says that check or verify found something, and has printed it.
var errFindings = errors.New("findings")

// undecidedError says that verify has neither found something nor nothing.
type undecidedError struct{ err error }

func (e undecidedError) Error() string { return e.err.Error() }
func (e undecidedError) Unwrap() error { return e.err }

func (p *program) run(ctx context.Context, args []string) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		p.help()
		if len(args) == 0 {
			return errUsage
		}
		return nil
	}
	var names []string
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(p, ctx, args[1:])
		}
		names = append(names, c.name)
	}
	return fmt.Errorf("unknown command %q; there are %s (millstream help explains them)", args[0], strings.Join(names, ", "))
}

func (p *program) help() {
	fmt.Fprintln(p.stdout, "millstream carries what happens in apps and databases to the people who decide by it.")
	fmt.Fprintln(p.stdout, "\nusage: millstream COMMAND [--config FILE] [--set KEY=VALUE …]\n\ncommands:")
	for _, c := range commands() {
		fmt.Fprintf(p.stdout, "  %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprintln(p.stdout, "\nStart with: millstream dev --demo")
}

func (p *program) exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFindings):
		return 1
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintln(p.stderr, "millstream:", err)
	if errors.As(err, new(undecidedError)) {
		return 2
	}
	return 1
}
