package metric

import (
	"math"
	"math/big"
	"strings"
)

// Result is what a cell says.
type Result struct {
	Null    bool   // nothing to divide by, or no value seen
	Decimal string // plain decimal text with the scale's digits, such as -12.50
	Method  string // count, sum, min, max, avg, ratio, exact, or hll15 for estimates
}

// Float returns the nearest float64, for drawing; NaN if r is null.
func (r Result) Float() float64 {
	f, ok := new(big.Float).SetString(r.Decimal)
	if r.Null || !ok {
		return math.NaN()
	}
	v, _ := f.Float64()
	return v
}

// Exact tells whether r is no estimate.
func (r Result) Exact() bool { return r.Method != methodHLL }

const methodHLL = "hll15"

// Result returns what s says for m. s is the merge of all visible partials, or
// an empty state.
func (m *Metric) Result(s *State) Result {
	r := Result{Method: string(m.Kind)}
	switch m.Kind {
	case Count:
		r.Decimal = decimalText(big.NewInt(s.count), 0)
	case Sum:
		r.Decimal = decimalText(s.sum.Big(), m.Scale)
	case Min, Max:
		if r.Null = !s.has; s.has {
			r.Decimal = decimalText(big.NewInt(s.best), m.Scale)
		}
	case Avg:
		if r.Null = s.count == 0; !r.Null {
			r.Decimal = decimalText(divRound(s.sum.Big(), big.NewInt(s.count)), m.Scale)
		}
	case Uniques:
		n, exact := s.set.estimate()
		if r.Method = "exact"; !exact {
			r.Method = methodHLL
		}
		v, _ := big.NewFloat(math.Round(n)).Int(nil)
		r.Decimal = decimalText(v, 0)
	case Ratio:
		panic("BUG: a ratio has no state; ask Divide")
	}
	return r
}

// Divide returns the quotient of two results for a ratio's scale, rounded half
// away from zero; null where one is null or b is 0.
func (m *Metric) Divide(a, b Result) Result {
	r := Result{Method: string(Ratio)}
	x, ok1 := new(big.Rat).SetString(a.Decimal)
	y, ok2 := new(big.Rat).SetString(b.Decimal)
	if a.Null || b.Null || !ok1 || !ok2 || y.Sign() == 0 {
		r.Null = true
		return r
	}
	x.Quo(x, y)
	num := new(big.Int).Mul(x.Num(), pow10(m.Scale))
	r.Decimal = decimalText(divRound(num, x.Denom()), m.Scale)
	return r
}

// divRound returns a/b, rounded half away from zero; b is positive.
func divRound(a, b *big.Int) *big.Int {
	neg := a.Sign() < 0
	q := new(big.Int).Abs(a)
	q.Mul(q, big.NewInt(2)).Add(q, b)
	q.Quo(q, new(big.Int).Mul(b, big.NewInt(2)))
	if neg {
		q.Neg(q)
	}
	return q
}

func pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// decimalText writes v / 10^scale with exactly scale decimals.
func decimalText(v *big.Int, scale int) string {
	s := new(big.Int).Abs(v).String()
	if len(s) <= scale {
		s = strings.Repeat("0", scale-len(s)+1) + s
	}
	if scale > 0 {
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	}
	if v.Sign() < 0 {
		s = "-" + s
	}
	return s
}
