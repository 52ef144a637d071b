package millstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	spoolDelay = 100 * time.Millisecond // until an event is written
	spoolSync  = time.Second            // until it is synced, and positions are written
	spoolGroup = 256 << 10              // bytes written at once, and that are not let wait for spoolDelay
	spoolRetry = 10 * time.Second       // until a spool that does not work is tried again
	spoolLook  = time.Minute            // between two looks for dead owners
	spoolFiles = 64                     // held open
	maxMisses  = 600                    // reads of a file, a tenth of spoolRetry apart, before it is given up
)

// spool keeps events in files from their call to their fate. Two goroutines share it: the writer moves events from the
// queue into the last segment and does all that changes files, the sender reads from the first on. While it is broken
// the queue holds the events, as without a spool.
type spool struct {
	c     *Client
	opts  Spool
	hooks hooks
	wake  chan struct{} // one token for the writer

	// The writer's own.
	owner    string
	next     uint64 // sequence of the next segment
	group    []byte
	fresh    bool // a segment was created since the folder was synced
	retry    time.Time
	synced   time.Time
	tidied   time.Time
	touched  time.Time
	looked   time.Time
	suspects map[string]suspect // by owner

	// The sender's own.
	buf    []byte
	misses int // reads in a row that went wrong

	// Guarded by Client.mu.
	segments []*segment // oldest first; the last may be the one that is written
	bytes    int64      // of lines without a fate
	waiting  int        // lines that the sender has not taken
	since    time.Duration
	unsynced uint64 // sequence of the first event that is written and not synced, or none
	moved    bool   // a position has changed since the files were tidied
	rush     bool   // a flush waits
	broken   bool
}

// hooks are the tests' way to fill a disk and to crash between two steps.
type hooks struct {
	write func(*os.File, []byte) (int, error)
	sync  func(*os.File) error
	open  func(string) (*os.File, error) // for reading
	step  func(string)                   // after each change of the folder
	retry time.Duration
	watch time.Duration
	files int // open at most
}

func newSpool(c *Client, opts Spool, h hooks) *spool {
	if h.write == nil {
		h.write = (*os.File).Write
	}
	if h.sync == nil {
		h.sync = (*os.File).Sync
	}
	if h.open == nil {
		h.open = os.Open
	}
	if h.step == nil {
		h.step = func(string) {}
	}
	if h.retry == 0 {
		h.retry = spoolRetry
	}
	if h.files == 0 {
		h.files = spoolFiles
	}
	if h.watch == 0 {
		h.watch = leaseWatch
	}
	return &spool{c: c, opts: opts, hooks: h, wake: make(chan struct{}, 1), unsynced: none, suspects: map[string]suspect{}}
}

func (s *spool) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// admits reports whether size more bytes are within the bound. c.mu is held.
func (s *spool) admits(size int) bool {
	return s.broken || s.bytes+int64(s.c.q.bytes+s.c.q.n+size+1) <= s.opts.MaxBytes
}

// crossed reports whether the event that entered the queue last, of size, makes the writer's next write due or set its
// clock. c.mu is held.
func (s *spool) crossed(size int) bool {
	q := &s.c.q
	return q.n == 1 || q.n == s.many() || q.bytes >= spoolGroup && q.bytes-size < spoolGroup || s.opts.Fsync == FsyncAlways
}

// many is how many events do not wait for spoolDelay, lest the queue fills meanwhile.
func (s *spool) many() int { return max(1, s.c.opts.QueueEvents/4) }

// hold returns when event number seq is safe, or cannot become so.
func (s *spool) hold(seq uint64) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.safe(seq) && !s.broken && c.consent == ConsentGranted {
		changed := c.change()
		c.mu.Unlock()
		<-changed
		c.mu.Lock()
	}
}

// due returns what the sender's clock goes by: events and bytes in the files, when the oldest came, whether it is now.
// c.mu is held.
func (s *spool) due() (n, bytes int, oldest time.Duration, now bool) {
	for _, seg := range s.segments {
		bytes += int(seg.size - seg.taken)
	}
	return s.waiting, bytes, s.since, s.rush || s.c.consent == ConsentDenied
}

