package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// spool keeps on disk what Kafka does not take now. One goroutine writes; reservations and the queue are of all.
type spool struct {
	dir     string
	cfg     Spool
	log     *slog.Logger
	metrics *metrics
	lock    *os.File
	create  func(path string) (spoolFile, error) // os files, but for tests
	free    func() (int64, error)
	step    func(name string) // nothing, but for tests

	writing chan struct{} // one element: there is something in the queue
	frames  chan struct{} // one element: there is something to drain

	mu       sync.Mutex // guards what follows; a lane's lock is taken before it
	segs     []*segment
	nextSeq  uint64
	queue    []item
	queued   []byte // the frames of queue, one behind the other
	busy     bool   // the writer has taken a queue and is not done with it
	reserved int64  // bytes that were promised and are not on disk
	used     int64
	corrupt  int
	torn     int // at the start
	failures int // in a row
	retryAt  time.Time
	room     int64 // of the file system, at looked
	looked   time.Time
	full     bool // the last reservation did not fit

	active spoolFile // the writer's own
	file   *segment  // of active
}

// spoolFile is a segment being written. Tests give one that fails.
type spoolFile interface {
	Write(b []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// item is what the writer knows of a frame. Without size it is a barrier: a lane wants to know the end.
type item struct {
	ln   *lane
	rq   *request // holds one use of it; nil for a barrier
	e    *entry   // of a record that the producer has, too
	size int64
}

const (
	groupBytes  = 1 << 20
	maxFailures = 3
	brokenFor   = 10 * time.Second
)

// openSpool locks the folder and mends what an earlier process may have left half done.
func openSpool(dir string, cfg Spool, log *slog.Logger) (*spool, error) {
	s := &spool{
		dir: dir, cfg: cfg, log: log, writing: make(chan struct{}, 1), frames: make(chan struct{}, 1), step: func(string) {},
		create: func(path string) (spoolFile, error) {
			return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		},
		free: func() (int64, error) { return freeBytes(dir) },
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ingest.data_dir: %w", err)
	}
	if err := s.take(); err != nil {
		return nil, err
	}
	var err error
	if s.segs, s.corrupt, err = listSegments(dir); err == nil {
		err = s.mend()
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("ingest.data_dir: spool %s: %w", dir, err)
	}
	return s, nil
}

// take locks the folder. The lock ends with the process, however that ends.
func (s *spool) take() error {
	f, err := os.OpenFile(filepath.Join(s.dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("ingest.data_dir: %w", err)
	}
	if err := tryLock(f); err != nil {
		var holder [32]byte
		n, _ := f.ReadAt(holder[:], 0)
		_ = f.Close()
		return fmt.Errorf("ingest.data_dir: %s is in use by process %s; stop that one, or choose another folder", s.dir, holder[:n])
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // names the holder; the lock holds without it
	}
	s.lock = f
	return nil
}

func (s *spool) close() {
	_ = s.lock.Close() // gives up the lock; nothing of worth was written
}

// mend cuts the last segment behind its last good frame: the rest was never acknowledged to anybody.
func (s *spool) mend() error {
	for _, seg := range s.segs {
		s.used += seg.size
		s.nextSeq = seg.seq + 1
	}
	if len(s.segs) == 0 {
		s.nextSeq = 1
		return nil
	}
	last := s.segs[len(s.segs)-1]
	path := filepath.Join(s.dir, segmentName(last.seq))
	good, err := goodPart(path, last.seq)
	if err != nil || good == last.size {
		return err
	}
	s.log.Warn("spool has a torn end, which was never acknowledged", "segment", path, "bytes", last.size-good)
	if err := tear(path, good); err != nil {
		return err
	}
	s.used -= last.size - good
	last.size = good
	if good == 0 {
		s.segs = s.segs[:len(s.segs)-1]
	}
	s.torn++
	return syncFolder(s.dir)
}

// segmentFrom returns a copy of the first segment at or behind seq. If there is none, it has the number of the next one:
// asked for later, that could hold frames already.
func (s *spool) segmentFrom(seq uint64) (segment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		if seg.seq >= seq {
			return *seg, true
		}
	}
	return segment{seq: s.nextSeq}, false
}

// spoil ends a segment where damage begins. Its file will be kept.
func (s *spool) spoil(at position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		if seg.seq == at.seq && !seg.bad {
			seg.size, seg.bad, seg.sealed = at.at, true, true
			s.corrupt++
			s.metrics.spoolErrors.WithLabelValues("corrupt").Inc()
			s.log.Error("spool is damaged; frames behind this place are lost to the drain and their file is kept",
				"segment", filepath.Join(s.dir, segmentName(seg.seq)), "byte", at.at)
		}
	}
}

// end is where the next frame will not stand before.
func (s *spool) end() position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.segs); n > 0 && !s.segs[n-1].sealed {
		return position{s.segs[n-1].seq, s.segs[n-1].size}
	}
	return position{s.nextSeq, segmentHeader}
}

