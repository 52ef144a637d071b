package ingest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// buffers pools buffers by size, 4 KiB to 4 MiB in steps of four; larger ones are not kept.
type buffers struct{ pools [6]sync.Pool }

type buffer struct {
	b     []byte
	class int // -1: too large to be kept
	held  int64
}

const smallest = 4 << 10

// get returns an empty buffer for at least n bytes.
func (p *buffers) get(n int) *buffer {
	size := smallest
	for class := range p.pools {
		if n <= size {
			if b, ok := p.pools[class].Get().(*buffer); ok {
				b.b = b.b[:0]
				return b
			}
			return &buffer{b: make([]byte, 0, size), class: class}
		}
		size *= 4
	}
	return &buffer{b: make([]byte, 0, n), class: -1}
}

func (p *buffers) put(b *buffer) {
	if b != nil && b.class >= 0 {
		p.pools[b.class].Put(b)
	}
}

// errLimit and errGate end fill: the body is longer than it may be, or there is no room for it now.
var (
	errLimit = errors.New("body: longer than allowed")
	errGate  = errors.New("body: no room in flight")
)

// fill reads r to its end into a buffer, of limit bytes at most. What the buffer occupies is held at the gate before
// it is taken; it grows with what arrives, not with what was announced.
func (rq *request) fill(r io.Reader, limit int) (*buffer, error) {
	b, err := rq.grow(nil, smallest)
	for err == nil {
		if len(b.b) >= limit {
			var more [1]byte
			if _, err = io.ReadFull(r, more[:]); err == nil {
				err = errLimit
			}
			break
		}
		if len(b.b) == cap(b.b) {
			if b, err = rq.grow(b, min(4*cap(b.b), limit)); err != nil {
				return nil, err
			}
		}
		var n int
		n, err = r.Read(b.b[len(b.b):min(cap(b.b), limit)])
		b.b = b.b[:len(b.b)+n]
	}
	if errors.Is(err, io.EOF) {
		return b, nil
	}
	if b != nil {
		rq.keep(b)
		rq.drop(b)
	}
	return nil, err
}

// keep copies the begin of b for the dead letter of the body, if there is room.
func (rq *request) keep(b *buffer) {
	if n := min(len(b.b), keepPartial); rq.hold(int64(n)) {
		rq.partial = append([]byte(nil), b.b[:n]...)
	}
}

// grow returns a buffer of at least size bytes with what b holds. While it copies, both are held.
func (rq *request) grow(b *buffer, size int) (*buffer, error) {
	if !rq.hold(int64(size)) {
		rq.drop(b)
		return nil, errGate
	}
	bigger := rq.srv.buffers.get(size)
	bigger.held = int64(size)
	if b != nil {
		bigger.b = append(bigger.b, b.b...)
		rq.drop(b)
	}
	return bigger, nil
}

// drop gives b back before the end of rq.
func (rq *request) drop(b *buffer) {
	if b != nil {
		rq.release(b.held)
		rq.srv.buffers.put(b)
	}
}

const emptyBody = `the body is empty; it should be an event, or {"batch":[…]} with several`

// keepPartial bounds what a dead letter shows of a body that was not read whole.
const keepPartial = 64 << 10

// read takes in the body of r, inflated.
func (rq *request) read(r *http.Request) *refusal {
	lim := rq.srv.cfg.Limits
	if r.ContentLength > int64(lim.Body) {
		rq.size = int(r.ContentLength)
		return refuse(codeBodyTooLarge, "the body has "+strconv.FormatInt(r.ContentLength, 10)+" bytes, the limit is "+lim.Body.String()+"; send smaller batches")
	}
	if rq.srv.gate.held.Load()+max(r.ContentLength, 0) > rq.srv.gate.limit {
		return rq.noRoom() // now, and not after half of it
	}
	open, ref := rq.srv.inflater(r.Header)
	if ref != nil {
		return ref
	}
	wire, err := rq.fill(r.Body, int(lim.Body))
	if err != nil && isMalformed(r, err) {
		return refuse(codeBadEncoding, "the body is not in chunks as its Transfer-Encoding says; mend the client or the proxy before this server, or send Content-Length instead")
	}
	if err != nil {
		return rq.bodyRefusal(err, "the body is larger than "+lim.Body.String()+"; send smaller batches")
	}
	rq.size = len(wire.b)
	if len(wire.b) == 0 {
		rq.drop(wire)
		return refuse(codeEmptyBody, emptyBody)
	}
	if open == nil {
		rq.body = wire
		return nil
	}
	defer rq.drop(wire)
	return rq.inflate(open, wire)
}

func (rq *request) inflate(open opener, wire *buffer) *refusal {
	lim := rq.srv.cfg.Limits
	if !rq.srv.inflaters.enter() {
		return refuse(codeOverloaded, "too many compressed bodies are waiting; repeat the request")
	}
	defer rq.srv.inflaters.exit()
	in, done, err := open(wire.b)
	if err != nil {
		rq.keep(wire)
		return refuse(codeBadEncoding, "the body is not compressed as its Content-Encoding says; leave that out if it is not compressed")
	}
	defer done()
	rq.body, err = rq.fill(in, int(lim.Inflated))
	switch {
	case errors.Is(err, errLimit), errors.Is(err, errGate):
		return rq.bodyRefusal(err, "the inflated body is larger than "+lim.Inflated.String()+"; send smaller batches")
	case err != nil:
		return refuse(codeBadEncoding, "the body is not compressed as its Content-Encoding says; leave that out if it is not compressed")
	case len(rq.body.b) == 0:
		return refuse(codeEmptyBody, emptyBody)
	}
	return nil
}

