package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// write is the group commit: it writes what gathered while it synced the group before. After ctx it ends with an empty
// queue.
func (s *spool) write(ctx context.Context) {
	var items []item
	var buf []byte
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
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
		s.probe()
		select {
		case <-s.writing:
		case <-tick.C:
		case <-ctx.Done():
			s.seal()
			return // what is queued yet was acknowledged to nobody
		}
	}
}

// probe tries a new segment while the spool is broken: a server that is not ready may get no request to try it with.
func (s *spool) probe() {
	s.mu.Lock()
	due := s.failures >= maxFailures && !time.Now().Before(s.retryAt)
	s.mu.Unlock()
	if !due {
		return
	}
	err := s.begin() // the last one was sealed when it failed
	if err == nil {
		if err = s.active.Sync(); err != nil {
			err = fmt.Errorf("%w: %w", errSync, err)
		}
	}
	if err != nil {
		s.fail(err, 0)
		return
	}
	s.mu.Lock()
	s.failures = 0
	s.mu.Unlock()
	s.log.Info("spool can be written again", "dir", s.dir)
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
		if ref == nil && items[i].rq != nil {
			s.metrics.spoolFrames.Inc() // before its sender can ask
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
	if _, err = f.Write(newSegmentHeader(seq)); err == nil {
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