// reserve promises room for n bytes, or refuses.
func (s *spool) reserve(n int64) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.failures >= maxFailures {
		if now.Before(s.retryAt) {
			return refuse(codeNotDurable, "Kafka is away and the spool cannot be written; repeat the request")
		}
		s.retryAt = now.Add(brokenFor) // this request is the probe
	}
	if now.Sub(s.looked) > time.Second {
		s.looked = now
		room, err := s.free()
		if err != nil {
			s.log.Warn("room on disk is not known", "dir", s.dir, "err", err)
			room = 0
		}
		s.room = room
	}
	s.full = s.used+s.reserved+n > int64(s.cfg.MaxBytes) || s.room-s.reserved-n < int64(s.cfg.MinFree)
	if s.full {
		s.metrics.spoolErrors.WithLabelValues("full").Inc()
		return refuse(codeSpoolFull, "Kafka is away and the spool is full; repeat the request")
	}
	s.reserved += n
	return nil
}

func (s *spool) unreserve(n int64) {
	s.mu.Lock()
	s.reserved -= n
	s.mu.Unlock()
}

// holds says whether there are frames on disk, or about to be.
func (s *spool) holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.segs) > 0 || s.busy || len(s.queue) > 0
}

func (s *spool) damaged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.corrupt
}

// sizes are for metrics.
func (s *spool) sizes() (used int64, segments int, oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		if oldest.IsZero() && seg.size > segmentHeader {
			oldest = seg.born
		}
	}
	return s.used, len(s.segs), oldest
}

// spoolDir is where the files are.
func spoolDir(c Config) string { return filepath.Join(c.DataDir, "spool") }

// usable says in a sentence why nothing can be spooled, or returns "".
func (s *spool) usable() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failures >= maxFailures:
		return "The spool cannot be written."
	case s.full:
		return "The spool is full."
	}
	return ""
}

