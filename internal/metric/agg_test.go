package metric

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

func every() []*Metric {
	return []*Metric{
		{Name: "count", Kind: Count},
		{Name: "sum", Kind: Sum, Scale: 2},
		{Name: "min", Kind: Min, Scale: 2},
		{Name: "max", Kind: Max, Scale: 2},
		{Name: "avg", Kind: Avg, Scale: 2},
		{Name: "uniques", Kind: Uniques, Exact: MinExact},
	}
}

// TestMergeOrderInvariance splits a stream in any way, merges in any order and
// by way of bytes or not, and wants equal bytes.
func TestMergeOrderInvariance(t *testing.T) {
	t.Parallel()
	for _, m := range every() {
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a seeded test
			n := []int{0, 1, 900, 1024, 1025, 4000}[rng.IntN(6)]
			whole := m.NewState()
			parts := make([]*State, 1+rng.IntN(9))
			for i := range parts {
				parts[i] = m.NewState()
			}
			for i := range n {
				v, minus := int64(xxhash.Sum64String(fmt.Sprint(i))), rng.IntN(5) == 0 //nolint:gosec // any bits will do
				must(t, whole.Add(v, minus))
				must(t, parts[rng.IntN(len(parts))].Add(v, minus))
				if m.Kind == Uniques && rng.IntN(3) == 0 { // seen elsewhere too
					must(t, parts[rng.IntN(len(parts))].Add(v, minus))
				}
			}
			for len(parts) > 1 {
				i := rng.IntN(len(parts) - 1)
				if rng.IntN(2) == 0 {
					back, err := m.DecodeState(parts[i].Append(nil))
					must(t, err)
					parts[i] = back
				}
				must(t, parts[i].Merge(parts[i+1]))
				parts = append(parts[:i+1], parts[i+2:]...)
			}
			if got, want := parts[0].Append(nil), whole.Append(nil); !bytes.Equal(got, want) {
				t.Fatalf("%s, seed %d, %d values: %d bytes merged, %d whole, and they differ", m.Kind, seed, n, len(got), len(want))
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestHLLError wants the root of the mean squared relative error to be that of
// theory, 1.04/√m, at every size, the passage from set to registers included.
func TestHLLError(t *testing.T) {
	t.Parallel()
	const want = 1.04 / 181.0193359837562 // √32768
	runs := 60
	if testing.Short() || raceEnabled {
		runs = 12
	}
	for _, size := range []int{1025, 5000, 20_000, 50_000, 80_000, 100_000, 150_000, 300_000} {
		sum := 0.0
		for run := range runs {
			rng := rand.New(rand.NewPCG(uint64(run), uint64(size))) //nolint:gosec // a seeded test
			u := &uniques{exact: MinExact}
			for range size {
				u.add(rng.Uint64())
			}
			got, exact := u.estimate()
			if exact {
				t.Fatalf("%d values are said to be exact", size)
			}
			d := (got - float64(size)) / float64(size)
			sum += d * d
		}
		rmse := math.Sqrt(sum / float64(runs))
		if slack := 1 + 3/math.Sqrt(2*float64(runs)); rmse > want*slack { // three standard errors of a standard error
			t.Errorf("at %d values the error is %.3f%%, want at most %.3f%%", size, 100*rmse, 100*want*slack)
		}
	}
}

func TestUniquesAreExactUpToTheBound(t *testing.T) {
	t.Parallel()
	m := &Metric{Kind: Uniques, Exact: MinExact}
	s := m.NewState()
	for i := range 2 * MinExact {
		must(t, s.Add(int64(xxhash.Sum64String(fmt.Sprint(i%MinExact))), false)) //nolint:gosec // any bits will do
	}
	if r := m.Result(s); r.Decimal != "1024" || r.Method != "exact" || !r.Exact() {
		t.Fatalf("got %+v", r)
	}
	must(t, s.Add(7, false))
	if r := m.Result(s); r.Method != "hll15" || r.Exact() {
		t.Fatalf("got %+v", r)
	}
}

func TestRounding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		scale int
		want  string // "" does not fit
	}{
		{"1.005", 2, "1.01"},
		{"-1.005", 2, "-1.01"},
		{"1.004999", 2, "1.00"},
		{"1.0049999", 2, "1.01"}, // by way of 1.005000
		{"0.0000004", 2, "0.00"},
		{"0.0000005", 6, "0.000001"},
		{"-0.0000005", 6, "-0.000001"},
		{"2.5", 0, "3"},
		{"-2.5", 0, "-3"},
		{"0.5", 0, "1"},
		{"0.49", 0, "0"},
		{"99.995", 2, "100.00"},
		{"999999999.999999999", 9, "999999999.999999999"},
		{"9.9999999999", 9, "10.000000000"},
		{"1e3", 2, "1000.00"},
		{"12345e-2", 2, "123.45"},
		{"92233720368547758.07", 2, "92233720368547758.07"},
		{"92233720368547758.08", 2, ""},
		{"1e400", 0, ""},
		{"-1e400", 0, ""},
		{"1e-400", 2, "0.00"},
		{"0e9999999999", 2, "0.00"},
		{"123456789012345", 0, "123456789012345"},
		{"0.1", 9, "0.100000000"},
		{"00012.50", 2, "12.50"},
		{"-0", 2, "0.00"},
		{"0." + strings.Repeat("4", 60), 0, "0"},
		{"0." + strings.Repeat("9", 60), 0, "1"},
		{"1" + strings.Repeat("0", 60), 0, ""},
	} {
		d, ok := parseDecimal([]byte(c.text))
		if !ok {
			t.Errorf("%s is no number", c.text)
			continue
		}
		v, fits := d.scaled(c.scale)
		switch {
		case fits != (c.want != ""):
			t.Errorf("%s at %d fits: %v", c.text, c.scale, fits)
		case fits && decimalText(bigOf(v), c.scale) != c.want:
			t.Errorf("%s at %d is %s, want %s", c.text, c.scale, decimalText(bigOf(v), c.scale), c.want)
		}
	}
	for _, s := range []string{"", "-", ".5", "5.", "1e", "1e+", "--1", "1x", " 1", "0x10", "NaN", "Infinity", "1_000"} {
		if _, ok := parseDecimal([]byte(s)); ok {
			t.Errorf("%q is taken for a number", s)
		}
	}
	if _, ok := parseNumberText([]byte("1e3")); ok {
		t.Error("a text with an exponent is taken for a number")
	}
}

func bigOf(v int64) *big.Int { return Int128Of(v).Big() }

// TestRoundingAgainstBig compares with rational arithmetic.
func TestRoundingAgainstBig(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 3)) //nolint:gosec // a seeded test
	for range 20_000 {
		text := fmt.Sprintf("%d.%0*d", rng.Int64N(1<<rng.IntN(50)), 1+rng.IntN(12), rng.Int64N(1_000_000_000))
		if rng.IntN(2) == 0 {
			text = "-" + text
		}
		scale := rng.IntN(MaxScale + 1)
		want, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatal(text)
		}
		for _, places := range []int{max(6, scale), scale} {
			want.Mul(want, new(big.Rat).SetInt(pow10(places)))
			want.SetFrac(divRound(want.Num(), want.Denom()), pow10(places))
		}
		want.Mul(want, new(big.Rat).SetInt(pow10(scale)))
		d, _ := parseDecimal([]byte(text))
		got, fits := d.scaled(scale)
		if fits != want.Num().IsInt64() || fits && got != want.Num().Int64() {
			t.Fatalf("%s at %d is %d (%v), want %s", text, scale, got, fits, want)
		}
	}
}

