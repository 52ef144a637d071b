//go:build integration

package cdc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/cdc/keystore"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

var reconciled = StrategyConfig{Kind: kindReconcile, Name: kindReconcile, Digest: wordAuto, Scan: wordAuto, Budget: 1, Publish: publishDiff}

// setupReconcile polls orders by stamp, and compares ranges of a few keys.
func setupReconcile(t *testing.T, ddl string, strategies ...StrategyConfig) *pgShop {
	t.Helper()
	s := setupPG(t, ddl)
	c := polledBy(append(strategies, reconciled)...)
	c.Store.Range = 10
	s.edit(func(src *SourceConfig) { src.Tables = map[string]TableConfig{s.schema + ".orders": c} })
	return s
}

// table is the origin's rows as text, by key.
func (s *pgShop) table() map[string]string {
	s.Helper()
	r := s.conn.ExecParams(s.Context(), "SELECT json_build_object('id', id)::text, note FROM orders", nil, nil, nil, nil).Read()
	if r.Err != nil {
		s.Fatal(r.Err)
	}
	out := map[string]string{}
	for _, v := range r.Rows {
		out[strings.ReplaceAll(string(v[0]), " ", "")] = string(v[1])
	}
	return out
}

func (s *pgShop) reconciled() {
	s.Helper()
	testkit.Eventually(s.T, "the mirror equals the origin", func() error {
		if diff := cmp.Diff(s.table(), s.changes().notes()); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// Random operations of which incremental sees a part: reconcile finds the rest.
func TestReconcile(t *testing.T) {
	t.Parallel()
	s := setupReconcile(t, pgOrders, polled("updated_at", "").Strategies[0])
	s.sql("INSERT INTO orders SELECT i, 'a' FROM generate_series(1, 200) i")
	reg := prometheus.NewRegistry()
	stop := s.runWith(reg, nil)
	s.reconciled()
	rnd := rand.New(rand.NewPCG(1, 5))
	for range 12 {
		for range 10 {
			id := rnd.IntN(300)
			switch rnd.IntN(5) {
			case 0:
				s.sql(fmt.Sprintf("INSERT INTO orders VALUES (%d, 'new') ON CONFLICT DO NOTHING", id))
			case 1:
				s.sql(fmt.Sprintf("UPDATE orders SET note = 'silent %d' WHERE id = %d", rnd.Uint32(), id))
			case 2:
				s.sql(fmt.Sprintf("DELETE FROM orders WHERE id BETWEEN %d AND %d", id, id+rnd.IntN(12)))
			case 3:
				s.sql(fmt.Sprintf("UPDATE orders SET id = id + 1000 WHERE id = %d", id))
			case 4:
				s.sql(fmt.Sprintf("INSERT INTO orders SELECT i, 'many' FROM generate_series(%d, %d) i ON CONFLICT DO NOTHING", id, id+40))
			}
		}
		s.reconciled()
	}
	s.sql("DELETE FROM orders")
	s.reconciled()
	stop()
	if n := counted(t, reg, "millstream_cdc_ranges_total", rangeEqual); n == 0 {
		t.Error("no range was found equal by its digest")
	}
}

// One poll publishes all that changed, however little of it a page has room for:
// its mark says that the table is complete. So it is behind a lost store.
func TestReconcileReadsRangesWhole(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"kept": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupReconcile(t, pgOrders, polled("updated_at", "").Strategies[0])
			s.edit(func(src *SourceConfig) {
				src.Page.Max = 50
				c := src.Tables[s.schema+".orders"]
				c.Store.Range = 250
				src.Tables[s.schema+".orders"] = c
			})
			s.sql("INSERT INTO orders SELECT i, 'a' FROM generate_series(1, 600) i")
			stop := s.run(nil)
			s.reconciled()
			stop()
			if lost {
				s.remove(s.cfg.DataDir)
			}
			s.sql("UPDATE orders SET note = 'silent' WHERE id > 1")
			stop = s.run(nil)
			s.reconciled()
			stop()
			got, polls := s.changes(), map[string]int{} // incremental repeats what its overlap holds
			for i, h := range got.headers {
				if h.Kind == wire.KindChange && h.Strategy == kindReconcile && strings.Contains(string(got.changes[i].After), "silent") {
					polls[h.Poll]++
				}
			}
			if len(polls) != 1 {
				t.Errorf("reconcile's rows by poll: %v, want one poll", polls)
			}
			for _, h := range got.headers {
				var m event.Poll
				if h.Kind != wire.KindPoll || json.Unmarshal(h.Body, &m) != nil || m.Strategy != kindReconcile {
					continue
				}
				if m.Live == nil || *m.Live != 600 {
					t.Errorf("a poll counts other than 600 rows: %s", h.Body)
				}
			}
		})
	}
}

// A row that is inserted, published and deleted between two digests leaves the
// digest as it was: its range is dirty.
func TestDirtyRange(t *testing.T) {
	t.Parallel()
	s := setupReconcile(t, pgOrders, polled("updated_at", "").Strategies[0])
	s.sql("INSERT INTO orders SELECT i, 'a' FROM generate_series(1, 50) i")
	stop := s.run(nil)
	s.reconciled()
	stop()
	s.edit(func(src *SourceConfig) { // reconcile does not run before the row is gone
		c := src.Tables[s.schema+".orders"]
		c.Strategies[1].Every = 1 << 50
		src.Tables[s.schema+".orders"] = c
	})
	stop = s.run(nil)
	s.sql("INSERT INTO orders (id, note) VALUES (1000, 'brief')")
	s.await(1000, "brief")
	stop()
	s.sql("DELETE FROM orders WHERE id = 1000")
	s.edit(func(src *SourceConfig) {
		c := src.Tables[s.schema+".orders"]
		c.Strategies[1].Every = c.Strategies[0].Every
		src.Tables[s.schema+".orders"] = c
	})
	stop = s.run(nil)
	s.reconciled()
	stop()
	if ops := s.changes().ops(orderKey(1000)); !strings.HasSuffix(ops, "d") {
		t.Errorf("operations %s", ops)
	}
}

