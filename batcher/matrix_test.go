//go:build integration && cgo

package batcher_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/testkit"
)

// The matrix on Apache Kafka and a real S3 server: processes are killed at any
// moment, sleep for longer than their session and wake beside their successors,
// become four and one again, and their stores lie, refuse, dawdle and cut, while
// events come, some of them twice or hours late, and rows of a mirrored table in
// transactions of which some are aborted.
func TestMatrixOnRealServices(t *testing.T) {
	w := realWorld(t)
	binary := build(t)
	var all [4]*process
	for i := range all {
		all[i] = w.process(binary, i)
	}
	m := &model{world: w, rnd: rand.New(rand.NewPCG(1, 1)), clock: day, ids: 2000, jumps: 400}
	m.orders = m.mirror("orders", ordersColumns)
	m.orders.client = testkit.KafkaClient(t, w.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(w.kafka.TopicPrefix))
	m.inTransaction(true, func() { m.orders.mark("schema", m.orders.schema) })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { m.traffic(stop) })

	all[0].start()
	untilCommits(t, "one commits", all[0])
	for _, p := range all[1:] { // 1 → 4
		p.start()
	}
	untilCommits(t, "each of four commits", all[:]...)

	for _, p := range all {
		p.trouble.likely.Store(12)
	}
	rnd := rand.New(rand.NewPCG(2, 2))
	all[1].signal(syscall.SIGSTOP)
	asleep := time.Now()
	for range 6 {
		p := all[2+rnd.IntN(2)]
		wait(200 + rnd.IntN(1500))
		p.kill()
		p.start()
	}
	wait(int(time.Until(asleep.Add(9 * time.Second)).Milliseconds())) // its session has ended, its partitions have others
	all[1].signal(syscall.SIGCONT)
	untilCommits(t, "each of four commits again, the zombie too", all[:]...)
	for _, p := range all[1:] { // 4 → 1
		p.trouble.likely.Store(0)
		p.stop()
	}
	all[0].trouble.likely.Store(0)
	untilCommits(t, "the one that is left commits", all[0])

	close(stop)
	wg.Wait()
	m.untilAll()
	all[0].stop()
	w.sound()
	rows := w.sameToAll()
	all[0].verify()
	t.Logf("%d rows", rows)
}

// traffic sends events and changes until it is told to stop.
func (m *model) traffic(stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if n%10 == 0 {
			m.changeOrders()
			continue
		}
		recs := m.records(1 + m.rnd.IntN(10))
		for _, r := range recs {
			r.Topic, r.Partition = m.names.Events(), int32(n%4)
		}
		if err := m.client.ProduceSync(m.t.Context(), recs...).FirstErr(); err != nil && !errors.Is(err, kgo.ErrClientClosed) {
			m.t.Error(fmt.Errorf("produce: %w", err))
			return
		}
	}
}
