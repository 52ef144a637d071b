package batcher_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/batcher"
	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

// Batchers that share a group, and twins that take themselves for the owners of
// everything, are started, stopped, killed and put to sleep at random, and at
// every step that is durable; their stores and their broker lie, drop, cut and
// dawdle, and the log's clock jumps. Whatever happens, every offset is in one
// commit and became what the rules say.
//
// MILLSTREAM_TEST_SEEDS is how many seeds are run (make test: 12 with the race
// detector, which makes one four times as dear, and 100 without); a seed that fails
// says how to run it alone.
func TestChainModel(t *testing.T) {
	t.Parallel()
	slots := make(chan struct{}, 24) // they wait most of the time
	var wg sync.WaitGroup
	for seed := range seeds(t) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("again: MILLSTREAM_TEST_SEEDS=%d go test -race -count=20 -run 'TestChainModel/^%d$' ./batcher", seed+1, seed)
					}
				})
				newModel(t, seed).run()
			})
		})
	}
	wg.Wait()
}

func seeds(tb testing.TB) uint64 {
	tb.Helper()
	text := os.Getenv("MILLSTREAM_TEST_SEEDS")
	if text == "" {
		return 12
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		tb.Fatalf("MILLSTREAM_TEST_SEEDS: %v", err)
	}
	return n
}

// model is a world with its troubles.
type model struct {
	*world
	seed   uint64
	rnd    *rand.Rand
	likely int64         // of a hundred calls to the store so many go wrong
	calm   atomic.Bool   // nothing goes wrong any more
	puts   chan struct{} // rung when a commit is put
	lives  [5]*life      // the last two are twins: each takes itself for the owner of everything
	born   uint64
	clock  time.Time // of the log
	ids    int       // message ids of a source
	jumps  int       // every so many records the clock leaps, and falls back as often
	orders *mirrored // nil: no topic of changes
}

// life is a batcher from its start to its end, with its own way to the store.
type life struct {
	*running
	trouble *trouble
}

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	m := &model{world: newWorld(t), seed: seed, rnd: rand.New(rand.NewPCG(seed, 11)), puts: make(chan struct{}, 1), clock: day, ids: 15, jumps: 20}
	m.dedup = dedup.Config{Window: time.Hour, MaxRecords: 10}
	m.likely = []int64{2, 5, 10}[m.rnd.IntN(3)]
	if m.rnd.IntN(4) == 0 {
		m.breakKafka()
	}
	if m.rnd.IntN(3) == 0 {
		m.orders = m.mirror("orders", []mirrorColumn{{Name: "id", Origin: "bigint", Form: "number", Lake: "int64", Warehouse: "BIGINT", Key: 1}})
		if m.rnd.IntN(2) == 0 {
			m.orders.client = testkit.KafkaClient(t, m.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("cdc"))
		}
		m.inTransaction(true, func() { m.orders.mark("schema", m.orders.schema) })
	}
	return m
}

func (m *model) run() {
	m.t.Helper()
	m.start(0)
	m.start(len(m.lives) - 1)
	m.send(0, m.records(5)...)
	m.untilCommit(5 * time.Second) // both are at work now
	for range 10 {
		if m.orders != nil && m.rnd.IntN(3) == 0 {
			m.changeOrders()
		} else {
			m.send(int32(m.rnd.IntN(2)), m.records(1+m.rnd.IntN(10))...)
		}
		switch i := m.rnd.IntN(len(m.lives)); {
		case m.lives[i] == nil:
			m.start(i)
		case m.lives[i].trouble.dead.Load() || m.rnd.IntN(3) == 0:
			m.end(i)
		default:
			m.lives[i].trouble.sleep(m.rnd.IntN(400))
		}
		m.untilCommit(time.Second)
		wait(m.rnd.IntN(40))
	}
	for i := range m.lives {
		if m.lives[i] != nil {
			m.end(i)
		}
	}
	m.likely = 0
	m.calm.Store(true)
	m.start(0) // what is left is done by one that nothing troubles
	m.untilAll()
	m.end(0)
	m.sound()
}

// start begins a life.
func (m *model) start(i int) {
	m.t.Helper()
	m.born++
	tr := newTrouble(m.seed*100+m.born, m.t.Error)
	tr.likely.Store(m.likely)
	g := m.gate()
	g.set(tr.meddle)
	cfg := quick(m.t)
	cfg.Disk.Dir = filepath.Join(m.t.TempDir(), "spool")
	cfg.RevokeBudget = 200 * time.Millisecond
	cfg.Cut.Age = []time.Duration{20, 80, 200}[m.rnd.IntN(3)] * time.Millisecond
	cfg.Cut.Rows = []int64{5, 20, 1000}[m.rnd.IntN(3)]
	cfg.DrainTimeout = time.Duration(m.rnd.IntN(2)) * 300 * time.Millisecond
	if i >= len(m.lives)-2 {
		cfg.Group = "twin-" + strconv.Itoa(i)
	}
	l := &life{trouble: tr, running: m.begin(cfg, g.lake)}
	tr.kill = l.cancel
	tr.puts = m.puts
	m.lives[i] = l
}

