package millstream

import (
	"math/rand/v2"
	"sync/atomic"
)

// idClock hands out the first 60 variable bits of UUIDv7s (RFC 9562, section 6.2, method 1): 48 of milliseconds and 12
// of a counter. Added up as one number, a full counter borrows the next millisecond by itself.
type idClock struct{ last atomic.Uint64 }

// next returns a number above all earlier ones. The counter starts below 2048, so that a millisecond has room for as
// many ids more.
func (c *idClock) next(ms int64) uint64 {
	for {
		last := c.last.Load()
		next := last + 1
		if fresh := uint64(ms) << 12; fresh>>12 > last>>12 {
			next = fresh | rand.Uint64()&0x7ff
		}
		if c.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// append appends the text of a new UUIDv7.
func (c *idClock) append(dst []byte, ms int64) []byte {
	n := c.next(ms)
	return appendUUID(dst, n>>12<<16|0x7000|n&0xfff, 1<<63|rand.Uint64()>>2)
}

const hexDigits = "0123456789abcdef"

func appendUUID(dst []byte, hi, lo uint64) []byte {
	dst = appendHex(dst, hi>>32, 8)
	dst = append(dst, '-')
	dst = appendHex(dst, hi>>16, 4)
	dst = append(dst, '-')
	dst = appendHex(dst, hi, 4)
	dst = append(dst, '-')
	dst = appendHex(dst, lo>>48, 4)
	dst = append(dst, '-')
	return appendHex(dst, lo, 12)
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, hexDigits[v>>(4*i)&0xf])
	}
	return dst
}
