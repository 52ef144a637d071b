package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/testkit"
)

// tortured is a database under torture, with a table orders whose rows have an
// id, a counter that each change raises, and a stamp. It is the seam between
// databases: the writers, the pollers' troubles and the oracles are the same.
type tortured interface {
	// session opens a session for one writer.
	session() tortureSession
	// rows reads the committed rows: counters by id.
	rows() (map[int64]int64, error)
	// above is the page of a naive poller: rows whose stamp is above the text and
	// at least delay old, oldest first, and the last one's stamp; "" is below all.
	above(stamp string, delay time.Duration) (rows []tortureRow, last string, err error)
}

type tortureRow struct{ id, counter int64 }

// tortureSession is a writer's session. A statement that fails has rolled the
// transaction back.
type tortureSession interface {
	// begin begins a transaction and returns the moment that stamps of its
	// statements may have, or its begin where stamps are later.
	begin() (time.Time, error)
	// insert adds a row with counter 1; without a stamp if bare.
	insert(bare bool) (id int64, err error)
	// update raises the counter of a row; 0 if there is none.
	update(id int64, stamped bool) (counter int64, err error)
	delete(id int64) (found bool, err error)
	savepoint() error
	release() error
	rollbackTo() error
	rollback() error
	commit() error
	// chain commits, and begins a transaction that returns as begin does. A
	// database without COMMIT AND CHAIN commits and begins.
	chain() (time.Time, error)
	// prepare makes the transaction a prepared one, and returns how to end it. A
	// database without them returns errNotPrepared, and the transaction goes on.
	prepare() (end func(commit bool) error, err error)
	close()
}

var errNotPrepared = errors.New("this database prepares no transactions")

// tortureChange is what a transaction did to a row.
type tortureChange struct {
	id, counter int64
	stamped     bool // its stamp was set
	insert      bool
}

// tortureTx is a transaction that has committed.
type tortureTx struct {
	begin   time.Time
	changes []tortureChange
	deleted []int64
}

// torture is a run of writers against a database.
type torture struct {
	*shop
	db      tortured
	writers int
	seed    uint64
	sources map[string]guarantee

	mu      sync.Mutex // guards what follows
	log     []tortureTx
	ids     []int64 // of committed rows, some of which are gone
	deleted map[int64]bool
	marked  map[string]int // marks that oracle (b) has compared, by source
}

// guarantee is what section 2 of the specification promises of a source's strategies.
type guarantee struct {
	strategies []StrategyConfig
	inserts    bool // also of rows without a stamp
	stamped    bool // updates that set the stamp, and inserts that do
	updates    bool // all updates
	deletes    bool
}

func (p guarantee) covers(c tortureChange) bool {
	if c.insert {
		return p.inserts || p.stamped && c.stamped
	}
	return p.updates || p.stamped && c.stamped
}

// tortureTime is how long writers write: MILLSTREAM_TEST_TORTURE says it, 10m in
// the long run.
func tortureTime(t *testing.T, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("MILLSTREAM_TEST_TORTURE")
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("MILLSTREAM_TEST_TORTURE: %v", err)
	}
	return d
}

// run lets writers write and pollers poll, with their troubles, for d; then it
// waits until everything that was promised has arrived, and asks the oracles.
func (w *torture) run(d time.Duration, beside ...func(ctx context.Context)) {
	w.Helper()
	w.deleted, w.marked = map[int64]bool{}, map[string]int{}
	ctx, cancel := context.WithTimeout(w.Context(), d)
	defer cancel()
	pollers := w.pollers()
	naive := w.naive(ctx)
	var writing sync.WaitGroup
	for i := range w.writers {
		writing.Go(func() { w.write(ctx, i) })
	}
	for _, f := range beside {
		writing.Go(func() { f(ctx) })
	}
	pollers.trouble(ctx)
	writing.Wait()
	want, err := w.db.rows()
	if err != nil {
		w.Fatal(err)
	}
	for _, name := range sortedKeys(w.sources) {
		testkit.Eventually(w.T, "source "+name+" is drained", func() error { return w.drained(name, want) })
	}
	pollers.stop()
	for _, name := range sortedKeys(w.sources) {
		w.judge(name)
	}
	w.judgeNaive(naive())
}

