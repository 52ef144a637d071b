package parquetout

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// decimalBytes is the size in a file of a decimal of a precision: the least that
// holds its largest value and a sign.
func decimalBytes(precision int) int { return int(pqarrow.DecimalSize(int32(precision))) } //nolint:gosec // at most 38

// int128 is a two's complement integer, wide enough for 38 digits.
type int128 struct{ hi, lo uint64 }

// shift returns ten times v and d.
func (v int128) shift(d uint64) int128 {
	over, lo := bits.Mul64(v.lo, 10)
	lo, carry := bits.Add64(lo, d, 0)
	return int128{v.hi*10 + over + carry, lo}
}

func (v int128) negate() int128 {
	lo, borrow := bits.Sub64(0, v.lo, 0)
	hi, _ := bits.Sub64(0, v.hi, borrow)
	return int128{hi, lo}
}

// appendDecimal appends v as Parquet has it: big-endian two's complement of size bytes.
func appendDecimal(dst []byte, v int128, size int) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.hi)
	binary.BigEndian.PutUint64(b[8:], v.lo)
	return append(dst, b[16-size:]...)
}

func parseDecimal(s string, precision, scale int) (int128, bool) {
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg, s = s[0] == '-', s[1:]
	}
	var (
		v      int128
		digits int // significant ones
		after  = -1
		seen   bool
	)
	for i := range len(s) {
		d := s[i]
		if d == '.' && after < 0 {
			after = 0
			continue
		}
		if d < '0' || d > '9' {
			return v, false
		}
		seen = true
		if after >= 0 {
			if after == scale {
				if d != '0' {
					return v, false
				}
				continue
			}
			after++
		}
		if digits > 0 || d != '0' {
			digits++
		}
		if digits > precision {
			return v, false
		}
		v = v.shift(uint64(d - '0'))
	}
	for range scale - max(after, 0) {
		if digits > 0 {
			digits++
		}
		if digits > precision {
			return v, false
		}
		v = v.shift(0)
	}
	if neg {
		v = v.negate()
	}
	return v, seen
}
