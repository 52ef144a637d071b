package metric

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Registers of a sketch: 2^15 of them, chosen by the top 15 bits of a hash; a
// register holds the largest rank, leading zeros of the other 49 bits + 1.
const (
	hllBits  = 15
	hllRegs  = 1 << hllBits
	hllRanks = 64 - hllBits // a rank is at most one more
	hllBytes = hllRegs * 6 / 8
)

// The first byte of a state of uniques.
const (
	formSet  = 0
	formRegs = 1
)

// uniques is a set of 64-bit hashes: the hashes themselves up to exact of them,
// registers beyond. The form depends on the set alone, because a register can
// be had from a hash at any time.
type uniques struct {
	exact  int
	hashes []uint64 // sorted, distinct
	fresh  []uint64 // not yet among hashes: neither sorted nor distinct
	regs   []byte   // one byte a register; nil while exact
	spare  []uint64
}

func (u *uniques) add(h uint64) {
	if u.regs != nil {
		u.raise(h)
		return
	}
	if n := len(u.fresh); n > 0 && u.fresh[n-1] == h {
		return // one person's events often come together
	}
	u.fresh = append(u.fresh, h)
	if len(u.fresh) >= max(64, len(u.hashes)/4) {
		u.settle()
	}
}

// settle brings fresh under hashes and turns to registers when they are too many.
func (u *uniques) settle() {
	if len(u.fresh) == 0 {
		return
	}
	slices.Sort(u.fresh)
	out := u.spare[:0]
	a, b := u.hashes, u.fresh
	for len(a) > 0 || len(b) > 0 {
		var h uint64
		if len(b) == 0 || len(a) > 0 && a[0] <= b[0] {
			h, a = a[0], a[1:]
		} else {
			h, b = b[0], b[1:]
		}
		if n := len(out); n == 0 || out[n-1] != h {
			out = append(out, h)
		}
	}
	u.hashes, u.spare, u.fresh = out, u.hashes[:0], u.fresh[:0]
	if len(u.hashes) > u.exact {
		u.spill()
	}
}

func (u *uniques) spill() {
	u.regs = make([]byte, hllRegs)
	for _, h := range u.hashes {
		u.raise(h)
	}
	u.hashes, u.fresh, u.spare = nil, nil, nil
}

func (u *uniques) raise(h uint64) {
	rank := byte(min(bits.LeadingZeros64(h<<hllBits), hllRanks) + 1) //nolint:gosec // at most 50
	if i := h >> hllRanks; u.regs[i] < rank {
		u.regs[i] = rank
	}
}

func (u *uniques) merge(o *uniques) {
	switch {
	case o.regs != nil:
		u.settle()
		if u.regs == nil {
			u.spill()
		}
		for i, r := range o.regs {
			u.regs[i] = max(u.regs[i], r)
		}
	case u.regs != nil:
		for _, h := range o.hashes {
			u.raise(h)
		}
		for _, h := range o.fresh {
			u.raise(h)
		}
	default:
		u.fresh = append(append(u.fresh, o.hashes...), o.fresh...)
		u.settle()
	}
}

func (u *uniques) append(dst []byte) []byte {
	u.settle()
	if u.regs == nil {
		dst = append(dst, formSet)
		for _, h := range u.hashes {
			dst = binary.BigEndian.AppendUint64(dst, h)
		}
		return dst
	}
	dst = append(dst, formRegs)
	for i := 0; i < hllRegs; i += 4 { // four registers are three bytes
		r := u.regs[i : i+4]
		dst = append(dst, r[0]<<2|r[1]>>4, r[1]<<4|r[2]>>2, r[2]<<6|r[3])
	}
	return dst
}

func (u *uniques) decode(b []byte) bool {
	switch {
	case len(b) == 1+hllBytes && b[0] == formRegs:
		u.regs = make([]byte, hllRegs)
		for i, j := 0, 1; i < hllRegs; i, j = i+4, j+3 {
			x, y, z := b[j], b[j+1], b[j+2]
			u.regs[i], u.regs[i+1], u.regs[i+2], u.regs[i+3] = x>>2, x<<4&0x3f|y>>4, y<<2&0x3f|z>>6, z&0x3f
		}
		return slices.Max(u.regs) <= hllRanks+1
	case len(b)%8 == 1 && b[0] == formSet && (len(b)-1)/8 <= u.exact:
		u.hashes = make([]uint64, 0, (len(b)-1)/8)
		for b = b[1:]; len(b) > 0; b = b[8:] {
			h := binary.BigEndian.Uint64(b)
			if n := len(u.hashes); n > 0 && u.hashes[n-1] >= h {
				return false
			}
			u.hashes = append(u.hashes, h)
		}
		return true
	}
	return false
}

func (u *uniques) reset() { u.hashes, u.fresh, u.regs = u.hashes[:0], u.fresh[:0], nil }

// estimate returns how many hashes there are, and whether that is exact.
// Beyond the set it is the improved estimator of O. Ertl, "New cardinality
// estimation algorithms for HyperLogLog sketches", arXiv 1702.01284, algorithm 6.
func (u *uniques) estimate() (float64, bool) {
	u.settle()
	if u.regs == nil {
		return float64(len(u.hashes)), true
	}
	var hist [hllRanks + 2]float64
	for _, r := range u.regs {
		hist[r]++
	}
	const m = float64(hllRegs)
	z := m * tau(1-hist[hllRanks+1]/m)
	for k := hllRanks; k >= 1; k-- {
		z = 0.5 * (z + hist[k])
	}
	z += m * sigma(hist[0]/m)
	return m * m / (2 * math.Ln2 * z), false
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		before := z
		z += x * y
		y += y
		if z == before {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		before := z
		y *= 0.5
		z -= (1 - x) * (1 - x) * y
		if z == before {
			return z / 3
		}
	}
}