// write is a writer. The first one holds every transaction for 9 s.
func (w *torture) write(ctx context.Context, n int) {
	rnd := rand.New(rand.NewPCG(w.seed, uint64(n))) //nolint:gosec // a seed
	for ctx.Err() == nil {
		s := w.db.session()
		for ctx.Err() == nil {
			if w.transact(ctx, s, rnd, n == 0) != nil {
				break // a new session: this one may be anywhere
			}
		}
		s.close()
	}
}

// transact runs transactions until one ends without a chain.
func (w *torture) transact(ctx context.Context, s tortureSession, rnd *rand.Rand, long bool) error {
	begin, err := s.begin()
	if err != nil {
		return err
	}
	for {
		tx := tortureTx{begin: begin}
		if rnd.IntN(20) == 0 {
			doze(ctx, rnd, 3*time.Second)
		}
		for range 1 + rnd.IntN(5) {
			if err := w.step(s, rnd, &tx); err != nil {
				_ = s.rollback() // the session may be gone
				return nil       //nolint:nilerr // a deadlock or a lock that was waited for too long
			}
		}
		if long {
			doze(ctx, nil, 9*time.Second)
		} else {
			doze(ctx, rnd, 40*time.Millisecond)
		}
		switch what := rnd.IntN(20); {
		case what < 2:
			return s.rollback()
		case what < 4 && ctx.Err() == nil:
			if begin, err = s.chain(); err != nil {
				return err
			}
			w.committed(tx)
			continue
		case what < 6:
			end, err := s.prepare()
			if errors.Is(err, errNotPrepared) {
				break
			} else if err != nil {
				return err
			}
			doze(ctx, rnd, 2*time.Second)
			keep := rnd.IntN(5) > 0
			if err := end(keep); err != nil || !keep {
				return err
			}
			w.committed(tx)
			return nil
		}
		if err := s.commit(); err != nil {
			return err
		}
		w.committed(tx)
		return nil
	}
}

// doze sleeps for a random time, or for all of it without rnd.
func doze(ctx context.Context, rnd *rand.Rand, most time.Duration) {
	if rnd != nil {
		most = rand.N(most) //nolint:gosec // any time does
	}
	select {
	case <-time.After(most):
	case <-ctx.Done():
	}
}

// step is a statement, in three of ten cases in a savepoint.
func (w *torture) step(s tortureSession, rnd *rand.Rand, tx *tortureTx) error {
	if rnd.IntN(10) >= 3 {
		return w.change(s, rnd, tx)
	}
	if err := s.savepoint(); err != nil {
		return err
	}
	changes, deleted := len(tx.changes), len(tx.deleted)
	if err := w.change(s, rnd, tx); err != nil {
		return err
	}
	if rnd.IntN(5) > 0 {
		return s.release()
	}
	tx.changes, tx.deleted = tx.changes[:changes], tx.deleted[:deleted]
	return s.rollbackTo()
}

func (w *torture) change(s tortureSession, rnd *rand.Rand, tx *tortureTx) error {
	what := rnd.IntN(100)
	id := w.anyID(rnd)
	switch {
	case what < 55 || id == 0:
		bare := rnd.IntN(30) == 0
		id, err := s.insert(bare)
		tx.changes = append(tx.changes, tortureChange{id: id, counter: 1, stamped: !bare, insert: true})
		return err
	case what < 88:
		stamped := rnd.IntN(10) > 0
		counter, err := s.update(id, stamped)
		if counter > 0 {
			tx.changes = append(tx.changes, tortureChange{id: id, counter: counter, stamped: stamped})
		}
		return err
	}
	found, err := s.delete(id)
	if found {
		tx.deleted = append(tx.deleted, id)
	}
	return err
}

// anyID is a committed row's id, more often a young one's; 0 without rows.
func (w *torture) anyID(rnd *rand.Rand) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.ids)
	switch {
	case n == 0:
		return 0
	case rnd.IntN(2) == 0:
		return w.ids[n-1-rnd.IntN(min(n, 50))]
	}
	return w.ids[rnd.IntN(n)]
}

func (w *torture) committed(tx tortureTx) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, tx)
	for _, c := range tx.changes {
		if c.insert {
			w.ids = append(w.ids, c.id)
		}
	}
	for _, id := range tx.deleted {
		w.deleted[id] = true
	}
}

// poller is a process that polls. It dies or sleeps when its steps say so.
type poller struct {
	w      *torture
	number int
	last   *generation
}

type generation struct {
	dead   atomic.Bool
	asleep atomic.Bool
	wake   chan struct{}
	cancel context.CancelFunc
	done   chan error
}