func (m *model) begin(cfg batcher.Config, l *lake.Lake) *running {
	return m.startDeps(cfg, batcher.Deps{Kafka: m.kafka, Lake: l, Dedup: m.dedup, Version: "test", Log: quiet})
}

// untilCommit waits until somebody puts a commit, but not for long: it may be
// that nobody can.
func (m *model) untilCommit(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-m.puts:
	case <-timer.C:
	}
}

// end stops a life, one in two as a power cut does: nothing of it reaches the
// store any more.
func (m *model) end(i int) {
	m.t.Helper()
	if m.likely > 0 && m.rnd.IntN(2) == 0 {
		m.lives[i].trouble.dead.Store(true)
	}
	m.lives[i].stop(m.t)
	m.lives[i] = nil
}

// untilAll waits until each chain has reached the last record of its log.
func (m *model) untilAll() {
	m.t.Helper()
	topics := []string{m.names.Events()}
	if m.orders != nil {
		topics = append(topics, m.orders.topic)
	}
	for _, topic := range topics {
		recs, _ := m.log(topic)
		for p, of := range recs {
			id, last := lake.ChainID{Topic: topic, Partition: p}, of[len(of)-1].Offset
			testkit.Eventually(m.t, fmt.Sprintf("%s is committed beyond %d", id, last), func() error {
				c, _, err := m.lake.Last(m.t.Context(), id, -1)
				if err == nil && c.Next <= last {
					err = fmt.Errorf("its position is %d", c.Next)
				}
				return err
			})
		}
	}
}

// records makes n records: most are events, some come twice within the window
// and outside it, and some can become no row.
func (m *model) records(n int) []*kgo.Record {
	out := make([]*kgo.Record, n)
	for i := range out {
		switch m.rnd.IntN(m.jumps) {
		case 0:
			m.clock = m.clock.Add(time.Duration(20+m.rnd.IntN(60)) * time.Minute)
		case 1:
			m.clock = m.clock.Add(-time.Duration(m.rnd.IntN(180)) * time.Minute)
		default:
			m.clock = m.clock.Add(time.Second)
		}
		source, id := []string{"app", "shop"}[m.rnd.IntN(2)], "m-"+strconv.Itoa(m.rnd.IntN(m.ids))
		r := track(source, id, "Event "+strconv.Itoa(m.rnd.IntN(2)), m.clock, fmt.Sprintf(`{"n":%s}`, oddValue(m.rnd)))
		switch m.rnd.IntN(30) {
		case 0:
			r.Value = r.Value[:len(r.Value)-1]
		case 1:
			r.Headers = append(r.Headers[:4:4], r.Headers[5:]...) // no message id
		case 2:
			r = eventRecord(source, "identify", "", id, m.clock.Add(-3*time.Hour), `{"type":"identify","traits":{"age":41}}`)
		}
		r.Timestamp = m.clock
		out[i] = r
	}
	return out
}

func (m *model) changeOrders() {
	m.t.Helper()
	m.inTransaction(m.rnd.IntN(3) > 0, func() {
		for range 1 + m.rnd.IntN(4) {
			switch m.rnd.IntN(6) {
			case 0:
				m.orders.change("r", `{"id":1,"unheard_of":1}`)
			case 1:
				m.orders.produce(&kgo.Record{Key: []byte(`{"id":1}`), Headers: m.orders.headers("d")}) // a tombstone
			default:
				m.orders.change("c", m.orderRow())
			}
		}
	})
}

// orderRow is a row with as many columns as the table has.
func (m *model) orderRow() string {
	id := m.rnd.IntN(100)
	if len(m.orders.schema.Columns) == 1 {
		return fmt.Sprintf(`{"id":%d}`, id)
	}
	return fmt.Sprintf(`{"id":%d,"Total":"%d.%02d","due":%d,"at":"2026-11-21T06:15:02.%06dZ","local_at":%d,"blob":"AQI=","doc":"{\\"a\\":%d}","ok":true,"rate":%d.5,"small":-7}`,
		id, m.rnd.IntN(1e7)-5e6, id, 20776-id, id, 1795241702113402+int64(id), id, id)
}

// inTransaction does what cdc does in one transaction, which may be aborted.
func (m *model) inTransaction(commit bool, do func()) {
	m.t.Helper()
	cl := m.orders.client
	if cl == m.client {
		do()
		return
	}
	err := cl.BeginTransaction()
	if err == nil {
		do()
		err = cl.EndTransaction(m.t.Context(), kgo.TransactionEndTry(commit))
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func wait(milliseconds int) {
	timer := time.NewTimer(time.Duration(milliseconds) * time.Millisecond)
	<-timer.C
}
