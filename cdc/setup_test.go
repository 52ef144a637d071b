package cdc

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// shop is an application with its database, a broker, and roles that poll.
type shop struct {
	*testing.T
	broker *local.Kafka
	kafka  kafka.Config
	cfg    Config
	file   string
	db     *sql.DB
}

const orders = `CREATE TABLE orders (id INTEGER PRIMARY KEY, total DECIMAL(10,2), note TEXT, updated_at DATETIME NOT NULL);
CREATE INDEX orders_updated ON orders (updated_at, id);`

// setup creates a shop whose orders are polled every 20 ms.
func setup(t *testing.T, ddl string) *shop {
	t.Helper()
	broker, k := testkit.Kafka(t)
	s := &shop{T: t, broker: broker, kafka: k, file: filepath.Join(t.TempDir(), "shop.db")}
	s.db = s.open()
	s.exec("PRAGMA journal_mode = WAL")
	s.exec(ddl)
	s.cfg = DefaultConfig()
	s.cfg.DataDir = t.TempDir()
	s.cfg.Group.SessionTimeout = 6 * time.Second
	s.cfg.Transaction.Linger = 10 * time.Millisecond
	var src SourceConfig
	src.SetDefaults()
	src.Kind, src.DSN = kindSQLite, config.Secret("file:"+s.file)
	src.Horizon.Slack, src.Horizon.Settle = 0, 50*time.Millisecond
	src.Breaker.Min = 10 * time.Millisecond
	src.Page.Start, src.Page.Min = 7, 5
	src.Tables = map[string]TableConfig{"main.orders": polled("updated_at", "")}
	s.cfg.Sources = map[string]SourceConfig{"shop": src}
	return s
}

func polled(stamp, id string) TableConfig {
	var c TableConfig
	c.SetDefaults()
	var st StrategyConfig
	st.SetDefaults()
	st.Name, st.ID, st.Every = st.Kind, id, 20*time.Millisecond
	if stamp != "" {
		st.Timestamp = Columns{stamp}
	}
	c.Strategies = []StrategyConfig{st}
	return c
}

// edit changes the configuration of the source.
func (s *shop) edit(f func(*SourceConfig)) {
	src := s.cfg.Sources["shop"]
	f(&src)
	s.cfg.Sources["shop"] = src
}

func (s *shop) open() *sql.DB {
	s.Helper()
	db, err := sql.Open("sqlite", "file:"+s.file+"?_pragma=busy_timeout(30000)&_txlock=immediate")
	if err != nil {
		s.Fatal(err)
	}
	db.SetMaxOpenConns(4)
	s.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *shop) exec(text string, args ...any) {
	s.Helper()
	if _, err := s.db.Exec(text, args...); err != nil {
		s.Fatalf("%s: %v", text, err)
	}
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

// insert adds an order with the stamp of the moment.
func (s *shop) insert(id int, note string) {
	s.Helper()
	s.exec("INSERT INTO orders (id, total, note, updated_at) VALUES (?, '12.3', ?, ?)", id, note, now())
}

func (s *shop) update(id int, note string) {
	s.Helper()
	s.exec("UPDATE orders SET note = ?, updated_at = ? WHERE id = ?", note, now(), id)
}

// run starts a role and returns the way to stop it, which waits.
func (s *shop) run(step func(string) error) (stop func()) {
	s.Helper()
	return s.runWith(prometheus.NewRegistry(), step)
}

func (s *shop) runWith(reg *prometheus.Registry, step func(string) error) (stop func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error, 1)
	r, err := New(s.cfg, s.kafka, testkit.Log(s.T), reg)
	if err != nil {
		s.Fatal(err)
	}
	r.step = step
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			s.Errorf("run: %v", err)
		}
	}
	s.Cleanup(stop)
	return stop
}

// seen is what a consumer that reads committed records has of a topic.
type seen struct {
	headers []wire.ChangeHeader
	changes []event.Change // of changes; zero for marks
	keys    []string
}

