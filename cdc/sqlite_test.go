package cdc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// marks returns the poll marks of the orders' topic.
func (s *shop) marks() (out []event.Poll) {
	s.Helper()
	for _, h := range s.topic().headers {
		if h.Kind == wire.KindPoll {
			m, err := wire.DecodePoll(h.Body)
			if err != nil {
				s.Fatal(err)
			}
			out = append(out, m)
		}
	}
	return out
}

func (s *shop) schemas() (out []event.TableSchema) {
	s.Helper()
	for _, h := range s.topic().headers {
		if h.Kind == wire.KindSchema {
			m, err := wire.DecodeTableSchema(h.Body)
			if err != nil {
				s.Fatal(err)
			}
			out = append(out, m)
		}
	}
	return out
}

// A writer holds its transaction across polls: samples fail and the watermark
// waits; what it had stamped before others came arrives when it commits.
func TestSQLiteHorizon(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.edit(func(src *SourceConfig) {
		src.Timeouts.Lock = 10 * time.Millisecond
		for n, c := range src.Tables {
			c.Clock.Skew = Skew{Set: true, By: 100 * time.Millisecond}
			src.Tables[n] = c
		}
	})
	reg := prometheus.NewRegistry()
	stop := s.runWith(reg, nil)
	s.insert(1, "first")
	s.awaitNote(1, "first")
	tx, err := s.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := tx.Exec("INSERT INTO orders (id, note, updated_at) VALUES (2, 'late', ?)", now()); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "samples fail", func() error {
		if n := counted(t, reg, "millstream_cdc_horizon_failures_total", "shop"); n < 3 {
			return fmt.Errorf("%g samples failed", n)
		}
		return nil
	})
	for _, m := range s.marks() {
		if m.CompleteThrough != nil && parseStamp(*m.CompleteThrough).After(began) {
			t.Errorf("watermark %s passed the open transaction's begin %s", *m.CompleteThrough, began)
		}
		if m.Basis != string(basisLock) {
			t.Errorf("basis: got %s, want lock", m.Basis)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	s.awaitNote(2, "late")
	stop()
	s.verify()
}

// Many rows with one stamp fill many pages: the position within them is the key.
func TestManyTies(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	stop := s.run(nil)
	s.insert(1, "first")
	s.awaitNote(1, "first")
	s.exec(`WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO orders SELECT i, 1, 'tie', ? FROM n`, now())
	s.drained()
	stop()
	s.verify()
}

// Whole seconds: rows that come later in the second of the last one are found,
// and rows of that second that were published are not published again.
func TestCoarseStamps(t *testing.T) {
	t.Parallel()
	for name, stamp := range map[string]func() any{
		"text":    func() any { return time.Now().UTC().Format("2006-01-02 15:04:05") },
		"integer": func() any { return time.Now().Unix() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, orders)
			s.edit(func(src *SourceConfig) {
				for n, c := range src.Tables {
					c.Clock.SetBy = byDatabase
					src.Tables[n] = c
				}
			})
			stop := s.run(nil)
			for i := range 15 {
				s.exec("INSERT INTO orders (id, note, updated_at) VALUES (?, 'a', ?)", i, stamp())
				s.awaitNote(i, "a")
			}
			stop()
			s.verify()
		})
	}
}

// A row that becomes again what it was, within one second, is published again.
func TestRowThatReturns(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.run(nil)
	at := now()
	s.exec("INSERT INTO orders (id, note, updated_at) VALUES (1, 'a', ?)", at)
	s.awaitNote(1, "a")
	s.exec("UPDATE orders SET note = 'b'")
	s.awaitNote(1, "b")
	s.exec("UPDATE orders SET note = 'a'")
	s.awaitNote(1, "a")
}

// An id strategy alone, and one beside stamps that may be NULL.
func TestIDs(t *testing.T) {
	t.Parallel()
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		s := setup(t, `CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT)`)
		s.edit(func(src *SourceConfig) { src.Tables = map[string]TableConfig{"orders": polled("", "id")} })
		for range 20 {
			s.exec("INSERT INTO orders (note) VALUES ('old')")
		}
		stop := s.run(nil)
		s.drained()
		for range 20 {
			s.exec("INSERT INTO orders (note) VALUES ('new')")
		}
		s.drained()
		stop()
		s.verify()
	})
	t.Run("beside stamps", func(t *testing.T) {
		t.Parallel()
		s := setup(t, `CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT, updated_at DATETIME); CREATE INDEX orders_updated ON orders (updated_at, id)`)
		s.edit(func(src *SourceConfig) {
			src.Tables = map[string]TableConfig{"main.orders": polled("updated_at", "id")}
		})
		s.exec("INSERT INTO orders (note) VALUES ('old')")
		stop := s.run(nil)
		s.drained()
		s.exec("INSERT INTO orders (note) VALUES ('without a stamp')")
		s.drained()
		s.exec("UPDATE orders SET note = 'stamped', updated_at = ? WHERE id = 1", now())
		s.exec("INSERT INTO orders (note, updated_at) VALUES ('backdated', '2001-01-01 00:00:00')")
		s.drained()
		stop()
		s.verify()
	})
}

