package metric

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

func appendTupleValue(dst, v []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(v))), v...)
}

// AppendTuple appends the canonical bytes of dimension values; see FORMAT.md.
func AppendTuple(dst []byte, vals ...string) []byte {
	for _, v := range vals {
		dst = appendTupleValue(dst, []byte(v))
	}
	return dst
}

// DecodeTuple returns the values of a tuple that AppendTuple or a plan wrote.
func DecodeTuple(b []byte) []string {
	var out []string
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || uint64(len(b)-k) < n {
			panic("BUG: a tuple's length exceeds it")
		}
		out = append(out, string(b[k:k+int(n)])) //nolint:gosec // bounded by len(b)
		b = b[k+int(n):]                         //nolint:gosec // bounded by len(b)
	}
	return out
}

// DimHash returns the number of a tuple: XXH64 of its bytes, and 1 where that
// is 0, because 0 is the total.
func DimHash(tuple []byte) uint64 { return max(1, xxhash.Sum64(tuple)) }