func (rq *request) bodyRefusal(err error, tooLarge string) *refusal {
	switch {
	case errors.Is(err, errLimit):
		return refuse(codeBodyTooLarge, tooLarge)
	case errors.Is(err, errGate):
		return rq.noRoom()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(codeBodyTimeout, "the body did not arrive within "+rq.srv.cfg.Timeouts.Body.String()+"; repeat the request")
	}
	return &refusal{code: codeBodyTimeout, message: "the body ended early", gone: true}
}

// isMalformed says whether err is about chunks that nobody could read, which no repetition mends. net/http has no type for
// those: they are what is left when neither this package nor the connection has ended the body.
func isMalformed(r *http.Request, err error) bool {
	if len(r.TransferEncoding) == 0 {
		return false
	}
	for _, other := range []error{errLimit, errGate, io.ErrUnexpectedEOF, http.ErrBodyReadAfterClose} {
		if errors.Is(err, other) {
			return false
		}
	}
	_, network := errors.AsType[net.Error](err)
	return !network
}

// opener makes a reader of compressed bytes; done gives it back.
type opener func(b []byte) (in io.Reader, done func(), err error)

// inflaters pools decompressors, whose windows are worth keeping. Those of zstd have up to 8 MiB, which a body of some
// bytes can ask for: so there are never more at work than processors, which would not make it any faster.
type inflaters struct {
	slots                   chan struct{}
	gzip, zlib, flate, zstd sync.Pool
}

// maxInflaters bounds them on large machines.
const maxInflaters = 16

func newInflaters() inflaters {
	return inflaters{slots: make(chan struct{}, min(runtime.GOMAXPROCS(0), maxInflaters))}
}

// enter waits for a slot, which takes as long as some bodies need to be inflated, or says that too many wait. The body
// is in memory, so who has a slot waits for nobody.
func (p *inflaters) enter() bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
	}
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case p.slots <- struct{}{}:
		return true
	case <-limit.C:
		return false
	}
}

func (p *inflaters) exit() { <-p.slots }

// inflater returns how to open a body with h, or nil if it is not compressed. Stacked encodings are refused.
func (s *Server) inflater(h http.Header) (opener, *refusal) {
	values := h["Content-Encoding"]
	if len(values) == 0 {
		return nil, nil
	}
	switch strings.ToLower(strings.TrimSpace(strings.Join(values, ","))) {
	case "", "identity":
		return nil, nil
	case "gzip", "x-gzip":
		return s.inflaters.openGzip, nil
	case "deflate":
		return s.inflaters.openDeflate, nil
	case "zstd":
		return s.inflaters.openZstd, nil
	}
	return nil, refuse(codeBadEncoding, "Content-Encoding must be gzip, deflate or zstd, once, or be left out")
}

func (p *inflaters) openGzip(b []byte) (io.Reader, func(), error) {
	z, ok := p.gzip.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	if err := z.Reset(&byteReader{b: b}); err != nil {
		p.gzip.Put(z)
		return nil, nil, err
	}
	return z, func() { p.gzip.Put(z) }, nil
}

// openDeflate tells RFC 1950 from RFC 1951 by the header of the former: half of all clients send the latter.
func (p *inflaters) openDeflate(b []byte) (io.Reader, func(), error) {
	pool, wrapped := &p.flate, len(b) >= 2 && b[0]&0x0f == 8 && (int(b[0])<<8|int(b[1]))%31 == 0
	if wrapped {
		pool = &p.zlib
	}
	src := &byteReader{b: b}
	z, ok := pool.Get().(io.Reader)
	var err error
	switch {
	case !ok && wrapped:
		z, err = zlib.NewReader(src)
	case !ok:
		z = flate.NewReader(src)
	case wrapped:
		err = z.(zlib.Resetter).Reset(src, nil)
	default:
		err = z.(flate.Resetter).Reset(src, nil)
	}
	if err != nil {
		return nil, nil, err
	}
	return z, func() { pool.Put(z) }, nil
}

func (p *inflaters) openZstd(b []byte) (io.Reader, func(), error) {
	z, ok := p.zstd.Get().(*zstd.Decoder)
	if !ok {
		var err error
		if z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20)); err != nil {
			return nil, nil, err
		}
	}
	if err := z.Reset(&byteReader{b: b}); err != nil {
		return nil, nil, err
	}
	return z, func() {
		if z.Reset(nil) == nil { // lets go of the body
			p.zstd.Put(z)
		}
	}, nil
}

// byteReader is a bytes.Reader without its other methods: the zstd decoder would decode the whole of one at once,
// without a bound, if it saw that it could.
type byteReader struct{ b []byte }

func (r *byteReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

func (r *byteReader) ReadByte() (byte, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c, nil
}
