package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// Backlog writes events to the topic of events as ingest does: about 700 bytes
// each, of three event names with 22 columns in the lake, whose values differ
// as a shop's do.
type Backlog struct {
	Kafka kafka.Config
	Log   *slog.Logger
	Seed  uint64
}

// client returns a producer with ingest's settings.
func (b Backlog) client() (*kgo.Client, error) {
	return kafka.NewClient(b.Kafka, b.Log, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxBufferedRecords(50_000),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond), kgo.DefaultProduceTopic(b.Kafka.Names().Events()))
}

// Fill writes n events whose received_at are as 10,000 a second would have left
// them, the last of them now. It returns their bytes.
func (b Backlog) Fill(ctx context.Context, n int64) (bytes int64, err error) {
	cl, err := b.client()
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	if err := kafka.EnsureTopics(ctx, b.Kafka, cl, b.Kafka.EventsTopic(), b.Kafka.RejectedTopic()); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g := newGenerator(b.Seed)
	begin := time.Now().Add(-time.Duration(n) * 100 * time.Microsecond)
	for i := range n {
		r := g.record(begin.Add(time.Duration(i) * 100 * time.Microsecond))
		bytes += int64(len(r.Value))
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("fill: %w", err))
			}
		})
		if ctx.Err() != nil {
			break
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return bytes, context.Cause(ctx)
	}
	return bytes, context.Cause(ctx)
}

// Sample is an event whose way was followed.
type Sample struct {
	Partition int32
	Offset    int64
	Acked     time.Time
}

// Pace writes events at rate a second for d and hands every hundredth to seen,
// once Kafka has it.
func (b Backlog) Pace(ctx context.Context, rate float64, d time.Duration, seen func(Sample)) error {
	cl, err := b.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	var (
		mu   sync.Mutex // guards bad
		bad  error
		g    = newGenerator(b.Seed + 1)
		tick = time.NewTicker(10 * time.Millisecond)
		sent int
	)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < d; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		for due := int(rate * min(time.Since(start), d).Seconds()); sent < due; sent++ {
			follow := sent%100 == 0
			cl.Produce(ctx, g.record(time.Now()), func(r *kgo.Record, err error) {
				if err != nil {
					mu.Lock()
					bad = err
					mu.Unlock()
				} else if follow {
					seen(Sample{r.Partition, r.Offset, time.Now()})
				}
			})
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	return bad
}

// generator makes events; a seed always makes the same ones.
type generator struct {
	r     *rand.Rand
	n     uint64
	tails [][]byte // what follows the event's name
}

var (
	benchEvents  = []string{"Product Viewed", "Product Viewed", "Product Viewed", "Product Added", "Order Completed"}
	benchAgents  = []string{"X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "iPhone; CPU iPhone OS 17_5 like Mac OS X"}
	benchLocales = []string{"de-DE", "en-GB", "en-US", "fr-FR", "es-ES", "nl-NL"}
	benchWords   = []string{"rye", "sourdough", "bread", "organic", "whole", "wheat", "spelt", "bun", "baguette", "seed", "walnut", "loaf"}
)

// newGenerator prepares so many contexts and properties that a row group hardly
// sees one twice: making each anew would take longer than what is measured.
func newGenerator(seed uint64) *generator {
	g := &generator{r: rand.New(rand.NewPCG(seed, 1)), tails: make([][]byte, 20_000)} //nolint:gosec // load, no secret
	word := func() string { return pick(g.r, benchWords) }
	for i := range g.tails {
		product := g.r.IntN(5000)
		g.tails[i] = fmt.Appendf(nil, `,"context":{"ip":"10.%d.%d.%d","library":{"name":"millstream-js","version":"0.1.0"},"locale":"%s",`+
			`"page":{"path":"/p/%d","title":"%s %s"},"userAgent":"Mozilla/5.0 (%s) AppleWebKit/537.36"},`+
			`"properties":{"product_id":"SKU-%d","name":"%s %s","price":%d.%02d,"quantity":%d,"currency":"EUR","in_stock":%t,"query":"%s","coupon":null,"tags":["%s","%s"]}}`,
			g.r.IntN(256), g.r.IntN(256), g.r.IntN(256), pick(g.r, benchLocales), product, word(), word(), pick(g.r, benchAgents),
			product, word(), word(), g.r.IntN(90), g.r.IntN(100), 1+g.r.IntN(5), g.r.IntN(10) > 0, word(), word(), word())
	}
	return g
}

func pick(r *rand.Rand, of []string) string { return of[r.IntN(len(of))] }

// record makes the next event with its headers and its key.
func (g *generator) record(at time.Time) *kgo.Record {
	g.n++
	name := pick(g.r, benchEvents)
	id := strconv.FormatUint(g.r.Uint64()|1<<63, 16) + "-" + strconv.FormatUint(g.n, 16)
	user := "user-" + strconv.Itoa(g.r.IntN(200_000))
	stamp := at.UTC().AppendFormat(make([]byte, 0, 24), "2006-01-02T15:04:05.000Z")
	v := append(make([]byte, 0, 900), `{"type":"track","messageId":"`...)
	v = append(append(v, id...), `","userId":"`...)
	v = append(append(v, user...), `","anonymousId":"`...)
	v = strconv.AppendUint(v, g.r.Uint64()|1<<63, 16)
	v = append(append(v, `-9c1e-4b8e-a7c4","event":"`...), name...)
	for _, member := range []string{`","receivedAt":"`, `","timestamp":"`, `","originalTimestamp":"`, `","sentAt":"`} {
		v = append(append(v, member...), stamp...)
	}
	v = append(append(v, '"'), g.tails[g.r.IntN(len(g.tails))]...)
	return &kgo.Record{
		Key: wire.EventKey(nil, "app", user), Value: v, Timestamp: at,
		Headers: wire.AppendEventHeaders[kgo.RecordHeader](nil, wire.EventHeader{
			Source: "app", Type: event.Track, Event: name, MessageID: id, ReceivedAt: at,
		}),
	}
}