// With clock.nulls always rows without a stamp are read by each poll, and
// published when they change.
func TestNullStamps(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT, updated_at DATETIME); CREATE INDEX orders_updated ON orders (updated_at, id)`)
	c := polled("updated_at", "")
	c.Clock.Nulls = nullsAlways
	s.tables(c)
	stop := s.run(nil)
	for i := range 30 {
		s.exec("INSERT INTO orders (id, note) VALUES (?, 'no stamp')", i)
	}
	s.drained()
	s.exec("UPDATE orders SET note = 'changed' WHERE id = 7")
	s.exec("UPDATE orders SET note = 'stamped', updated_at = ? WHERE id = 8", now())
	s.drained()
	stop()
	s.verify()
}

func TestSQLiteSchemaEvents(t *testing.T) {
	t.Parallel()
	t.Run("columns come and go", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		stop := s.run(nil)
		s.insert(1, "a")
		s.awaitNote(1, "a")
		s.exec("ALTER TABLE orders ADD COLUMN vat INTEGER DEFAULT 19")
		want := func(n int, part string) {
			t.Helper()
			testkit.Eventually(t, "the row has the new shape", func() error {
				if got := s.topic().mirror()[orderKey(1)]; !strings.Contains(got, part) || len(s.schemas()) < n {
					return errors.New(got)
				}
				return nil
			})
		}
		want(2, `"vat":19`)
		s.exec("ALTER TABLE orders DROP COLUMN total")
		s.update(1, "b")
		want(3, `{"id":1,"note":"b"`)
		stop()
		all := s.schemas()
		last := all[len(all)-1]
		if last.Version != 3 || !cmp.Equal(last.Dropped, []string{"total"}) {
			t.Errorf("schema mark: got version %d dropped %v, want 3 and total", last.Version, last.Dropped)
		}
		for i, h := range s.topic().headers {
			if h.Kind == wire.KindChange && h.Schema == "" {
				t.Errorf("record %d names no schema", i)
			}
		}
	})
	t.Run("a type changes", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		s.insert(1, "a")
		stop := s.run(nil)
		s.awaitNote(1, "a")
		stop()
		s.exec("DROP TABLE orders")
		s.exec(strings.Replace(orders, "note TEXT", "note INTEGER", 1))
		s.exec("INSERT INTO orders (id, note, updated_at) VALUES (1, 7, '2020-01-01T00:00:00Z')")
		s.run(nil)
		testkit.Eventually(t, "the table is read whole in its new form", func() error {
			rows, last := s.refreshed()
			if last == nil || last.Kind != event.PollFull || last.Publish != publishReplace || !strings.Contains(rows[orderKey(1)], `"note":7`) {
				return fmt.Errorf("mark %+v, rows %v", last, rows)
			}
			return nil
		})
		all := s.schemas()
		if last := all[len(all)-1]; last.Version != 2 || !cmp.Equal(last.Retyped, []string{"note"}) {
			t.Errorf("schema mark: got version %d retyped %v, want 2 and note", last.Version, last.Retyped)
		}
	})
	t.Run("the table is missing, then there", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "CREATE TABLE other (id INTEGER PRIMARY KEY)")
		s.run(nil)
		s.exec(orders)
		s.insert(1, "a")
		s.awaitNote(1, "a")
	})
	t.Run("stamps that do not sort", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		s.exec("INSERT INTO orders (id, updated_at) VALUES (1, '2026-11-21T06:15:02+02:00')")
		s.awaitStopped("cursor_format")
	})
	t.Run("stamps of two classes", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		s.exec("INSERT INTO orders (id, updated_at) VALUES (1, 1795241702), (2, '2026-11-21 06:15:02')")
		s.awaitStopped("cursor_format")
	})
	t.Run("no key", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "CREATE TABLE orders (note TEXT, updated_at DATETIME)")
		s.awaitStopped("no_key")
	})
}

// awaitStopped runs a role until a table is stopped, and wants health, metric
// and check to say so.
func (s *shop) awaitStopped(code string) {
	s.Helper()
	reg := prometheus.NewRegistry()
	stop := s.runWith(reg, nil)
	testkit.Eventually(s.T, "the table stops", func() error {
		if counted(s.T, reg, "millstream_cdc_stopped_tables", "shop") != 1 {
			return errors.New("no table is stopped")
		}
		return nil
	})
	stop()
	if code == "key_changed" {
		return // known from the state only, which check does not read
	}
	var codes []string
	for _, f := range Check(s.Context(), s.cfg) {
		codes = append(codes, f.Code)
		if f.Code == code && (!f.Refused || f.Mend == "") {
			s.Errorf("finding %+v: want a refusal with the way out", f)
		}
	}
	if !strings.Contains(strings.Join(codes, " "), code) {
		s.Errorf("check found %v, want %s", codes, code)
	}
}

func TestSQLiteTypes(t *testing.T) {
	t.Parallel()
	cases := []struct{ declared, value, want, lake, adjusted string }{
		{"INTEGER", "9223372036854775807", "9223372036854775807", "int64", ""},
		{"INT", "'many'", "null", "int64", `"many"`},
		{"BIGINT", "2.5", "null", "int64", `"2.5"`},
		{"REAL", "1.5", "1.5", "float64", ""},
		{"DOUBLE", "1e999", `"Infinity"`, "float64", ""},
		{"BOOLEAN", "1", "true", "bool", ""},
		{"BOOLEAN", "7", "null", "bool", `"7"`},
		{"DECIMAL(10,2)", "'12.3'", `"12.30"`, "decimal(10,2)", ""},
		{"DECIMAL(10,2)", "'12.345'", "null", "decimal(10,2)", `"12.345"`},
		{"NUMERIC(4,0)", "99999", "null", "decimal(4,0)", `"99999"`},
		{"NUMERIC", "12", `"12"`, "string", ""},
		{"DATE", "'2026-11-21'", "20778", "date", ""},
		{"DATE", "'soon'", "null", "date", `"soon"`},
		{"DATETIME", "'2026-11-21 06:15:02'", `"2026-11-21T06:15:02Z"`, "timestamp", ""},
		{"TIMESTAMP", "'2026-11-21T08:15:02.5+02:00'", `"2026-11-21T06:15:02.5Z"`, "timestamp", ""},
		{"TIMESTAMP", "1795241702", `"2026-11-21T06:15:02Z"`, "timestamp", ""},
		{"TIMESTAMP", "'2026-11-21 06:15:02.123456789'", `"2026-11-21T06:15:02.123456Z"`, "timestamp", `"2026-11-21 06:15:02.123456789"`},
		{"JSON", `'{"a":1.10}'`, `"{\"a\":1.10}"`, "json", ""},
		{"JSON", `'{"a":"\u0000"}'`, `"{\"a\":\"\\ufffd\"}"`, "json", "told"},
		{"JSON", "'no json'", "null", "json", `"no json"`},
		{"BLOB", "x'00ff'", `"AP8="`, "bytes", ""},
		{"TEXT", `'a"b\c'`, `"a\"b\\c"`, "string", ""},
		{"TEXT", "CAST(x'61ff62' AS TEXT)", `"a�b"`, "string", "told"},
		{"TEXT", "replace(hex(zeroblob(40000)), '0', 'x')", "null", "string", "told"},
		{"VARCHAR(10)", "'x'", `"x"`, "string", ""},
		{"WHATEVER", "'x'", `"x"`, "string", ""},
	}
	ddl, values := "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT, updated_at DATETIME", ""
	for i, c := range cases {
		ddl += fmt.Sprintf(", c%d %s, n%d %s", i, c.declared, i, c.declared)
		values += ", " + c.value + ", NULL"
	}
	s := setup(t, ddl+")")
	s.exec("INSERT INTO orders VALUES (1, 'x', '" + now() + "'" + values + ")")
	stop := s.run(nil)
	s.awaitNote(1, "x")
	stop()

	got, lake := s.topic(), map[string]string{}
	for _, c := range s.schemas()[0].Columns {
		lake[c.Name] = c.Lake
	}
	var after, adjusted map[string]json.RawMessage
	for i, h := range got.headers {
		if h.Kind == wire.KindChange {
			if err := errors.Join(json.Unmarshal(got.changes[i].After, &after), json.Unmarshal(got.changes[i].Source.Adjusted, &adjusted)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, c := range cases {
		name := fmt.Sprintf("c%d", i)
		var want, have any
		if err := errors.Join(json.Unmarshal([]byte(c.want), &want), json.Unmarshal(after[name], &have)); err != nil {
			t.Fatal(err)
		}
		told := string(adjusted[name])
		if c.adjusted == "told" && strings.Contains(told, "sha256") {
			told = "told"
		}
		if diff := cmp.Diff(want, have); diff != "" || lake[name] != c.lake || told != c.adjusted {
			t.Errorf("%s %s: got %s as %s adjusted %s, want %s as %s adjusted %s", c.declared, c.value, after[name], lake[name], told, c.want, c.lake, c.adjusted)
		}
		if n := string(after[fmt.Sprintf("n%d", i)]); n != "null" {
			t.Errorf("%s NULL: got %s", c.declared, n)
		}
	}
	letters := map[string]event.Code{}
	for _, r := range s.records(s.kafka.Names().Rejected()) {
		d := wire.ParseRejected(r.Headers, r.Value)
		col, _ := wire.Find(r.Headers, "column")
		letters[string(col)] = d.Code
	}
	want := map[string]event.Code{"c18": event.CodeInvalidUTF8, "c22": event.CodeInvalidUTF8, "c23": event.CodeValueTooLarge}
	if diff := cmp.Diff(want, letters); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}
