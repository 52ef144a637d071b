package metric

import (
	"bytes"
	"math"
)

// decimal is a number as its text says it: 0.d1d2d3… × 10^point, without
// leading or trailing zeros. It lives on the stack; nothing here allocates.
type decimal struct {
	neg   bool
	more  bool // digits beyond those kept, not all of them zero
	point int
	n     int
	d     [48]byte // 0 to 9
}

// maxPoint bounds exponents: what lies beyond is too large or 0 for every use.
const maxPoint = 1 << 20

// parseDecimal reads a JSON number; leading zeros are allowed too.
func parseDecimal(b []byte) (decimal, bool) {
	var v decimal
	i := 0
	if i < len(b) && b[i] == '-' {
		v.neg = true
		i++
	}
	digits, seen := 0, false
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		seen = true
		if v.push(b[i] - '0') {
			digits++
		}
	}
	if !seen {
		return v, false
	}
	v.point = digits
	if i < len(b) && b[i] == '.' {
		start := i + 1
		for i = start; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			if !v.push(b[i]-'0') && v.n == 0 {
				v.point--
			}
		}
		if i == start {
			return v, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		exp, ok := parseExponent(b[i+1:])
		if !ok {
			return v, false
		}
		v.point = min(max(v.point+exp, -maxPoint), maxPoint)
		i = len(b)
	}
	for v.n > 0 && v.d[v.n-1] == 0 && !v.more {
		v.n--
	}
	if v.n == 0 {
		v = decimal{}
	}
	return v, i == len(b)
}

// push takes the next digit and tells whether it counts as a place: leading zeros do not.
func (v *decimal) push(c byte) bool {
	switch {
	case v.n == 0 && c == 0:
		return false
	case v.n < len(v.d):
		v.d[v.n] = c
		v.n++
	case c != 0:
		v.more = true
	}
	return true
}

func parseExponent(b []byte) (int, bool) {
	neg := false
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		neg = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	exp := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		exp = min(exp*10+int(c-'0'), 2*maxPoint)
	}
	if neg {
		exp = -exp
	}
	return exp, true
}

// parseNumberText reads a string that is taken as a number: -?digits[.digits].
func parseNumberText(b []byte) (decimal, bool) {
	if bytes.IndexByte(b, 'e') >= 0 || bytes.IndexByte(b, 'E') >= 0 {
		return decimal{}, false
	}
	return parseDecimal(b)
}

// cmp compares by value.
func (v *decimal) cmp(o *decimal) int {
	switch a, b := v.sign(), o.sign(); {
	case a != b:
		return a - b
	case a == 0:
		return 0
	case a < 0:
		return -v.cmpSize(o)
	}
	return v.cmpSize(o)
}

func (v *decimal) sign() int {
	switch {
	case v.n == 0:
		return 0
	case v.neg:
		return -1
	}
	return 1
}

func (v *decimal) cmpSize(o *decimal) int {
	if v.point != o.point {
		return v.point - o.point
	}
	if c := bytes.Compare(v.d[:v.n], o.d[:o.n]); c != 0 {
		return c
	}
	return int(boolInt(v.more) - boolInt(o.more))
}

// round drops decimals beyond places, half away from zero.
func (v *decimal) round(places int) {
	keep := v.point + places // digits that stay
	if keep >= v.n {
		v.more = v.more && keep > len(v.d) // cannot matter: what is kept has at most 19+9 digits
		return
	}
	if keep < 0 {
		*v = decimal{}
		return
	}
	up := v.d[keep] >= 5
	v.n, v.more = keep, false
	if up {
		v.carry()
	}
	for v.n > 0 && v.d[v.n-1] == 0 {
		v.n--
	}
	if v.n == 0 {
		*v = decimal{}
	}
}

// carry adds one at the last kept place.
func (v *decimal) carry() {
	for i := v.n - 1; i >= 0; i-- {
		if v.d[i] < 9 {
			v.d[i]++
			return
		}
		v.d[i] = 0
	}
	copy(v.d[1:], v.d[:v.n]) // all nines, or no digit kept: 1 and zeros
	v.d[0] = 1
	v.n++
	v.point++
}

// scaled returns v × 10^scale as an integer: rounded to max(6, scale) decimals
// and then to scale, half away from zero both times; false if it does not fit.
// The twin of a metric in SQL reads doubles, whose 15 digits give the same two
// steps.
func (v decimal) scaled(scale int) (int64, bool) {
	if v.point+scale > 19 {
		return 0, false
	}
	v.round(max(6, scale))
	v.round(scale)
	var u uint64
	for i := range max(v.point+scale, 0) {
		d := uint64(0)
		if i < v.n {
			d = uint64(v.d[i])
		}
		if u > (math.MaxUint64-d)/10 {
			return 0, false
		}
		u = u*10 + d
	}
	if u > math.MaxInt64 {
		return 0, false
	}
	if v.neg {
		return -int64(u), true
	}
	return int64(u), true
}

// appendPlain writes v without exponent or trailing zeros, or literal if that
// would take more than 40 digits.
func (v *decimal) appendPlain(dst, literal []byte) []byte {
	digits := max(v.n, v.point)
	if v.point < 0 {
		digits = v.n - v.point
	}
	if v.more || digits > 40 {
		return append(dst, literal...)
	}
	if v.neg {
		dst = append(dst, '-')
	}
	if v.point <= 0 {
		dst = append(dst, '0')
	}
	for i := range max(v.point, 0) {
		if i < v.n {
			dst = append(dst, '0'+v.d[i])
		} else {
			dst = append(dst, '0')
		}
	}
	if v.n <= v.point || v.n == 0 {
		return dst
	}
	dst = append(dst, '.')
	for range -min(v.point, 0) {
		dst = append(dst, '0')
	}
	for _, c := range v.d[max(v.point, 0):v.n] {
		dst = append(dst, '0'+c)
	}
	return dst
}
