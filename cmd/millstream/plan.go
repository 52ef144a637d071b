package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/ingest"
)

// isPlanFlag finds the flag that makes check a check of events.
func isPlanFlag(arg string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return strings.HasPrefix(arg, "-") && name == "plan"
}

// checkPlan says what a tracking plan makes of a file of events:
//
//	plan, schemas ─▶ events.ndjson ─▶ a line for each event that differs ─▶ sums
func (p *program) checkPlan(args []string) error {
	set := flag.NewFlagSet("check", flag.ContinueOnError)
	set.SetOutput(p.stderr)
	set.Usage = func() {
		fmt.Fprintln(p.stderr, "usage: millstream check --plan FILE EVENTS.ndjson (- reads standard input)")
		set.PrintDefaults()
	}
	plan := set.String("plan", "", "tracking plan, a YAML `file`")
	if err := set.Parse(args); err != nil {
		return errUsage
	}
	if set.NArg() != 1 {
		set.Usage()
		return errUsage
	}
	in := io.NopCloser(p.stdin)
	if name := set.Arg(0); name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		in = f
	}
	defer in.Close()
	total, refused, sums := 0, 0, map[string]int{}
	err := ingest.CheckPlan(*plan, in, func(l ingest.PlanLine) {
		total++
		sums[l.Outcome]++
		if l.Refused {
			refused++
		}
		if len(l.Violations) > 0 {
			p.printPlanLine(l)
		}
	})
	if err != nil {
		fmt.Fprintf(p.stdout, "the check did not come to its end:\n%v\n", err)
		return errFindings
	}
	fmt.Fprintf(p.stdout, "%d events", total)
	for _, outcome := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(p.stdout, ", %d %s", sums[outcome], outcome)
	}
	fmt.Fprintf(p.stdout, "; %d would be refused\n", refused)
	if refused > 0 {
		return errFindings
	}
	return nil
}

func (p *program) printPlanLine(l ingest.PlanLine) {
	what := string(l.Type)
	if l.Event != "" {
		what += fmt.Sprintf(" %q", l.Event)
	}
	if what == "" {
		what = "event"
	}
	code := ""
	if l.Code != "" {
		code = " " + string(l.Code)
	}
	fmt.Fprintf(p.stdout, "line %d: %s: %s%s\n", l.Line, what, l.Outcome, code)
	for _, v := range l.Violations {
		fmt.Fprintf(p.stdout, "  %s\n", v)
	}
}