func TestKeyChange(t *testing.T) {
	t.Parallel()
	s := setupReconcile(t, pgOrders, polled("updated_at", "").Strategies[0])
	s.sql("INSERT INTO orders SELECT i, 'a' FROM generate_series(1, 30) i")
	stop := s.run(nil)
	s.reconciled()
	s.sql("UPDATE orders SET id = 31 WHERE id = 7; DELETE FROM orders WHERE id = 8")
	s.sql("INSERT INTO orders (id, note) VALUES (8, 'again')")
	s.reconciled()
	s.sql("UPDATE orders SET id = 7 WHERE id = 31")
	s.reconciled()
	stop()
}

// Keys of every kind, ordered and not, through load, digest and probe.
func TestReconcileKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ kind, from string }{
		"smallint": {"smallint", "(i - 40)::smallint"}, "uuid": {"uuid", "md5(i::text)::uuid"}, "bytea": {"bytea", "decode(md5(i::text), 'hex')"},
		"date": {"date", "'1999-12-01'::date + i"}, "timestamp": {"timestamp", "'1969-12-31'::timestamp + i * interval '61 minutes 7 microseconds'"},
		"timestamptz": {"timestamptz", "'0001-01-01 BC'::timestamptz + i * interval '61 minutes'"}, "C": {`text COLLATE "C"`, `chr(33 + i) || '"\\' || i`},
		"collated": {"text", "CASE WHEN i % 2 = 0 THEN 'a' ELSE 'A' END || i"}, "numeric": {"numeric(10,2)", "i * 1.5 - 40"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupReconcile(t, fmt.Sprintf("CREATE TABLE orders (id %s PRIMARY KEY, note text)", c.kind))
			s.sql(fmt.Sprintf("INSERT INTO orders SELECT %s, 'n' || i FROM generate_series(1, 90) i", c.from))
			stop := s.run(nil)
			notes := func() map[string]bool {
				r := s.conn.ExecParams(s.Context(), "SELECT note FROM orders", nil, nil, nil, nil).Read()
				out := map[string]bool{}
				for _, v := range r.Rows {
					out[string(v[0])] = true
				}
				return out
			}
			await := func() {
				t.Helper()
				testkit.Eventually(t, "the mirror equals the origin", func() error {
					got := map[string]bool{}
					for _, n := range s.changes().notes() {
						got[n] = true
					}
					if diff := cmp.Diff(notes(), got); diff != "" {
						return errors.New(diff)
					}
					return nil
				})
			}
			await()
			s.sql("DELETE FROM orders WHERE note IN ('n1', 'n2', 'n45', 'n90'); UPDATE orders SET note = 'changed' WHERE note = 'n30'")
			await()
			stop()
			s.ordered()
		})
	}
}

// ordered checks that encoded keys compare as the server's, where they are said to.
func (s *pgShop) ordered() {
	s.Helper()
	o, err := newPostgres("shop", s.cfg.Sources["shop"])
	if err != nil {
		s.Fatal(err)
	}
	defer o.close()
	ctx := context.Background()
	rel, err := o.describe(ctx, s.schema, "orders", nil)
	if err != nil {
		s.Fatal(err)
	}
	p, err := newPlan("shop", kindPostgres, s.schema+".orders", s.cfg.Sources["shop"].Tables[s.schema+".orders"], rel)
	if err != nil {
		s.Fatal(err)
	}
	pg, err := o.read(ctx, p.keysOnly(), query{kind: queryRange})
	if err != nil {
		s.Fatal(err)
	}
	codec := keystore.NewCodec(p.keyParts())
	var last []byte
	for _, r := range pg.rows {
		key, err := codec.Append(nil, r.key)
		if err != nil {
			s.Fatal(err)
		}
		if codec.Ordered() && bytes.Compare(last, key) >= 0 {
			s.Errorf("%s sorts behind its predecessor at the server, %x and not %x", r.key, last, key)
		}
		last = key
		if back, err := codec.Decode(key); err != nil || !bytes.Equal(back, r.key) {
			s.Errorf("%s came back as %s, %v", r.key, back, err)
		}
	}
}

func TestPostgresBoundedDiff(t *testing.T) {
	t.Parallel()
	s := setupPG(t, pgOrders)
	c := polledBy(StrategyConfig{Kind: kindBounded, Name: kindBounded, Publish: publishDiff, Column: "updated_at", Window: Window{By: time.Hour}})
	s.edit(func(src *SourceConfig) { src.Tables = map[string]TableConfig{s.schema + ".orders": c} })
	s.sql("INSERT INTO orders SELECT i, 'a' FROM generate_series(1, 40) i")
	stop := s.run(nil)
	s.reconciled()
	s.sql("DELETE FROM orders WHERE id BETWEEN 7 AND 21; UPDATE orders SET note = 'silent' WHERE id = 30; UPDATE orders SET updated_at = '2020-01-01' WHERE id = 31")
	s.reconciled()
	stop()
	if ops := s.changes().ops(orderKey(31)); strings.Contains(ops, "d") {
		t.Errorf("the row that left the window was published as %s", ops)
	}
}
