package event

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"time"
)

// IDs makes identifiers that sort by the time at which they were made. The zero
// value is ready; it is safe for concurrent use.
type IDs struct {
	mu   sync.Mutex
	last int64 // unix ms of the newest id
	seq  uint16
}

// UUIDv7 returns an RFC 9562 UUID of version 7 in canonical text: 48 bits of
// unix milliseconds, a 12-bit counter that rises within a millisecond, and 62
// random bits. A full counter borrows the next millisecond.
func (g *IDs) UUIDv7(now time.Time) string {
	ms, seq := g.tick(now)
	var b [16]byte
	mustRandom(b[8:])
	binary.BigEndian.PutUint64(b[:8], uint64(ms)<<16|0x7000|uint64(seq)) //nolint:gosec // unix ms is positive
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	out[8] = '-'
	hex.Encode(out[9:13], b[4:6])
	out[13] = '-'
	hex.Encode(out[14:18], b[6:8])
	out[18] = '-'
	hex.Encode(out[19:23], b[8:10])
	out[23] = '-'
	hex.Encode(out[24:36], b[10:16])
	return string(out[:])
}

func (g *IDs) tick(now time.Time) (ms int64, seq uint16) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ms = now.UnixMilli(); ms > g.last {
		var r [2]byte
		mustRandom(r[:])
		g.last, g.seq = ms, binary.BigEndian.Uint16(r[:])&0x7ff // start below half, so that the counter has room
		return g.last, g.seq
	}
	if g.seq++; g.seq > 0xfff {
		g.last, g.seq = g.last+1, 0
	}
	return g.last, g.seq
}

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// ULID returns 26 lower-case characters of Crockford's base 32: 48 bits of unix
// milliseconds and 80 random bits (github.com/ulid/spec). Two made in one
// millisecond do not sort by the order in which they were made.
func ULID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16) //nolint:gosec // unix ms is positive
	mustRandom(b[6:])
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	var out strings.Builder
	out.Grow(26)
	for shift := 125; shift >= 0; shift -= 5 {
		var v uint64
		switch {
		case shift >= 64:
			v = hi >> (shift - 64)
		case shift > 59:
			v = lo>>shift | hi<<(64-shift)
		default:
			v = lo >> shift
		}
		out.WriteByte(crockford[v&31])
	}
	return out.String()
}

func mustRandom(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic("BUG: crypto/rand gave no bytes: " + err.Error()) // documented never to happen
	}
}