// enqueue hands a frame to the writer. Room was reserved, and the caller holds the lock of it.ln, so that the frames of
// a lane stand in the order in which its records were accepted.
func (s *spool) enqueue(it item, put func(dst []byte) []byte) {
	s.mu.Lock()
	if put != nil {
		s.queued = put(s.queued)
	}
	s.queue = append(s.queue, it)
	s.mu.Unlock()
	poke(s.writing)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write is the group commit: it writes what gathered while it synced the group before. After ctx it ends with an empty
// queue.
func (s *spool) write(ctx context.Context) {
	var items []item
	var buf []byte
	for {
		s.mu.Lock()
		items, s.queue = s.queue, items[:0]
		buf, s.queued = s.queued, buf[:0]
		s.busy = len(items) > 0
		s.mu.Unlock()
		s.groups(items, buf)
		clear(items)
		if cap(buf) > 4*groupBytes {
			buf = nil
		}
		if len(items) > 0 {
			continue
		}
		select {
		case <-s.writing:
		case <-ctx.Done():
			s.seal()
			return // what is queued yet was acknowledged to nobody
		}
	}
}

// groups commits items in groups of a bounded size.
func (s *spool) groups(items []item, buf []byte) {
	for len(items) > 0 {
		n, size := 0, int64(0)
		for n < len(items) && (size == 0 || size+items[n].size <= groupBytes) {
			size += items[n].size
			n++
		}
		s.group(items[:n], buf[:size])
		items, buf = items[n:], buf[size:]
	}
	s.mu.Lock()
	s.busy = false
	s.mu.Unlock()
}

// group makes frames durable and then tells the lanes. What was read before the size of the segment grows is not there
// for the drain.
func (s *spool) group(items []item, buf []byte) {
	from, err := position{}, error(nil)
	if len(buf) > 0 {
		from, err = s.commit(buf)
	}
	var ref *refusal
	if err != nil {
		ref = s.fail(err, int64(len(buf)))
		from = s.end()
	} else if len(buf) == 0 {
		from = s.end()
	}
	at := from
	for i := range items {
		next := at
		if ref == nil {
			next.at += items[i].size
		}
		items[i].ln.written(&items[i], at, next, ref)
		at = next
	}
	if len(buf) > 0 && err == nil {
		s.mu.Lock()
		s.file.size += int64(len(buf))
		s.used += int64(len(buf))
		s.reserved -= int64(len(buf))
		s.room -= int64(len(buf))
		s.failures = 0
		s.mu.Unlock()
		for i := range items {
			if items[i].rq != nil {
				s.metrics.spoolFrames.Inc()
			}
		}
	}
	for i := range items {
		if items[i].rq != nil {
			items[i].rq.leave()
		}
	}
	poke(s.frames)
}

// commit appends buf and syncs. It returns where buf begins.
func (s *spool) commit(buf []byte) (position, error) {
	s.mu.Lock()
	if s.file != nil && (s.file.sealed || s.file.size >= int64(s.cfg.Segment)) {
		s.file.sealed = true
		s.mu.Unlock()
		s.seal()
		s.mu.Lock()
	}
	s.mu.Unlock()
	if s.active == nil {
		if err := s.begin(); err != nil {
			return position{}, fmt.Errorf("new segment: %w", err)
		}
	}
	s.step("before write")
	if _, err := s.active.Write(buf); err != nil {
		return position{}, fmt.Errorf("write: %w", err)
	}
	s.step("written")
	start := time.Now()
	if err := s.active.Sync(); err != nil {
		return position{}, fmt.Errorf("%w: %w", errSync, err)
	}
	s.metrics.spoolFsync.Observe(time.Since(start).Seconds())
	s.step("synced")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file.bad { // the drain has met damage in it
		return position{}, errFrame
	}
	return position{s.file.seq, s.file.size}, nil
}

var errSync = errors.New("fsync")

// begin opens a segment.
func (s *spool) begin() error {
	s.mu.Lock()
	seq := s.nextSeq
	s.mu.Unlock()
	f, err := s.create(filepath.Join(s.dir, segmentName(seq)))
	if err != nil {
		s.mu.Lock()
		s.nextSeq++ // a file of that name may be there
		s.mu.Unlock()
		return err
	}
	if _, err = f.Write(appendSegmentHeader(nil, seq)); err == nil {
		err = syncFolder(s.dir)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(filepath.Join(s.dir, segmentName(seq))) // it holds nothing
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.nextSeq++
	s.active, s.file = f, &segment{seq: seq, size: segmentHeader, born: time.Now()}
	s.segs = append(s.segs, s.file)
	s.used += segmentHeader
	s.mu.Unlock()
	return nil
}

// fail gives the segment up where it is durable: after a failed sync the kernel may have dropped its pages, and a
// second one would lie.
func (s *spool) fail(err error, n int64) *refusal {
	kind, ref := "write", refuse(codeNotDurable, "the spool cannot be written; repeat the request")
	switch {
	case errors.Is(err, syscall.ENOSPC):
		kind, ref = "full", refuse(codeSpoolFull, "the disk of the spool is full; repeat the request")
	case errors.Is(err, errSync):
		kind = "fsync"
	}
	s.metrics.spoolErrors.WithLabelValues(kind).Inc()
	if s.active != nil && !errors.Is(err, errFrame) {
		// Without the tail a restart does not take the segment for a damaged one.
		if err := s.active.Truncate(s.file.size); err != nil {
			s.log.Warn("tail of a failed segment stays", "seq", s.file.seq, "err", err)
		}
	}
	s.mu.Lock()
	if s.file != nil {
		s.file.sealed = true
	}
	s.reserved -= n
	s.failures++
	s.retryAt = time.Now().Add(brokenFor)
	failures := s.failures
	s.looked = time.Time{}
	s.mu.Unlock()
	s.seal()
	s.log.Error("spool was not written; its requests are answered 503", "err", err, "in_a_row", failures)
	return ref
}

// seal ends the active segment. Only the writer calls it.
func (s *spool) seal() {
	if s.active == nil {
		return
	}
	_ = s.active.Close() // what counts was synced
	s.mu.Lock()
	s.file.sealed = true
	s.active, s.file = nil, nil
	s.mu.Unlock()
}
