package millstream

import "time"

const chunkSize = 64 << 10

// queue holds encoded events in the order of their calls, as one stream of bytes over chunks of fixed size: memory
// follows the bytes that wait and nothing is moved when it grows. Client.mu guards it.
type queue struct {
	chunks [][]byte
	spare  []byte // one chunk is kept for the next need
	head   int    // first byte, in chunks[0]
	tail   int    // end of the last byte, in the last chunk
	bytes  int
	items  []item // a ring of a power of two
	first  int
	n      int
}

// item describes one event of the queue, by the clock of Client.age.
type item struct {
	at   time.Duration
	size uint32
	id   uint32 // length of the message id at idAt
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
	chunk := q.spare
	if chunk == nil {
		chunk = make([]byte, chunkSize)
	}
	q.chunks, q.spare, q.tail = append(q.chunks, chunk), nil, 0
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
func (q *queue) pop(dst []byte) ([]byte, item) {
	it := q.items[q.first]
	q.first = (q.first + 1) & (len(q.items) - 1)
	q.n--
	q.bytes -= int(it.size)
	for left := int(it.size); left > 0; {
		c := min(left, chunkSize-q.head)
		dst = append(dst, q.chunks[0][q.head:q.head+c]...)
		left -= c
		q.head += c
		if q.head == chunkSize {
			q.drop()
		}
	}
	if q.n == 0 {
		q.rest()
	}
	return dst, it
}

// drop lets go of the first chunk, which is read.
func (q *queue) drop() {
	q.spare = q.chunks[0]
	q.chunks[0] = nil
	q.chunks = q.chunks[1:]
	q.head = 0
}

// rest gives back what a burst has taken.
func (q *queue) rest() {
	if len(q.chunks) > 0 {
		q.spare = q.chunks[0]
	}
	q.chunks, q.head, q.tail, q.first = nil, 0, 0, 0
	if len(q.items) > 4096 {
		q.items = nil
	}
}