// topic reads the committed records of the orders' topic.
func (s *shop) topic() seen { return s.topicOf("main", "orders") }

func (s *shop) topicOf(schema, table string) seen {
	s.Helper()
	var out seen
	for _, r := range s.records(s.kafka.Names().Changes("shop", schema, table)) {
		h, err := wire.ParseChangeHeaders(r.Headers)
		if err != nil {
			s.Fatal(err)
		}
		var c event.Change
		if h.Kind == wire.KindChange && r.Value == nil {
			continue // a tombstone follows each delete
		}
		if h.Kind == wire.KindChange {
			if c, err = wire.DecodeChange(r.Value); err != nil {
				s.Fatal(err)
			}
		}
		out.headers, out.changes, out.keys = append(out.headers, h), append(out.changes, c), append(out.keys, string(r.Key))
	}
	return out
}

// records reads every committed record of a topic, partition by partition.
func (s *shop) records(topic string) []*kgo.Record {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	cl, err := kafka.NewClient(s.kafka, testkit.Log(s.T), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		s.Fatal(err)
	}
	defer cl.Close()
	log, err := kafka.DescribeLog(ctx, cl, topic, true)
	if err != nil {
		return nil // not created yet
	}
	next := log.Start
	var out []*kgo.Record
	for slices.ContainsFunc(sortedParts(log.End), func(p int32) bool { return next[p] < log.End[p] }) {
		f := cl.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			s.Fatalf("read %s: %v", topic, err)
		}
		f.EachRecord(func(r *kgo.Record) {
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() && r.Offset < log.End[r.Partition] {
				out = append(out, r)
			}
		})
	}
	return out
}

func sortedParts(m map[int32]int64) []int32 {
	var out []int32
	for p := range m {
		out = append(out, p)
	}
	return out
}

// mirror is the last state of each key, as a consumer would hold it.
func (v seen) mirror() map[string]string {
	out := map[string]string{}
	for i, h := range v.headers {
		switch {
		case h.Kind == wire.KindChange && h.Op == event.OpDelete:
			delete(out, v.keys[i])
		case h.Kind == wire.KindChange:
			out[v.keys[i]] = string(v.changes[i].After)
		}
	}
	return out
}

// versions counts how often each version of a row was published by polls.
func (v seen) versions() map[string]int {
	out := map[string]int{}
	for i, h := range v.headers {
		if h.Kind == wire.KindChange && h.Strategy == kindIncremental {
			out[v.keys[i]+" "+h.Version]++
		}
	}
	return out
}

// notes is the column note of each order's last state, by key.
func (v seen) notes() map[string]string {
	out := map[string]string{}
	for k, after := range v.mirror() {
		var row struct{ Note any }
		if err := json.Unmarshal([]byte(after), &row); err != nil {
			panic(err)
		}
		if row.Note != nil {
			out[k] = fmt.Sprint(row.Note)
		}
	}
	return out
}

func orderKey(id int) string { return fmt.Sprintf(`{"id":%d}`, id) }

// awaitNote waits until the mirror shows the note of an order.
func (s *shop) awaitNote(id int, want string) {
	s.Helper()
	testkit.Eventually(s.T, fmt.Sprintf("order %d reaches the topic", id), func() error {
		if got := s.topic().notes()[orderKey(id)]; got != want {
			return fmt.Errorf("note of order %d: got %q, want %q", id, got, want)
		}
		return nil
	})
}

// origin is the table's content as the mirror should have it.
func (s *shop) origin() map[string]string {
	s.Helper()
	out := map[string]string{}
	rows, err := s.db.Query("SELECT id, coalesce(note, '') FROM orders")
	if err != nil {
		s.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		var note string
		if err := rows.Scan(&id, &note); err != nil {
			s.Fatal(err)
		}
		out[orderKey(id)] = note
	}
	if err := errors.Join(rows.Err()); err != nil {
		s.Fatal(err)
	}
	return out
}