// take fills b from the oldest segment that has lines left. It reports whether there was one.
func (s *spool) take(ctx context.Context, b *batch) bool {
	c := s.c
	c.mu.Lock()
	var from segment
	var seg *segment
	for _, seg = range s.segments {
		if seg.taken < seg.size {
			from = segment{path: seg.path, file: seg.file, own: seg.own, taken: seg.taken, size: seg.size, last: seg.last}
			break
		}
	}
	c.mu.Unlock()
	if from.size == 0 {
		return false
	}
	offset, age := from.taken, time.Since(from.last)
	lines, buf, err := s.readLines(&from, s.buf, offset, from.size, c.opts.BatchBytes)
	s.buf = buf
	if err != nil {
		s.misread(ctx, seg, err)
		return true
	}
	s.misses = 0
	at := c.age() - age
	good, bad := 0, 0
	for _, l := range lines {
		if !from.own && !isEvent(l.text) {
			bad++
			offset = l.next
			continue
		}
		if good == c.opts.BatchEvents || good > 0 && bodyExtra+len(b.events)+1+len(l.text) > c.opts.BatchBytes {
			break
		}
		if good++; good > 1 {
			b.events = append(b.events, ',')
		}
		start := len(b.events)
		b.events = append(b.events, l.text...)
		b.items = append(b.items, entry{start: start, end: len(b.events), at: at, next: l.next})
		offset = l.next
	}
	if good > 0 {
		b.items[good-1].next = offset
	}
	b.from = seg
	s.took(seg, offset, good, bad)
	return true
}

// took moves the sender's place in seg behind what it has taken, and drops lines that are no events, of which
// the numbers tell alone: they have no id.
func (s *spool) took(seg *segment, offset int64, good, bad int) {
	c := s.c
	c.mu.Lock()
	seg.taken = offset
	s.waiting -= good + bad
	if s.waiting == 0 {
		s.rush = false
	}
	if good == 0 {
		s.settled(seg, bad, offset)
	} else {
		seg.lines -= bad
		c.stats.Spooled -= bad
	}
	c.count(Dropped, ReasonSpoolError, bad)
	if bad > 0 {
		c.stats.LastError = fmt.Sprintf("spool: %s: %d lines are no events", seg.path, bad)
	}
	c.notify()
	c.mu.Unlock()
	if bad > 0 {
		c.warn.warn("line", "millstream: lines of the spool are no events", "file", seg.path, "lines", bad)
	}
}

// settled moves the position of seg to next, for n lines have got their fate. c.mu is held.
func (s *spool) settled(seg *segment, n int, next int64) {
	seg.lines -= n
	s.c.stats.Spooled -= n
	s.bytes -= next - seg.pos
	seg.pos = next
	if !s.moved {
		s.moved = true
		s.signal()
	}
}

// isEvent reports whether a line that another client has written may be sent.
func isEvent(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) > 0 && line[0] == '{' && json.Valid(line)
}

// misread gives up a file that is gone or shorter than it was. Any other trouble, such as too many open files, may pass.
func (s *spool) misread(ctx context.Context, seg *segment, err error) {
	s.misses++
	if s.misses == maxMisses || errors.Is(err, os.ErrNotExist) || errors.Is(err, errShort) {
		s.misses = 0
		s.lose(seg, err)
		return
	}
	s.c.fail(err.Error())
	s.c.warn.warn("read", "millstream: a file of the spool is not readable", "file", seg.path, "err", err)
	rest(ctx, s.hooks.retry/10)
}

// lose gives up a file that is gone or not readable. The sender calls it, when no event of the file is in flight.
func (s *spool) lose(seg *segment, err error) {
	c := s.c
	c.mu.Lock()
	n := seg.lines
	s.waiting -= n
	s.settled(seg, n, seg.size)
	seg.taken = seg.size
	if errors.Is(err, os.ErrNotExist) {
		c.stats.HandedOver += uint64(n)
	} else {
		c.count(Dropped, ReasonSpoolError, n)
	}
	c.stats.LastError = err.Error()
	c.notify()
	c.mu.Unlock()
	c.warn.warn("lose", "millstream: a file of the spool is lost", "file", seg.path, "events", n, "err", err)
}
