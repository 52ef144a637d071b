package millstream

import "time"

const (
	chunkSize = 64 << 10
	maxSpare  = 8 // a full batch and more, so that a steady stream allocates nothing
)

// queue holds encoded events in the order of their calls, as one stream of bytes over chunks of fixed size: memory
// follows the bytes that wait and nothing is moved when it grows. Client.mu guards it.
type queue struct {
	chunks [][]byte
	spare  [][]byte // read chunks, kept for the next need
	head   int      // first byte, in chunks[0]
	tail   int      // end of the last byte, in the last chunk
	bytes  int
	items  []item // a ring of a power of two
	first  int
	n      int
}

// item describes one event of the queue, by the clock of Client.age.
type item struct {
	at   time.Duration
	size int
}

func (q *queue) push(event []byte, it item) {
	if q.n == len(q.items) {
		q.grow()
	}
	q.items[(q.first+q.n)&(len(q.items)-1)] = it
	q.n++
	q.bytes += len(event)
	for len(event) > 0 {
		if len(q.chunks) == 0 || q.tail == chunkSize {
			q.add()
		}
		c := copy(q.chunks[len(q.chunks)-1][q.tail:], event)
		q.tail += c
		event = event[c:]
	}
}

func (q *queue) add() {
	if n := len(q.spare); n > 0 {
		q.chunks, q.spare = append(q.chunks, q.spare[n-1]), q.spare[:n-1]
	} else {
		q.chunks = append(q.chunks, make([]byte, chunkSize))
	}
	q.tail = 0
}

// drop lets go of the first chunk, which is read.
func (q *queue) drop() {
	if len(q.spare) < maxSpare {
		q.spare = append(q.spare, q.chunks[0])
	}
	q.chunks[0] = nil
	q.chunks = q.chunks[1:]
}

func (q *queue) grow() {
	items := make([]item, max(64, 2*len(q.items)))
	for i := 0; i < q.n; i++ {
		items[i] = q.items[(q.first+i)&(len(q.items)-1)]
	}
	q.items, q.first = items, 0
}

// peek returns the oldest item; there must be one.
func (q *queue) peek() item { return q.items[q.first] }

// pop appends the oldest event to dst.
func (q *queue) pop(dst []byte) []byte {
	dst, _ = q.read(dst, cursor{at: q.head}, q.peek().size)
	q.skip(1)
	return dst
}

// cursor is a place in the queue's bytes.
type cursor struct{ chunk, at int }

func (q *queue) read(dst []byte, c cursor, size int) ([]byte, cursor) {
	for size > 0 {
		n := min(size, chunkSize-c.at)
		dst = append(dst, q.chunks[c.chunk][c.at:c.at+n]...)
		size -= n
		if c.at += n; c.at == chunkSize {
			c.chunk, c.at = c.chunk+1, 0
		}
	}
	return dst, c
}

// lines appends the oldest events to dst, each with a newline behind it, and returns how many: as many as end before
// limit bytes, but at least one if there is any. They stay in the queue.
func (q *queue) lines(dst []byte, limit int) ([]byte, int) {
	at := cursor{at: q.head}
	for i := 0; i < q.n; i++ {
		size := q.items[(q.first+i)&(len(q.items)-1)].size
		if i > 0 && len(dst)+size+1 > limit {
			return dst, i
		}
		dst, at = q.read(dst, at, size)
		dst = append(dst, '\n')
	}
	return dst, q.n
}

// skip takes the n oldest events away.
func (q *queue) skip(n int) {
	size := 0
	for range n {
		size += q.items[q.first].size
		q.first = (q.first + 1) & (len(q.items) - 1)
	}
	q.n -= n
	q.bytes -= size
	for q.head += size; q.head >= chunkSize; q.head -= chunkSize {
		q.drop()
	}
	if q.n == 0 {
		q.rest()
	}
}

// rest gives back what a burst has taken.
func (q *queue) rest() {
	for len(q.chunks) > 0 {
		q.drop()
	}
	q.chunks, q.head, q.tail, q.first = nil, 0, 0, 0
	if len(q.items) > 4096 {
		q.items = nil
	}
}
