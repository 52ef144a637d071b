package cdc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

var fullDiff = StrategyConfig{Kind: kindFull, Name: kindFull, Publish: publishDiff}

// diffed creates a shop whose orders are compared with the key store.
func diffed(t *testing.T, ddl string, more ...StrategyConfig) *shop {
	s := setup(t, ddl)
	s.tables(polledBy(append([]StrategyConfig{fullDiff}, more...)...))
	return s
}

// mirrored waits until the mirror has the origin's rows and no other.
func (s *shop) mirrored() {
	s.Helper()
	testkit.Eventually(s.T, "the mirror equals the origin", func() error {
		if diff := cmp.Diff(s.origin(), s.topic().notes()); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// ops are the operations of a key's changes, in the order of offsets.
func (v seen) ops(key string) (out string) {
	for i, h := range v.headers {
		if h.Kind == wire.KindChange && v.keys[i] == key {
			out += string(h.Op)
		}
	}
	return out
}

func TestDiffFindsDeletesAndSilentUpdates(t *testing.T) {
	t.Parallel()
	s := diffed(t, orders)
	for i := range 30 {
		s.insert(i, "a")
	}
	reg := prometheus.NewRegistry()
	stop := s.runWith(reg, nil)
	s.mirrored()
	s.exec("UPDATE orders SET note = 'silent' WHERE id = 3")
	s.exec("DELETE FROM orders WHERE id IN (0, 7, 29)")
	s.mirrored()
	s.insert(7, "back")
	s.mirrored()
	s.exec("UPDATE orders SET id = 100 WHERE id = 5")
	s.mirrored()
	stop()
	got := s.topic()
	for id, want := range map[int]string{1: "c", 3: "cr", 0: "cd", 7: "cdc", 29: "cd", 5: "cd", 100: "c"} {
		if ops := got.ops(orderKey(id)); ops != want {
			t.Errorf("order %d: operations %s, want %s", id, ops, want)
		}
	}
	for i, h := range got.headers {
		if h.Op == event.OpDelete && (string(got.changes[i].Before) != got.keys[i] || got.changes[i].After != nil) {
			t.Errorf("delete of %s: before %s, after %s", got.keys[i], got.changes[i].Before, got.changes[i].After)
		}
	}
	if n := counted(t, reg, "millstream_cdc_deletes_found_total", kindFull); n != 4 {
		t.Errorf("%v deletes are counted, want 4", n)
	}
}

// With store.rows every update and delete tells the row before.
func TestRowsBefore(t *testing.T) {
	t.Parallel()
	s := diffed(t, orders)
	s.edit(func(src *SourceConfig) {
		c := src.Tables["main.orders"]
		c.Store.Rows = true
		src.Tables["main.orders"] = c
	})
	s.insert(1, "first")
	stop := s.run(nil)
	s.awaitNote(1, "first")
	s.exec("UPDATE orders SET note = 'second' WHERE id = 1")
	s.awaitNote(1, "second")
	stop()
	stop = s.run(nil) // what rows were comes from the topic, too
	s.exec("DELETE FROM orders WHERE id = 1")
	s.mirrored()
	stop()
	got := s.topic()
	if ops := got.ops(orderKey(1)); ops != "cud" {
		t.Fatalf("operations %s, want cud", ops)
	}
	last := ""
	for i, h := range got.headers {
		if h.Kind != wire.KindChange {
			continue
		}
		if before := string(got.changes[i].Before); before != last && last != "" {
			t.Errorf("%s: before %s, want %s", h.Op, before, last)
		}
		last = string(got.changes[i].After)
	}
}

// Keys that the store does not order as the origin are probed one by one.
func TestCollatedKeys(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE TABLE orders (id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, note TEXT);`)
	s.tables(polledBy(fullDiff))
	for i := range 700 {
		s.exec("INSERT INTO orders VALUES (?, 'a')", fmt.Sprintf("k%d", i))
	}
	s.exec("INSERT INTO orders VALUES ('a', 'x')")
	stop := s.run(nil)
	await := func(want map[string]string, rows int) {
		t.Helper()
		testkit.Eventually(t, "the mirror follows", func() error {
			notes := s.topic().notes()
			if len(notes) != rows {
				return fmt.Errorf("%d rows, want %d", len(notes), rows)
			}
			for k, v := range want {
				if got := notes[`{"id":"`+k+`"}`]; got != v {
					return fmt.Errorf("%s is %q, want %q", k, got, v)
				}
			}
			return nil
		})
	}
	await(map[string]string{"a": "x"}, 701)
	s.exec("UPDATE orders SET id = 'A', note = 'y' WHERE id = 'a'")
	s.exec("DELETE FROM orders WHERE id IN ('k699', 'k0')")
	await(map[string]string{"A": "y", "a": "", "k0": "", "k699": ""}, 699)
	stop()
}

// Whatever happens to the key store, no delete is missed.
func TestKeyStoreRebuild(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		harm func(s *shop, dir string)
	}{
		{"lost", func(s *shop, dir string) { s.remove(dir) }},
		{"torn", func(s *shop, dir string) {
			names, err := filepath.Glob(filepath.Join(dir, "shop", "0", "MANIFEST*"))
			if err != nil || len(names) == 0 {
				s.Fatal(names, err)
			}
			for _, n := range names {
				if err := os.WriteFile(n, []byte("torn"), 0o600); err != nil {
					s.Fatal(err)
				}
			}
		}},
		{"behind", func(s *shop, dir string) {
			behind := filepath.Join(s.TempDir(), "copy")
			if err := os.CopyFS(behind, os.DirFS(dir)); err != nil {
				s.Fatal(err)
			}
			stop := s.run(nil)
			s.exec("DELETE FROM orders WHERE id = 1")
			s.insert(50, "later")
			s.exec("UPDATE orders SET note = 'later' WHERE id = 2")
			s.mirrored()
			stop()
			s.remove(dir)
			if err := os.CopyFS(dir, os.DirFS(behind)); err != nil {
				s.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := diffed(t, orders, polled("updated_at", "").Strategies[0])
			for i := range 20 {
				s.insert(i, "a")
			}
			stop := s.run(nil)
			s.mirrored()
			stop()
			c.harm(s, s.cfg.DataDir)
			before := len(s.topic().headers)
			s.exec("DELETE FROM orders WHERE id IN (3, 50)")
			s.insert(60, "new")
			stop = s.run(nil)
			s.mirrored()
			stop()
			got := s.topic()
			seen := map[string]bool{}
			for i, h := range got.headers {
				// Another strategy may publish once what one has published.
				version := fmt.Sprint(h.Strategy, got.keys[i], h.Op, h.Version)
				if key := got.keys[i]; i >= before && h.Kind == wire.KindChange && seen[version] && key != orderKey(3) && key != orderKey(50) && key != orderKey(60) {
					t.Errorf("%s of %s by %s, which did not change", h.Op, key, h.Strategy)
				}
				seen[version] = true
			}
		})
	}
}

func (s *shop) remove(dir string) {
	s.Helper()
	if err := os.RemoveAll(dir); err != nil {
		s.Fatal(err)
	}
}

// Random operations, with kills at every step: after it the mirror is the
// origin, and no version was published twice by the diff.
func TestDiffKillModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := diffed(t, orders, polled("updated_at", "").Strategies[0])
			rnd := rand.New(rand.NewPCG(seed, 11))
			steps := []string{"rows", "cursor", "handed", "flush", "commit", "committed"}
			for range 5 {
				step, crashed := crashAt(steps[rnd.IntN(len(steps))], 1+rnd.IntN(9))
				stop := s.run(step)
				for over := false; !over; {
					s.disturb(rnd)
					select {
					case <-crashed:
						over = true
					case <-time.After(2 * time.Millisecond):
					}
				}
				stop()
				if rnd.IntN(3) == 0 {
					s.remove(s.cfg.DataDir)
				}
			}
			stop := s.run(nil)
			s.mirrored()
			stop()
		})
	}
}

func (s *shop) disturb(rnd *rand.Rand) {
	s.Helper()
	id := rnd.IntN(60)
	switch rnd.IntN(4) {
	case 0:
		s.exec("INSERT OR REPLACE INTO orders VALUES (?, '1', ?, ?)", id, fmt.Sprint(rnd.Uint32()), now())
	case 1:
		s.exec("UPDATE orders SET note = ? WHERE id = ?", fmt.Sprint(rnd.Uint32()), id)
	case 2:
		s.exec("DELETE FROM orders WHERE id = ?", id)
	case 3:
		s.exec("UPDATE OR IGNORE orders SET id = ? WHERE id = ?", rnd.IntN(60), id)
	}
}
