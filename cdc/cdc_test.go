package cdc

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestRowsReachTheTopic(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	for i := range 30 {
		s.exec("INSERT INTO orders (id, total, note, updated_at) VALUES (?, '12.3', 'old', '2020-01-01 00:00:00')", i)
	}
	stop := s.run(nil)
	s.awaitNote(29, "old")
	s.insert(100, "new")
	s.awaitNote(100, "new")
	s.update(3, "changed")
	s.awaitNote(3, "changed")
	stop()

	got := s.topic()
	if diff := cmp.Diff(s.origin(), got.notes()); diff != "" {
		t.Errorf("mirror differs (-origin +mirror):\n%s", diff)
	}
	if got.headers[0].Kind != wire.KindSchema {
		t.Errorf("the first record is of kind %s, want the schema mark", got.headers[0].Kind)
	}
	for v, n := range got.versions() {
		if n != 1 {
			t.Errorf("version %s was published %d times", v, n)
		}
	}
	var loads []string
	for _, h := range got.headers {
		if h.Kind != wire.KindPoll {
			continue
		}
		m, err := wire.DecodePoll(h.Body)
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == event.PollLoad {
			loads = append(loads, m.State)
			if m.State == "completed" && (m.Rows != 30 || m.CompleteThrough == nil) {
				t.Errorf("load mark: got %+v, want 30 rows and a watermark", m)
			}
		}
	}
	if diff := cmp.Diff([]string{"started", "completed"}, loads); diff != "" {
		t.Errorf("marks of the load (-want +got):\n%s", diff)
	}
}

// A load that a crash interrupts goes on behind its last committed page, with
// the same poll.
func TestLoadGoesOn(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.cfg.Transaction.Records = 1 // a transaction a page
	for i := range 100 {
		s.exec("INSERT INTO orders (id, note, updated_at) VALUES (?, 'old', '2020-01-01 00:00:00')", i)
	}
	step, crashed := crashAt("committed", 8)
	stop := s.run(step)
	<-crashed
	stop()
	before := len(s.topic().mirror())
	stop = s.run(nil)
	s.drained()
	testkit.Eventually(t, "the load is complete", func() error {
		if m := s.marks(); len(m) == 0 || m[len(m)-1].State != "completed" {
			return errors.New("no mark yet")
		}
		return nil
	})
	stop()
	s.verify()
	if before == 0 || before == 100 {
		t.Errorf("%d of 100 rows were published before the crash, so nothing was interrupted", before)
	}
	polls := map[string]bool{}
	for _, m := range s.marks() {
		if m.Kind == event.PollLoad {
			polls[m.Poll] = true
			if m.State == "completed" && m.Rows != 100 {
				t.Errorf("the mark counts %d rows, want 100", m.Rows)
			}
		}
	}
	if len(polls) != 1 {
		t.Errorf("marks of the load name %d polls, want 1", len(polls))
	}
}

// The envelope of a change, to the byte but for clocks and names.
func TestEnvelopeGolden(t *testing.T) {
	t.Parallel()
	p := &plan{source: "shop", kind: kindPostgres, name: "public.orders", cfg: TableConfig{Clock: ClockConfig{SetBy: byDatabase}}, rel: relation{schema: "public", table: "orders"}}
	env := &envelope{
		p: p, db: "shop", topic: "millstream.changes.shop.public.orders", partitions: 1, schema: "51d0e3aa90b1c2d3", strategy: "incremental",
		poll: "01jd3x9k2m7q8r5t6v0w1y2z3a", snapshot: "false", sequence: wire.Sequence(7, 4512), read: time.UnixMicro(1795241703480117),
	}
	got, err := env.record(&row{key: []byte(`{"id":42}`), after: []byte(`{"id":42,"total":"12.30"}`), version: "7321", xmin: 7321, stamp: 1795241702113402})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"before":null,"after":{"id":42,"total":"12.30"},` +
		`"source":{"version":"0.1.0","connector":"postgresql","name":"shop","ts_ms":1795241702113,"ts_us":1795241702113402,"ts_ns":1795241702113402000,"snapshot":"false","db":"shop",` +
		`"sequence":"[\"7\",\"4512\"]","schema":"public","table":"orders","txId":7321,"lsn":null,"xmin":7321,"strategy":"incremental","poll":"01jd3x9k2m7q8r5t6v0w1y2z3a"},` +
		`"transaction":null,"op":"r","ts_ms":1795241703480,"ts_us":1795241703480117,"ts_ns":1795241703480117000}`
	if diff := cmp.Diff(want, string(got.Value)); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}
}

// MySQL's envelope has no schema, and the members of its log, of which a poller
// knows nothing.
func TestEnvelopeGoldenMySQL(t *testing.T) {
	t.Parallel()
	p := &plan{source: "shop", kind: kindMariaDB, name: "shop.orders", rel: relation{schema: "shop", table: "orders"}}
	env := &envelope{p: p, db: "ignored", strategy: "incremental", poll: "01jd3x9k2m7q8r5t6v0w1y2z3a", snapshot: "false", sequence: wire.Sequence(7, 4512), read: time.UnixMicro(1795241703480117), partitions: 1}
	got, err := env.record(&row{key: []byte(`{"id":42}`), after: []byte(`{"id":42}`)})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"before":null,"after":{"id":42},"source":{"version":"0.1.0","connector":"mariadb","name":"shop","ts_ms":1795241703480,"ts_us":1795241703480117,"ts_ns":1795241703480117000,` +
		`"snapshot":"false","db":"shop","sequence":"[\"7\",\"4512\"]","table":"orders","txId":null,"lsn":null,"xmin":null,"strategy":"incremental","poll":"01jd3x9k2m7q8r5t6v0w1y2z3a",` +
		`"server_id":0,"gtid":null,"file":"","pos":0,"row":0,"thread":null,"query":null},"transaction":null,"op":"r","ts_ms":1795241703480,"ts_us":1795241703480117,"ts_ns":1795241703480117000}`
	if diff := cmp.Diff(want, string(got.Value)); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}
}

// Partitions agree with Kafka's own clients: the vectors are of its Java tests
// (org.apache.kafka.common.utils.UtilsTest).
func TestPartitionsAreKafkas(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829, "abc": 479470107} {
		if got := int32(murmur2([]byte(text))); got != want { //nolint:gosec // two's complement
			t.Errorf("murmur2(%q): got %d, want %d", text, got, want)
		}
	}
}
