package ingest

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
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
	short    int64 // the last reservation, if it did not fit

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
	turn int      // of ln when it was queued
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
	for at, n := filepath.Dir(dir), 0; n < 2; at, n = filepath.Dir(at), n+1 { // a power cut must not take the folder itself
		if err := syncFolder(at); err != nil {
			break // somebody else's, who has seen to it
		}
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

// spoil notes damage from one byte of a segment to another. Its file will be kept.
func (s *spool) spoil(seq uint64, from, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		if seg.seq != seq || to <= seg.spoilt {
			continue // other passes come by, too
		}
		if !seg.bad {
			s.corrupt++
			s.metrics.spoolErrors.WithLabelValues("corrupt").Inc()
		}
		seg.bad, seg.sealed, seg.spoilt = true, true, to
		s.log.Error("spool is damaged; the frames in this place are not sent and their file is kept",
			"segment", filepath.Join(s.dir, segmentName(seq)), "from", from, "to", to)
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
	if !s.fits(n) {
		s.short = n
		s.metrics.spoolErrors.WithLabelValues("full").Inc()
		return refuse(codeSpoolFull, "Kafka is away and the spool is full; repeat the request")
	}
	s.short = 0
	s.reserved += n
	return nil
}

// fits says whether there is room for n bytes. The caller holds the lock.
func (s *spool) fits(n int64) bool {
	if now := time.Now(); now.Sub(s.looked) > time.Second {
		s.looked = now
		room, err := s.free()
		if err != nil {
			s.log.Warn("room on disk is not known", "dir", s.dir, "err", err)
			room = 0
		}
		s.room = room
	}
	return s.used+s.reserved+n <= int64(s.cfg.MaxBytes) && s.room-s.reserved-n >= int64(s.cfg.MinFree)
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
	case s.short > 0 && !s.fits(s.short): // asked anew, for while readiness fails no request may come to ask
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
