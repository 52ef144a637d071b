package ingest

// arena holds what a request builds: values, keys, unescaped text. Slices of it stay valid when it grows, because it
// grows by taking a new chunk and never by moving the old one.
type arena struct {
	buf   []byte
	total int // bytes of all chunks
}

// chunk is the least that an arena takes, keepChunk the most that it keeps between requests.
const (
	chunk     = 4 << 10
	keepChunk = 512 << 10
)

// room makes sure that n bytes can be appended to buf in place.
func (a *arena) room(n int) {
	if cap(a.buf)-len(a.buf) >= n {
		return
	}
	size := max(chunk, n, min(2*cap(a.buf), 256<<10))
	a.buf = make([]byte, 0, size)
	a.total += size
}

// since returns what was appended after lo; a later append cannot reach it.
func (a *arena) since(lo int) []byte { return a.buf[lo:len(a.buf):len(a.buf)] }

func (a *arena) reset() {
	if cap(a.buf) > keepChunk {
		a.buf = nil
	}
	a.buf = a.buf[:0]
	a.total = cap(a.buf)
}
