package metric

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// Int128 is a signed integer of 128 bits in two's complement.
type Int128 struct {
	Hi int64
	Lo uint64
}

// Int128Of returns v.
func Int128Of(v int64) Int128 { return Int128{Hi: v >> 63, Lo: uint64(v)} } //nolint:gosec // two's complement is meant

// Add returns a+b, and false if it does not fit.
func (a Int128) Add(b Int128) (Int128, bool) {
	lo, carry := bits.Add64(a.Lo, b.Lo, 0)
	hi, _ := bits.Add64(uint64(a.Hi), uint64(b.Hi), carry) //nolint:gosec // two's complement is meant
	sum := Int128{Hi: int64(hi), Lo: lo}                   //nolint:gosec // two's complement is meant
	return sum, (a.Hi < 0) != (b.Hi < 0) || (sum.Hi < 0) == (a.Hi < 0)
}

// Neg returns -a; that of the smallest number is itself.
func (a Int128) Neg() Int128 {
	lo, carry := bits.Add64(^a.Lo, 1, 0)
	return Int128{Hi: ^a.Hi + int64(carry), Lo: lo} //nolint:gosec // a carry is 0 or 1
}

// Big returns a as a big.Int.
func (a Int128) Big() *big.Int {
	v := big.NewInt(a.Hi)
	return v.Lsh(v, 64).Add(v, new(big.Int).SetUint64(a.Lo))
}

func (a Int128) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Hi)) //nolint:gosec // two's complement is meant
	return binary.BigEndian.AppendUint64(dst, a.Lo)
}

func decodeInt128(b []byte) Int128 {
	return Int128{Hi: int64(binary.BigEndian.Uint64(b)), Lo: binary.BigEndian.Uint64(b[8:])} //nolint:gosec // two's complement is meant
}
