package batcher_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// Lag is that of the next record to read, by when ingest received it, also
// while nothing is taken in.
func TestLagIsOfTheNextRecord(t *testing.T) {
	w := setup(t)
	g := w.gate()
	away := storeAway(g)
	w.send(0, noise(1, 2500)...)
	r := w.startWith(tight(quick(t)), g.lake)
	testkit.Eventually(t, "intake is paused", r.pausedFor(t, "store"))
	w.send(0, noise(2, 100)...) // nothing of these is fetched
	want := time.Since(day).Seconds()
	testkit.Eventually(t, "lag is known", func() error {
		offsets, seconds := r.gauge(t, "millstream_batcher_lag_offsets"), r.gauge(t, "millstream_batcher_lag_seconds")
		if offsets < 100 || offsets > 2600 || seconds < want || seconds > want+600 {
			return fmt.Errorf("%v offsets, %v seconds, want about %v", offsets, seconds, want)
		}
		return nil
	})
	away.Store(false)
	w.until(w.names.Events(), 0, 2600)
	testkit.Eventually(t, "there is none", func() error {
		if offsets, seconds := r.gauge(t, "millstream_batcher_lag_offsets"), r.gauge(t, "millstream_batcher_lag_seconds"); offsets != 0 || seconds != 0 {
			return fmt.Errorf("%v offsets, %v seconds", offsets, seconds)
		}
		return nil
	})
}

// The end of a transaction is an offset without a record: behind the last one
// it is no lag.
func TestEndOfTransactionIsNoLag(t *testing.T) {
	w := setup(t)
	topic := w.names.ChangesPrefix() + "shop.public.orders"
	if err := kafka.EnsureTopics(t.Context(), w.kafka, w.client, kafka.Topic{Name: topic, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	tx := testkit.KafkaClient(t, w.kafka, kgo.TransactionalID("tx"))
	send := func(recs ...*kgo.Record) {
		t.Helper()
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := tx.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := tx.EndTransaction(context.Background(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	mark := wire.AppendChangeHeaders[kgo.RecordHeader](nil, wire.ChangeHeader{Source: "shop", Kind: wire.KindChange, Table: "public.orders"})
	send(&kgo.Record{Topic: topic, Headers: mark}, &kgo.Record{Topic: topic, Headers: mark})
	r := w.start(quick(t))
	w.until(topic, 0, 2)
	testkit.Eventually(t, "the marker is read", func() error {
		if n := r.counter(t, "millstream_batcher_lag_offsets", "topic", topic); n != 0 {
			return fmt.Errorf("a lag of %v offsets", n)
		}
		return nil
	})
	send(&kgo.Record{Topic: topic, Headers: mark})
	commits := w.until(topic, 0, 4)
	w.sound()
	if got := sum(commits); got.records != 3 || got.holes != 1 {
		t.Errorf("totals %+v", got)
	}
}

// A partition that is added to a topic is read within seconds, from its first record.
func TestAddedPartitionsAreRead(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	w.send(0, w.tracks(5)...)
	w.until(w.names.Events(), 0, 5)
	if _, err := kadm.NewClient(w.client).UpdatePartitions(t.Context(), 3, w.names.Events()); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the new partition takes records", func() error {
		w.client.PurgeTopicsFromClient(w.names.Events()) // or it would believe in two for minutes
		recs := w.tracks(1)
		recs[0].Topic, recs[0].Partition = w.names.Events(), 2
		return w.client.ProduceSync(t.Context(), recs...).FirstErr()
	})
	if got := sum(w.until(w.names.Events(), 2, 1)); got.rows != 1 {
		t.Errorf("totals %+v", got)
	}
	w.sound()
}
