package millstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// run is the writer: it takes over what dead owners have left, then moves events from the queue into files until ctx
// ends and the sender has, and then once more.
func (s *spool) run(ctx context.Context, sender <-chan struct{}) {
	s.reopen(time.Now())
	for ctx.Err() == nil {
		in := s.turn(time.Now(), false)
		timer := time.NewTimer(in)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	<-sender
	for s.turn(time.Now(), true) == 0 { // closed, so the queue only shrinks
	}
	s.leave()
}

// turn does what is due, all of it at last, and returns how long nothing else is.
func (s *spool) turn(now time.Time, last bool) time.Duration {
	if s.isBroken() {
		if now.Before(s.retry) && !last {
			s.tidy() // delivered events must not come again
			return s.retry.Sub(now)
		}
		s.reopen(now)
		if s.isBroken() {
			return s.hooks.retry
		}
	}
	in, hurry := s.writeDue(last)
	if in <= 0 {
		more, err := s.write()
		if err != nil {
			s.fail(err)
			return s.hooks.retry
		}
		if in = spoolRetry; more {
			in = 0
		}
	}
	if next, err := s.syncDue(now, hurry || last); err != nil {
		s.fail(err)
		return s.hooks.retry
	} else if next > 0 {
		in = min(in, next)
	}
	if s.changed() {
		if wait := s.tidied.Add(spoolSync).Sub(now); wait <= 0 || last {
			s.tidy()
			s.tidied = now
		} else {
			in = min(in, wait)
		}
	}
	return min(in, s.keep(now))
}

// writeDue returns how long what is queued may wait, and whether somebody waits for it to be synced.
func (s *spool) writeDue(last bool) (in time.Duration, hurry bool) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	hurry = s.opts.Fsync == FsyncAlways || s.unsynced <= c.flushTo || c.popped < c.flushTo
	switch {
	case c.q.n == 0 || c.consent != ConsentGranted:
		return spoolRetry, hurry
	case last || hurry || c.q.bytes >= spoolGroup || c.q.n >= s.many():
		return 0, hurry
	}
	return c.q.peek().at + spoolDelay - c.age(), hurry
}

// write moves the queue into the open segment. It reports whether there is more: calls may be faster than the disk, and
// what else is due must not wait for them.
func (s *spool) write() (more bool, err error) {
	c := s.c
	for range 8 {
		c.mu.Lock()
		if c.q.n == 0 || c.consent != ConsentGranted {
			c.mu.Unlock()
			return false, nil
		}
		var n int
		s.group, n = c.q.lines(s.group[:0], spoolGroup)
		first, at := c.popped+1, c.q.peek().at
		c.mu.Unlock()
		seg, err := s.current()
		if err != nil {
			return false, err
		}
		if _, err := s.hooks.write(seg.file, s.group); err != nil {
			_ = seg.file.Truncate(seg.size) // half a group would be sent twice, which its ids would mend
			return false, fmt.Errorf("write %s: %w", seg.path, err)
		}
		s.hooks.step("written")
		if !seg.mine() {
			// Another process took us for dead. What it has taken over is its own; whether it has seen this group, nobody
			// knows, so the group is written again.
			s.renew(seg)
			continue
		}
		if !s.wrote(seg, n, first, at) {
			_ = seg.file.Truncate(seg.size)
		}
	}
	return true, nil
}

// wrote hands the group over from the queue to seg, unless it was dropped while it was written.
func (s *spool) wrote(seg *segment, n int, first uint64, at time.Duration) bool {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.popped+1 != first {
		return false
	}
	c.q.skip(n)
	c.popped += uint64(n)
	if s.unsynced == none && s.opts.Fsync != FsyncNever {
		s.unsynced = first
	}
	seg.size += int64(len(s.group))
	seg.last = time.Now()
	seg.lines += n
	if s.waiting == 0 {
		s.since = at
	}
	s.waiting += n
	s.bytes += int64(len(s.group))
	c.stats.Spooled += n
	c.notify()
	c.signal()
	return true
}

// current returns the segment to write to, a new one if the last is full.
func (s *spool) current() (*segment, error) {
	if seg := s.open(); seg != nil {
		if seg.size < segmentBytes && time.Since(seg.born) < segmentAge {
			return seg, nil
		}
		if err := s.shut(seg); err != nil {
			return nil, err
		}
	}
	seg, err := createSegment(segmentPath(s.opts.Dir, s.owner, s.next))
	if err != nil {
		return nil, err
	}
	s.next++
	s.fresh = true
	s.c.mu.Lock()
	s.spare()
	s.segments = append(s.segments, seg)
	s.c.mu.Unlock()
	s.hooks.step("created")
	return seg, nil
}

// spare closes the newest file but the one to come, if too many are open: the sender needs it last. c.mu is held.
func (s *spool) spare() {
	if n := len(s.segments); n >= s.hooks.files && s.segments[n-1].file != nil {
		_ = s.segments[n-1].file.Close()
		s.segments[n-1].file = nil
	}
}

