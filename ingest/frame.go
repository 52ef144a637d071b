package ingest

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/wire"
)

// FORMAT.md specifies what this file reads and writes.
const (
	segmentMagic  = "MSPOOL01"
	segmentHeader = 16
	frameHead     = 8        // length and checksum
	maxFrame      = 64 << 20 // no request is larger; a length beyond it is damage
)

// Topics as frames name them.
const (
	frameEvents   = 0
	frameRejected = 1
)

var (
	errFrame   = errors.New("damaged frame")
	castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant that Go has no literal for
)

// position is a place in the spool: the byte at of the segment seq.
type position struct {
	seq uint64
	at  int64
}

func (p position) before(q position) bool { return p.seq < q.seq || p.seq == q.seq && p.at < q.at }

func later(p, q position) position {
	if p.before(q) {
		return q
	}
	return p
}

// frame is a record as the spool has it; its slices are those of the buffer that it was read from.
type frame struct {
	topic   byte
	hash    uint32 // murmur2 of the key
	key     []byte
	value   []byte
	headers []kgo.RecordHeader
}

func topicOf(dead bool) byte {
	if dead {
		return frameRejected
	}
	return frameEvents
}

func varintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func fieldSize(n int) int { return varintSize(n) + n }

// frameSize is the length of what appendFrame writes.
func frameSize(r *kgo.Record) int64 {
	n := frameHead + 5 + fieldSize(len(r.Key)) + fieldSize(len(r.Value)) + varintSize(len(r.Headers))
	for _, h := range r.Headers {
		n += fieldSize(len(h.Key)) + fieldSize(len(h.Value))
	}
	return int64(n)
}

func appendFrame(dst []byte, topic byte, r *kgo.Record) []byte {
	lo := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, topic)
	dst = binary.LittleEndian.AppendUint32(dst, murmur2(r.Key))
	dst = append(binary.AppendUvarint(dst, uint64(len(r.Key))), r.Key...)
	dst = append(binary.AppendUvarint(dst, uint64(len(r.Value))), r.Value...)
	dst = binary.AppendUvarint(dst, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Key))), h.Key...)
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Value))), h.Value...)
	}
	body := dst[lo+frameHead:]
	binary.LittleEndian.PutUint32(dst[lo:], uint32(len(body))) //nolint:gosec // a request is bounded
	binary.LittleEndian.PutUint32(dst[lo+4:], crc32.Checksum(body, castagnoli))
	return dst
}

// frameLength is the length of the body of the frame that begins with head, if room bytes can hold it.
func frameLength(head []byte, room int64) (int64, error) {
	n := int64(binary.LittleEndian.Uint32(head))
	if n == 0 || n > maxFrame || n+frameHead > room {
		return 0, errFrame
	}
	return n, nil
}

// parseFrame reads a whole frame.
func parseFrame(b []byte) (frame, error) {
	if len(b) < frameHead {
		return frame{}, errFrame
	}
	n, err := frameLength(b, int64(len(b)))
	if err != nil || n+frameHead != int64(len(b)) {
		return frame{}, errFrame
	}
	body := b[frameHead:]
	if binary.LittleEndian.Uint32(b[4:]) != crc32.Checksum(body, castagnoli) || len(body) < 5 || body[0] > frameRejected {
		return frame{}, errFrame
	}
	f := frame{topic: body[0], hash: binary.LittleEndian.Uint32(body[1:])}
	in := fields{b: body[5:]}
	f.key, f.value = in.next(), in.next()
	count := in.number()
	if count > uint64(len(in.b)) { // each header takes two bytes at least
		return frame{}, errFrame
	}
	for range count {
		f.headers = append(f.headers, kgo.RecordHeader{Key: string(in.next()), Value: in.next()})
	}
	if in.broken || len(in.b) > 0 {
		return frame{}, errFrame
	}
	return f, nil
}

// fields reads what has its length in front.
type fields struct {
	b      []byte
	broken bool
}

func (f *fields) number() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.broken, f.b = true, nil
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) next() []byte {
	n := f.number()
	if n > uint64(len(f.b)) {
		f.broken, f.b = true, nil
		return nil
	}
	out := f.b[:n:n]
	f.b = f.b[n:]
	return out
}

// record returns f as it was accepted: with the time of its arrival, however long it lay on disk.
func (f *frame) record() *kgo.Record {
	r := &kgo.Record{Key: f.key, Value: f.value, Headers: f.headers}
	for _, h := range f.headers {
		if h.Key == wire.HeaderReceivedAt {
			if ms, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil {
				r.Timestamp = time.UnixMilli(ms).UTC()
			}
		}
	}
	return r
}
