package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/wire"
)

// tail shows what comes in, by every process:
//
//	Kafka: events, rejected ──▶ filter ──▶ lines
func (p *program) tail(ctx context.Context, args []string) error {
	f := p.newFlags("tail", "[--source S] [--type T] [--event E] [--user U] [--rejected] [--since DURATION] [--json] [--brokers HOST:PORT] [--config FILE]")
	f.key("brokers", "kafka.brokers", "addresses of some brokers, host:port")
	t := tailer{program: p, next: map[string]map[int32]int64{}}
	f.set.StringVar(&t.want.Source, "source", "", "only this `source`")
	f.set.StringVar(&t.want.Event, "event", "", "only track calls of this `name`")
	f.set.StringVar(&t.want.User, "user", "", "only events of this userId, or anonymousId where there is none")
	f.set.BoolVar(&t.want.Rejected, "rejected", false, "only what was refused")
	typ := f.set.String("type", "", "only this `type`: track, identify, page, screen, group or alias")
	f.set.DurationVar(&t.since, "since", 0, "begin so long ago, such as 10m, instead of now")
	f.set.BoolVar(&t.json, "json", false, "one JSON object a line, with the events as they are stored")
	cfg, err := p.load(f, args, p.nearby(args), "kafka")
	if err != nil {
		return err
	}
	var ok bool
	if t.want.Type, ok = event.ParseType(*typ); !ok && *typ != "" {
		return fmt.Errorf("--type %s: must be track, identify, page, screen, group or alias", *typ)
	}
	t.kafka = cfg.Kafka
	return t.run(ctx)
}

// tailer follows the topics of events and dead letters.
type tailer struct {
	*program
	kafka kafka.Config
	want  ingest.TailFilter
	since time.Duration
	json  bool
	next  map[string]map[int32]int64 // offset to read next, by topic and partition
}

// tailPatience is how long Kafka may take to answer before it is away.
const tailPatience = 5 * time.Second

// run follows until ctx ends; while Kafka is away it says so and waits.
func (t *tailer) run(ctx context.Context) error {
	said := ""
	for {
		err := t.follow(ctx, func() {
			if said != "" {
				fmt.Fprintln(t.stderr, "Kafka answers again")
			}
			said = ""
		})
		if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			fmt.Fprintf(t.stderr, "Kafka at %s: %s; waiting for it\n", strings.Join(t.kafka.Brokers, ", "), text)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// follow reads on from where it was until something fails.
func (t *tailer) follow(ctx context.Context, reached func()) error {
	log := telemetry.NewLogger(t.stderr, telemetry.LogConfig{Level: "error", Format: "text"})
	client, err := kafka.NewClient(t.kafka, log, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := t.begin(ctx, client); err != nil {
		return err
	}
	reached()
	for looked := time.Now(); ; {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := client.PollFetches(poll)
		cancel()
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return fmt.Errorf("read %s: %w", e.Topic, e.Err)
			}
		}
		fetches.EachRecord(t.show)
		if time.Since(looked) < time.Second {
			continue
		}
		ping, cancel := context.WithTimeout(ctx, tailPatience)
		err := client.Ping(ping)
		cancel()
		if err != nil {
			return fmt.Errorf("no broker answers: %w", err)
		}
		looked = time.Now()
	}
}

// begin has client read both topics on; at first from their end, or from since.
func (t *tailer) begin(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, tailPatience)
	defer cancel()
	offsets, first := map[string]map[int32]kgo.Offset{}, len(t.next) == 0
	for _, topic := range []string{t.kafka.Names().Events(), t.kafka.Names().Rejected()} {
		from, err := kafka.DescribeLog(ctx, client, topic, true)
		if err != nil {
			return err
		}
		if t.next[topic] == nil {
			t.next[topic] = from.End
			if t.since > 0 {
				after, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, time.Now().Add(-t.since).UnixMilli(), topic)
				if err == nil {
					err = after.Error()
				}
				if err != nil {
					return fmt.Errorf("offsets of %s: %w", topic, err)
				}
				after.Each(func(o kadm.ListedOffset) { t.next[topic][o.Partition] = o.Offset })
			}
		}
		offsets[topic] = map[int32]kgo.Offset{}
		for p := range from.End { // a partition that is new is read from its start
			offsets[topic][p] = kgo.NewOffset().At(t.next[topic][p])
		}
	}
	client.AddConsumePartitions(offsets)
	if first {
		fmt.Fprintf(t.stderr, "watching %s and %s\n", t.kafka.Names().Events(), t.kafka.Names().Rejected())
	}
	return nil
}

func (t *tailer) show(rec *kgo.Record) {
	t.next[rec.Topic][rec.Partition] = rec.Offset + 1
	dead := rec.Topic == t.kafka.Names().Rejected()
	switch {
	case !t.want.Match(rec, dead):
	case t.json:
		fmt.Fprintf(t.stdout, "%s\n", ingest.AppendTailLine(nil, rec, dead))
	case dead:
		r := wire.ParseRejected(rec.Headers, rec.Value)
		t.line(rec, r.Source, "REFUSED", string(r.Stage), string(r.Code)+":", r.Message, r.MessageID, string(rec.Value))
	default:
		h, _ := wire.ParseEventHeaders(rec.Headers) // what cannot be read is left out
		_, user, _ := strings.Cut(string(rec.Key), "/")
		var v struct {
			Name               string
			Properties, Traits json.RawMessage
		}
		_ = json.Unmarshal(rec.Value, &v) // the same
		if h.Event != "" {
			v.Name = h.Event
		}
		payload := v.Properties
		if payload == nil {
			payload = v.Traits
		}
		t.line(rec, h.Source, string(h.Type), v.Name, user, h.MessageID, string(payload))
	}
}

// line prints what is short whole, and of the last part the beginning.
func (t *tailer) line(rec *kgo.Record, source, what string, rest ...string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-10s %-9s", rec.Timestamp.UTC().Format("15:04:05.000"), printable(source, 40), printable(what, 40))
	for i, text := range rest {
		most := 60
		if i == len(rest)-1 {
			most = 100
		}
		if text != "" {
			b.WriteString(" " + printable(text, most))
		}
	}
	fmt.Fprintln(t.stdout, b.String())
}

// printable cuts text, and keeps what strangers have sent from steering the terminal.
func printable(text string, most int) string {
	n := 0
	out := strings.Map(func(r rune) rune {
		switch n++; {
		case n > most+1:
			return -1
		case n > most:
			return '…'
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return '\ufffd'
		}
		return r
	}, text)
	return out
}
