package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

func intCodec() *Codec { return NewCodec([]Part{{Name: "id", Kind: KindInt}}) }

func jsonKey(n int) []byte { return fmt.Appendf(nil, `{"id":%d}`, n) }

func encoded(t *testing.T, tb *Table, n int) []byte {
	t.Helper()
	k, err := tb.Encode(jsonKey(n))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func border(n int) Border { return Border{Text: []string{fmt.Sprint(n)}, Key: jsonKey(n)} }

// setup opens a store in memory; what it returns opens it again as a crash would
// leave it.
func setup(t *testing.T) (*Store, func() *Store) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	must := func(s *Store, err error) *Store {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s := must(open("store", fs))
	return s, func() *Store {
		t.Helper()
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
		return must(open("store", fs))
	}
}

func table(t *testing.T, s *Store) *Table {
	t.Helper()
	tb, err := s.Table("public.orders", "m", intCodec())
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

// model is what a table should hold.
type model struct {
	keys  map[int]Entry
	lows  []int        // of ranges but the first
	dirty map[int]bool // by the range's low end; the first one's is the least int
	at    int64        // the position covered
}

const lowest = -1 << 40

func newModel() *model { return &model{keys: map[int]Entry{}, dirty: map[int]bool{}} }

func (m *model) clone() *model {
	return &model{keys: maps.Clone(m.keys), lows: slices.Clone(m.lows), dirty: maps.Clone(m.dirty), at: m.at}
}

func (m *model) low(key int) int {
	at := lowest
	for _, low := range m.lows {
		if low <= key {
			at = low
		}
	}
	return at
}

func (m *model) step(t *testing.T, r *rand.Rand, tb *Table) {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := r.IntN(200) - 100
	switch n := r.IntN(20); {
	case n < 10:
		e := Entry{Version: ParseVersion(fmt.Sprint(r.Uint32()))}
		if r.IntN(2) == 0 {
			e.Windowed, e.Window = true, int64(r.IntN(7)-3)
		}
		if r.IntN(4) == 0 {
			e.Row = []byte(`{"a":1}`)
		}
		was, known, err := tb.Put(encoded(t, tb, key), e)
		fail(err)
		want, ok := m.keys[key]
		if d := cmp.Diff(want, was, cmp.AllowUnexported(Version{})); d != "" || known != ok {
			t.Fatalf("before put of %d: known %v, want %v: %s", key, known, ok, d)
		}
		m.keys[key] = e
		m.dirty[m.low(key)] = true
	case n < 15:
		_, known, err := tb.Delete(encoded(t, tb, key))
		fail(err)
		if _, ok := m.keys[key]; ok != known {
			t.Fatalf("delete of %d: known %v, want %v", key, known, ok)
		}
		delete(m.keys, key)
		m.dirty[m.low(key)] = true
	case n < 17:
		if slices.Contains(m.lows, key) {
			return
		}
		id := rangeOf(t, tb, key)
		fail(tb.Split(id, border(key)))
		m.dirty[key] = m.dirty[m.low(key)]
		m.lows = append(m.lows, key)
		slices.Sort(m.lows)
	case n < 18 && len(m.lows) > 0:
		i := r.IntN(len(m.lows))
		gone := m.lows[i]
		m.lows = slices.Delete(m.lows, i, i+1)
		into := m.low(gone)
		fail(tb.Merge(rangeOf(t, tb, max(into, -101))))
		m.dirty[into] = m.dirty[into] || m.dirty[gone]
		delete(m.dirty, gone)
	default:
		fail(tb.Compared(rangeOf(t, tb, key), Digest{Rows: 1, Sum: r.Uint64()}))
		m.dirty[m.low(key)] = false
	}
}

func rangeOf(t *testing.T, tb *Table, key int) uint32 {
	t.Helper()
	enc := encoded(t, tb, key)
	for _, r := range tb.Ranges() {
		lo, hi, ok := tb.Bounds(r.ID)
		if ok && bytes.Compare(lo, enc) <= 0 && (hi == nil || bytes.Compare(enc, hi) < 0) {
			return r.ID
		}
	}
	t.Fatalf("no range holds %d", key)
	return 0
}

func (m *model) check(t *testing.T, tb *Table) {
	t.Helper()
	got, windows, last := map[int]Entry{}, map[int]Entry{}, []byte(nil)
	number := func(k []byte) (n int) {
		text, err := tb.Decode(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(string(text), `{"id":%d}`, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := tb.Scan(nil, nil, func(k []byte, e Entry) error {
		if bytes.Compare(last, k) >= 0 {
			t.Fatalf("%x follows %x", k, last)
		}
		last = bytes.Clone(k)
		got[number(k)] = e
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m.keys, got, cmp.AllowUnexported(Version{})); d != "" {
		t.Fatalf("keys differ: %s", d)
	}
	if err := tb.ScanWindow(-3, nil, func(w int64, k []byte) error {
		windows[number(k)] = Entry{Windowed: true, Window: w}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for k, e := range m.keys {
		if w, ok := windows[k]; ok != e.Windowed || w.Window != e.Window {
			t.Fatalf("key %d: window index has %+v, entry %+v", k, w, e)
		}
		delete(windows, k)
	}
	if len(windows) > 0 || tb.Keys() != int64(len(m.keys)) {
		t.Fatalf("%d keys, want %d; in the window index only: %v", tb.Keys(), len(m.keys), windows)
	}
	dirty, lows := map[int]bool{}, []int{}
	for i, r := range tb.Ranges() {
		low := lowest
		if i > 0 {
			low = number(must(tb.Encode(r.Lo.Key)))
			lows = append(lows, low)
		}
		dirty[low] = r.Dirty
	}
	for low, d := range dirty {
		if m.dirty[low] != d {
			t.Fatalf("range from %d: dirty %v, want %v", low, d, m.dirty[low])
		}
	}
	if !slices.Equal(lows, m.lows) {
		t.Fatalf("ranges begin at %v, want %v", lows, m.lows)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// After random writes, commits, restarts and crashes, a store holds what was
// committed when it closed, or a beginning of it, whose position it tells.
func TestStoreIsAPrefixAfterACrash(t *testing.T) {
	t.Parallel()
	for seed := range testSeeds(t, 2) {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		s, crash := setup(t)
		tb, m := table(t, s), newModel()
		history := []*model{m.clone()} // by position
		for range 40 {
			for range r.IntN(30) {
				m.step(t, r, tb)
			}
			m.check(t, tb)
			m.at = int64(len(history))
			tb.Cover("topic", map[int32]int64{0: m.at}, m.at)
			if err := s.Commit(); err != nil {
				t.Fatal(err)
			}
			history = append(history, m.clone())
			switch r.IntN(8) {
			case 0: // lost: whatever was not flushed
				m.step(t, r, tb)
				s = crash()
			case 1: // flushed, then more, then lost
				if err := s.db.Flush(); err != nil {
					t.Fatal(err)
				}
				m.step(t, r, tb)
				s = crash()
				if must := history[len(history)-1].at; covered(table(t, s)) != must {
					t.Fatalf("flushed through %d, and found %d", must, covered(table(t, s)))
				}
			default:
				continue
			}
			tb = table(t, s)
			at := covered(tb)
			m = history[at].clone()
			history = history[:at+1]
			m.check(t, tb)
		}
	}
}

// testSeeds is how many random runs a test makes.
func testSeeds(t *testing.T, otherwise int) int {
	t.Helper()
	text := os.Getenv("MILLSTREAM_TEST_SEEDS")
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("MILLSTREAM_TEST_SEEDS: %v", err)
	}
	return n
}

func covered(tb *Table) int64 {
	_, positions, _ := tb.Covered()
	return positions[0]
}

func TestReplayBesideTheOpenBatch(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	tb := table(t, s)
	other := must(s.Table("public.items", "m", intCodec()))
	tb.BeginReplay()
	for i := range 100 {
		must2(t, tb, i)
	}
	must2(t, other, 1)
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	tb.Cover("topic", map[int32]int64{0: 100}, 1)
	if err := tb.EndReplay(); err != nil {
		t.Fatal(err)
	}
	must2(t, tb, 100)
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if tb.Keys() != 101 || other.Keys() != 1 || covered(tb) != 100 {
		t.Fatalf("%d and %d keys, through %d", tb.Keys(), other.Keys(), covered(tb))
	}
}

func must2(t *testing.T, tb *Table, n int) {
	t.Helper()
	if _, _, err := tb.Put(encoded(t, tb, n), Entry{Version: ParseVersion("7")}); err != nil {
		t.Fatal(err)
	}
}

func TestMergedDigestIsThatOfBoth(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	tb := table(t, s)
	if err := errors.Join(tb.Split(0, border(10)), tb.Compared(0, Digest{3, 5}), tb.Compared(1, Digest{4, 6}), tb.Merge(0)); err != nil {
		t.Fatal(err)
	}
	if r := tb.Ranges(); len(r) != 1 || r[0].Digest != (Digest{7, 3}) || !r[0].Known || r[0].Dirty {
		t.Fatalf("ranges %+v", r)
	}
	if err := tb.SetFormula("16/xmin"); err != nil || tb.Ranges()[0].Known {
		t.Fatalf("another server's digests are known: %v", err)
	}
}

func TestAnotherMeaningBeginsAnew(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	tb := table(t, s)
	must2(t, tb, 1)
	if err := errors.Join(tb.Split(0, border(10)), s.Commit()); err != nil {
		t.Fatal(err)
	}
	again, err := s.Table("public.orders", "another", NewCodec([]Part{{Name: "name", Kind: KindText}}))
	if err != nil || again.Keys() != 0 || len(again.Ranges()) != 1 {
		t.Fatalf("%d keys, %d ranges: %v", again.Keys(), len(again.Ranges()), err)
	}
}

func TestLockedTornAndReopened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := must(Open(dir))
	if _, err := Open(dir); !errors.Is(err, ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
	must2(t, table(t, s), 1)
	if err := errors.Join(s.Commit(), s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = must(Open(dir))
	if s.Lost() || table(t, s).Keys() != 1 || s.Bytes() == 0 {
		t.Fatalf("lost %v, %d keys", s.Lost(), table(t, s).Keys())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tear(t, dir)
	s = must(Open(dir))
	defer func() { _ = s.Close() }()
	if !s.Lost() || table(t, s).Keys() != 0 {
		t.Fatalf("torn store: lost %v, %d keys", s.Lost(), table(t, s).Keys())
	}
}
