package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// replay runs dead letters of the HTTP edge through its code again:
//
//	Kafka: rejected ──▶ decide, stamp as at their first arrival ──▶ Kafka: events
func (p *program) replay(ctx context.Context, args []string) error {
	f := p.newFlags("replay", "[--source S] [--code C] [--since T] [--until T] [--id ID] [--dry-run] [--config FILE]")
	f.key("brokers", "kafka.brokers", "addresses of some brokers, host:port")
	var what ingest.Replay
	f.set.StringVar(&what.Source, "source", "", "only this `source`")
	f.set.StringVar((*string)(&what.Code), "code", "", "only what was refused with this `code`, such as missing_identity")
	f.set.StringVar(&what.ID, "id", "", "only this dead letter, by its `id` in /v1/rejections")
	since := f.set.String("since", "", "only what was refused from this `time` on, such as 2026-03-01T10:00:00Z or 90m (ago)")
	until := f.set.String("until", "", "only what was refused before this `time`")
	dry := f.set.Bool("dry-run", false, "write nothing, say what would become of them")
	f.set.BoolVar(&what.WriteRefused, "write-refused", false, "make new dead letters of what is refused again")
	cfg, err := p.load(f, args, p.nearby(args), "kafka", "ingest")
	if err != nil {
		return err
	}
	now := time.Now()
	for name, t := range map[string]struct {
		text string
		to   *time.Time
	}{"--since": {*since, &what.Since}, "--until": {*until, &what.Until}} {
		if *t.to, err = moment(t.text, now); err != nil {
			return fmt.Errorf("%s %s: must be a time such as 2026-03-01T10:00:00Z, or how long ago, such as 90m", name, t.text)
		}
	}
	what.Write = !*dry
	r, err := ingest.NewReplayer(cfg.Ingest, cfg.Kafka, telemetry.NewLogger(p.stderr, cfg.Log))
	if err != nil {
		return err
	}
	sum := replaySum{again: map[string]int{}, skipped: map[string]int{}}
	err = r.Run(ctx, what, func(r ingest.Replayed) {
		sum.add(&r)
		if len(r.Again) > 0 {
			fmt.Fprintln(p.stdout, r.String())
		}
	})
	if err != nil {
		return errors.Join(err, errors.New("some may be written; run it again: nothing counts twice within dedup.window"))
	}
	fmt.Fprint(p.stdout, sum.text(*dry))
	return nil
}

// dataDir returns the folder that args name, if they do.
func dataDir(args []string) string {
	for i, a := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch {
		case name != "data-dir" || !strings.HasPrefix(a, "-"):
		case joined:
			return value
		case i+1 < len(args):
			return args[i+1]
		}
	}
	return ""
}

// moment reads a time, or how long ago it was; nothing is the zero time.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	return time.Parse(time.RFC3339, text)
}

// replaySum counts what became of dead letters.
type replaySum struct {
	letters, events int
	again           map[string]int // by code
	skipped         map[string]int // by reason
}

func (s *replaySum) add(r *ingest.Replayed) {
	if r.Skipped != "" {
		s.skipped[r.Skipped]++
		return
	}
	if len(r.Events) > 0 {
		s.letters++
		s.events += len(r.Events)
	}
	for _, again := range r.Again {
		s.again[string(again.Code)]++
	}
}

func (s *replaySum) text(dry bool) string {
	verb := "replayed"
	if dry {
		verb = "would replay"
	}
	out := fmt.Sprintf("%s %d events of %d dead letters\n", verb, s.events, s.letters)
	return out + tallied("refused again", s.again) + tallied("skipped", s.skipped)
}

// tallied is a line about counts, or nothing.
func tallied(title string, counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	if len(parts) == 0 {
		return ""
	}
	return title + ": " + strings.Join(parts, ", ") + "\n"
}