func (w *torture) pollers() *poller {
	p := &poller{w: w}
	p.start()
	return p
}

// start begins a process in a group of its own, as if Kafka had given it the leases.
func (p *poller) start() {
	g := &generation{wake: make(chan struct{}), done: make(chan error, 1)}
	cfg := p.w.cfg
	cfg.Group.Name = fmt.Sprintf("torture-%d", p.number)
	cfg.DataDir = p.w.TempDir() // another machine, whose key stores are built from the topic
	p.number++
	r, err := New(cfg, p.w.kafka, testkit.Log(p.w.T), prometheus.NewRegistry())
	if err != nil {
		p.w.Fatal(err)
	}
	r.step = func(string) error {
		if g.asleep.Load() {
			<-g.wake
		}
		if g.dead.Load() {
			return errCrash
		}
		return nil
	}
	ctx, cancel := context.WithCancel(p.w.Context())
	g.cancel, p.last = cancel, g
	go func() { g.done <- r.Run(ctx) }()
}

func (p *poller) end(g *generation) {
	g.cancel()
	if err := <-g.done; err != nil {
		p.w.Errorf("poller: %v", err)
	}
}

// trouble kills the process, or puts it to sleep until another has taken its
// place, every few seconds until ctx ends.
func (p *poller) trouble(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(p.w.seed, 99)) //nolint:gosec // a seed
	for {
		doze(ctx, nil, 4*time.Second+time.Duration(rnd.IntN(5000))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		g := p.last
		if rnd.IntN(2) == 0 {
			g.dead.Store(true)
			doze(ctx, nil, 300*time.Millisecond)
			p.end(g)
			p.start()
			continue
		}
		g.asleep.Store(true)
		p.start()
		doze(ctx, nil, 3*time.Second)
		close(g.wake)
		doze(ctx, nil, 500*time.Millisecond)
		p.end(g)
	}
}

func (p *poller) stop() { p.end(p.last) }

// naive runs the pollers that everybody writes, which remember the largest stamp
// seen, and returns how to end them and get the mirror of each.
func (w *torture) naive(ctx context.Context) func() map[time.Duration]map[int64]int64 {
	out := map[time.Duration]map[int64]int64{}
	var polling sync.WaitGroup
	for _, delay := range []time.Duration{0, time.Second, 5 * time.Second} {
		mirror := map[int64]int64{}
		out[delay] = mirror
		polling.Go(func() {
			last := ""
			for ends := (time.Time{}); ends.IsZero() || time.Now().Before(ends); {
				if ends.IsZero() && ctx.Err() != nil {
					ends = time.Now().Add(delay + 2*time.Second) // all that it may ever see
				}
				rows, at, err := w.db.above(last, delay)
				if err != nil {
					w.Errorf("naive poller: %v", err)
					return
				}
				for _, r := range rows {
					mirror[r.id] = max(mirror[r.id], r.counter)
				}
				if len(rows) > 0 {
					last = at
				}
				doze(w.Context(), nil, 300*time.Millisecond)
			}
		})
	}
	return func() map[time.Duration]map[int64]int64 { polling.Wait(); return out }
}

// lost counts rows whose last stamped change a naive mirror does not have.
func (w *torture) lost(mirror map[int64]int64) (lost, of int) {
	last := map[int64]int64{}
	for _, tx := range w.log {
		for _, c := range tx.changes {
			if c.stamped {
				last[c.id] = max(last[c.id], c.counter)
			}
		}
	}
	maps.DeleteFunc(last, func(id, _ int64) bool { return w.deleted[id] })
	for id, counter := range last {
		if mirror[id] < counter {
			lost++
		}
	}
	return lost, len(last)
}

// judgeNaive is oracle (d): a run in which the simplest poller loses nothing was
// too gentle to prove anything.
func (w *torture) judgeNaive(mirrors map[time.Duration]map[int64]int64) {
	w.Helper()
	for _, delay := range slices.Sorted(maps.Keys(mirrors)) {
		lost, of := w.lost(mirrors[delay])
		w.Logf("a poller of stamps > max that waits %s lost %d of %d rows", delay, lost, of)
		if delay == 0 && lost == 0 {
			w.Errorf("a poller of stamps > max lost nothing of %d rows: the run was too gentle", of)
		}
	}
	w.Logf("%d transactions, %d rows, %d of them deleted; marks compared: %v", len(w.log), len(w.ids), len(w.deleted), w.marked)
}