func TestPlainText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1.0": "1", "1e3": "1000", "1.50": "1.5", "-0.0": "0", "0.001": "0.001", "1e-3": "0.001", "12.340e1": "123.4", "100": "100",
		"1e39": "1" + strings.Repeat("0", 39), "1e40": "1e40", "1e-41": "1e-41", "-7": "-7",
	} {
		d, ok := parseDecimal([]byte(in))
		if got := string(d.appendPlain(nil, []byte(in))); !ok || got != want {
			t.Errorf("%s is %q, want %q", in, got, want)
		}
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	sum, avg, low := every()[1], every()[4], every()[2]
	s := sum.NewState()
	for _, v := range []int64{-5, 1} {
		must(t, s.Add(v, false))
	}
	if got := sum.Result(s).Decimal; got != "-0.04" {
		t.Errorf("sum is %s", got)
	}
	a := avg.NewState()
	if !avg.Result(a).Null || !low.Result(low.NewState()).Null {
		t.Error("the average or least of nothing is a number")
	}
	for _, v := range []int64{1, 2} {
		must(t, a.Add(-v, false))
	}
	if got := avg.Result(a).Decimal; got != "-0.02" { // -1.5 cents
		t.Errorf("avg is %s", got)
	}
	ratio := &Metric{Kind: Ratio, Scale: 3}
	if got := ratio.Divide(Result{Decimal: "-2.00"}, Result{Decimal: "3"}); got.Decimal != "-0.667" || got.Null {
		t.Errorf("ratio is %+v", got)
	}
	if !ratio.Divide(Result{Decimal: "1"}, Result{Decimal: "0.00"}).Null || !ratio.Divide(Result{Null: true}, Result{Decimal: "1"}).Null {
		t.Error("a ratio without a divisor is a number")
	}
	if f := (Result{Decimal: "12.5"}).Float(); f != 12.5 {
		t.Errorf("float is %v", f)
	}
}