// open returns the segment that is written, or nil.
func (s *spool) open() *segment {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if n := len(s.segments); n > 0 && s.segments[n-1].open {
		return s.segments[n-1]
	}
	return nil
}

// shut syncs and closes the open segment.
func (s *spool) shut(seg *segment) error {
	err := s.sync(seg)
	s.close(seg)
	return err
}

// close ends the writing of seg, whose file stays open for reading.
func (s *spool) close(seg *segment) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	seg.open = false
	s.moved = true
}

// mine reports whether the open file is still the one of its name.
func (g *segment) mine() bool {
	there, err := os.Stat(g.path)
	if err != nil {
		return false
	}
	here, err := g.file.Stat()
	return err == nil && os.SameFile(there, here)
}

// renew goes on as a new owner, after another process has taken over the segments of the old one. Their events are
// sent twice, with the same ids.
func (s *spool) renew(seg *segment) {
	s.close(seg)
	living.Delete(s.owner)
	s.owner = newOwner()
	_ = writeLease(s.opts.Dir, s.owner) // the next touch tries again, and says what is wrong
	s.c.mu.Lock()
	s.unsynced = none // it is in the other's hands
	s.c.notify()
	s.c.mu.Unlock()
	s.c.warn.warn("owner", "millstream: another process has taken over the spool's files, after this one had stood still", "file", seg.path)
}

// syncDue syncs if that is due, and returns how long it is until then: 0 for not.
func (s *spool) syncDue(now time.Time, hurry bool) (time.Duration, error) {
	s.c.mu.Lock()
	dirty := s.unsynced != none
	s.c.mu.Unlock()
	seg := s.open()
	if !dirty || seg == nil {
		return 0, nil
	}
	if wait := s.synced.Add(spoolSync).Sub(now); wait > 0 && !hurry {
		return wait, nil
	}
	s.synced = now
	return 0, s.sync(seg)
}

func (s *spool) sync(seg *segment) error {
	if s.opts.Fsync == FsyncNever {
		return nil
	}
	if err := s.hooks.sync(seg.file); err != nil {
		return fmt.Errorf("sync %s: %w", seg.path, err)
	}
	if s.fresh { // else a crash of the machine may forget the name
		if err := syncDir(s.opts.Dir); err != nil {
			return err
		}
		s.fresh = false
	}
	s.c.mu.Lock()
	s.unsynced = none
	s.c.notify()
	s.c.mu.Unlock()
	s.hooks.step("synced")
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrInvalid) && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("sync %s: %w", dir, err) // the others: a system that has no such thing
	}
	return nil
}

func (s *spool) changed() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.moved
}

// tidy removes segments of which every event has a fate, and writes the positions of the others.
func (s *spool) tidy() {
	type place struct {
		seg *segment
		pos int64
	}
	var done, behind []place
	c := s.c
	c.mu.Lock()
	left := s.segments[:0]
	for _, seg := range s.segments {
		switch {
		case seg.lines == 0 && !seg.open:
			done = append(done, place{seg, 0})
			continue
		case seg.pos != seg.kept:
			behind = append(behind, place{seg, seg.pos})
		}
		left = append(left, seg)
	}
	clear(s.segments[len(left):])
	s.segments = left
	s.moved = false
	c.mu.Unlock()
	for _, p := range done {
		if p.seg.file != nil {
			_ = p.seg.file.Close()
		}
		if err := os.Remove(p.seg.path); err != nil && !os.IsNotExist(err) {
			c.warn.warn("remove", "millstream: a delivered file of the spool stays: its events will come again", "err", err)
			continue
		}
		s.hooks.step("removed")
		_ = os.Remove(posPath(p.seg.path)) // without its segment nobody reads it
	}
	for _, p := range behind {
		if p.seg.file != nil && !p.seg.mine() {
			continue // its position is another's
		}
		if err := writePos(p.seg.path, p.pos); err != nil {
			c.warn.warn("pos", "millstream: a position of the spool is not written: events may come again", "err", err)
			continue
		}
		p.seg.kept = p.pos
		s.hooks.step("position")
	}
}

// leave ends the ownership: segments without a lease are anybody's.
func (s *spool) leave() {
	if seg := s.open(); seg != nil {
		s.close(seg)
	}
	s.tidy()
	for _, seg := range s.segments { // the sender has ended
		if seg.file != nil {
			_ = seg.file.Close()
		}
	}
	_ = os.Remove(leasePath(s.opts.Dir, s.owner)) // a lease that stays is too old in a minute
	living.Delete(s.owner)
}

func (s *spool) isBroken() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.broken
}

// fail leaves the events to memory, until reopen.
func (s *spool) fail(err error) {
	if seg := s.open(); seg != nil {
		s.close(seg)
	}
	s.retry = time.Now().Add(s.hooks.retry)
	c := s.c
	c.mu.Lock()
	s.broken = true
	c.stats.LastError = err.Error()
	c.notify()
	c.mu.Unlock()
	c.signal()
	c.warn.warn("spool", "millstream: the spool does not work, events are in memory only", "dir", s.opts.Dir, "err", err)
}