func TestOverflowIsRefused(t *testing.T) {
	t.Parallel()
	m := every()[1]
	s := &State{kind: Sum, sum: Int128{Hi: math.MaxInt64, Lo: math.MaxUint64}}
	before := s.Append(nil)
	if err := s.Add(1, false); !errors.Is(err, ErrOverflow) || !bytes.Equal(before, s.Append(nil)) {
		t.Fatalf("got %v", err)
	}
	must(t, s.Add(1, true))
	o := m.NewState()
	must(t, o.Add(5, false))
	if err := s.Merge(o); !errors.Is(err, ErrOverflow) {
		t.Fatalf("got %v", err)
	}
	c := &State{kind: Count, count: math.MinInt64}
	if err := c.Add(0, true); !errors.Is(err, ErrOverflow) {
		t.Fatalf("got %v", err)
	}
}

func TestInt128AgainstBig(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 5)) //nolint:gosec // a seeded test
	edge := new(big.Int).Lsh(big.NewInt(1), 127)
	for range 5000 {
		a, b := Int128{int64(rng.Uint64()), rng.Uint64()}, Int128{int64(rng.Uint64()), rng.Uint64()} //nolint:gosec // any bits will do
		want := new(big.Int).Add(a.Big(), b.Big())
		got, ok := a.Add(b)
		if fits := want.CmpAbs(edge) < 0 || want.Cmp(new(big.Int).Neg(edge)) == 0; ok != fits || ok && got.Big().Cmp(want) != 0 {
			t.Fatalf("%v + %v = %v, %v", a, b, got, ok)
		}
		if n := a.Neg().Big(); n.Cmp(new(big.Int).Neg(a.Big())) != 0 {
			t.Fatalf("-%v = %v", a, n)
		}
		if back := decodeInt128(a.append(nil)); back != a {
			t.Fatalf("%v came back as %v", a, back)
		}
	}
}

// goldenStates are one state of each form. They must decode for ever: add to
// them, never change them.
func goldenStates() (ms []*Metric, states []*State) {
	for _, m := range every() {
		for _, n := range []int{0, 3, 2000} {
			if n == 2000 && m.Kind != Uniques {
				continue
			}
			s := m.NewState()
			for i := range n {
				if err := s.Add(int64(xxhash.Sum64String(fmt.Sprint("golden ", i))>>1), i == 2); err != nil { //nolint:gosec // any bits will do
					panic(err)
				}
			}
			ms, states = append(ms, m), append(states, s)
		}
	}
	return ms, states
}

func TestGoldenStates(t *testing.T) {
	t.Parallel()
	var got []byte
	ms, states := goldenStates()
	for i, s := range states {
		b := s.Append(nil)
		got = fmt.Appendf(got, "%s %d %x\n", ms[i].Kind, len(b), b)
	}
	const name = "testdata/states_v1.txt"
	if os.Getenv("GOLDEN") != "" {
		must(t, os.WriteFile(name, got, 0o600))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Fatal("states have other bytes than testdata/states_v1.txt; stores in the field hold the old ones")
	}
	i := 0
	for line := range strings.Lines(string(want)) {
		var (
			kind string
			n    int
			b    []byte
		)
		if _, err := fmt.Sscanf(line, "%s %d %x", &kind, &n, &b); err != nil || len(b) != n {
			t.Fatalf("line %d: %v", i+1, err)
		}
		s, err := ms[i].DecodeState(b)
		must(t, err)
		if !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("line %d comes back otherwise", i+1)
		}
		i++
	}
}

func FuzzState(f *testing.F) {
	ms, states := goldenStates()
	for i, s := range states {
		if b := s.Append(nil); len(b) < 100 {
			f.Add(i%len(ms), b)
		}
	}
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		m := every()[uint(i)%6] //nolint:gosec // any index will do
		s, err := m.DecodeState(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("%s: %x comes back as %x: two encodings of one state", m.Kind, b, s.Append(nil))
		}
		if err := s.Merge(m.NewState()); err != nil || !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("%s: merging nothing changes it (%v)", m.Kind, err)
		}
		m.Result(s)
	})
}
