package millstream

import (
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// reopen opens the folder: at the start, and again after a failure.
func (s *spool) reopen(now time.Time) {
	if s.owner == "" {
		s.owner = newOwner()
	}
	err := os.MkdirAll(s.opts.Dir, 0o700)
	if err == nil {
		err = writeLease(s.opts.Dir, s.owner)
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.hooks.step("lease")
	s.touched = now
	s.resync()
	s.adopt(now)
	s.c.mu.Lock()
	s.broken = false
	s.c.mu.Unlock()
	s.c.signal()
}

// resync syncs segments that were closed by a failure, so that what Flush waits for comes true.
func (s *spool) resync() {
	c := s.c
	c.mu.Lock()
	var paths []string
	if s.unsynced != none {
		for _, seg := range s.segments {
			paths = append(paths, seg.path)
		}
	}
	c.mu.Unlock()
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue // as the sender will find
			}
			return
		}
		err = s.hooks.sync(f)
		_ = f.Close()
		if err != nil {
			return
		}
	}
	c.mu.Lock()
	s.unsynced = none
	c.notify()
	c.mu.Unlock()
}

// keep touches the lease and looks for dead owners, and returns when to do so next.
func (s *spool) keep(now time.Time) time.Duration {
	if wait := s.touched.Add(leaseTouch).Sub(now); wait <= 0 {
		s.touched = now
		if seg := s.open(); seg != nil && !seg.mine() {
			s.renew(seg)
		}
		if err := os.Chtimes(leasePath(s.opts.Dir, s.owner), now, now); err != nil {
			if err := writeLease(s.opts.Dir, s.owner); err != nil {
				s.fail(err)
				return s.hooks.retry
			}
		}
	}
	if now.Sub(s.looked) >= s.lookAgain() {
		s.adopt(now)
	}
	return min(s.touched.Add(leaseTouch).Sub(now), s.looked.Add(s.lookAgain()).Sub(now))
}

// lookAgain is how long after the last look the next one is.
func (s *spool) lookAgain() time.Duration {
	if len(s.suspects) > 0 {
		return s.hooks.watch
	}
	return spoolLook
}

// estate is what a dead owner has left.
type estate struct {
	owner    string
	segments []string
	oldest   time.Time
}

// adopt takes over the segments of dead owners by renaming them, oldest first. Of two clients that try, one finds the
// file gone.
func (s *spool) adopt(now time.Time) {
	s.looked = now
	estates, orphans := s.find(now)
	for _, e := range estates {
		for _, path := range e.segments {
			if err := s.takeOver(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				delete(orphans, e.owner) // its positions are of use yet
				s.c.fail(err.Error())
				s.c.warn.warn("adopt", "millstream: a file of the spool stays where it is", "file", path, "err", err)
			}
		}
	}
	for _, paths := range orphans {
		for _, path := range paths {
			_ = os.Remove(path) // another client may have been first
		}
	}
}

// find lists what dead owners have left, and by owner the files that are no segments: they are of no use without them.
func (s *spool) find(now time.Time) (estates []estate, orphans map[string][]string) {
	names, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		s.c.fail(err.Error())
		return nil, nil
	}
	verdicts := map[string]bool{s.owner: false}
	free := func(owner string) bool {
		verdict, known := verdicts[owner]
		if !known {
			verdict = s.free(owner, now)
			verdicts[owner] = verdict
		}
		return verdict
	}
	for owner := range s.suspects {
		if _, err := os.Stat(leasePath(s.opts.Dir, owner)); err != nil {
			delete(s.suspects, owner)
		}
	}
	byOwner := map[string]*estate{}
	orphans = map[string][]string{}
	for _, entry := range names { // sorted: a segment comes before its .pos
		path := filepath.Join(s.opts.Dir, entry.Name())
		match := segmentName.FindStringSubmatch(entry.Name())
		if match == nil {
			owner, _, _ := strings.Cut(strings.TrimSuffix(entry.Name(), ".lease"), "-")
			if ours(entry.Name()) && free(owner) {
				orphans[owner] = append(orphans[owner], path)
			}
			continue
		}
		if !free(match[1]) {
			continue
		}
		e := byOwner[match[1]]
		if e == nil {
			e = &estate{owner: match[1], oldest: now}
			if info, err := entry.Info(); err == nil {
				e.oldest = info.ModTime()
			}
			byOwner[match[1]] = e
		}
		e.segments = append(e.segments, path)
	}
	for _, e := range byOwner {
		estates = append(estates, *e)
	}
	sort.Slice(estates, func(i, j int) bool { return estates[i].oldest.Before(estates[j].oldest) })
	return estates, orphans
}

// ours reports whether name is a lease or a position: a folder may hold other people's files.
func ours(name string) bool {
	name = strings.TrimSuffix(name, ".tmp")
	if owner, ok := strings.CutSuffix(name, ".lease"); ok {
		return segmentName.MatchString(owner + "-0000000000000000.ndjson")
	}
	segment, ok := strings.CutSuffix(name, ".pos")
	return ok && segmentName.MatchString(segment+".ndjson")
}

// takeOver makes the segment at path the newest of ours.
func (s *spool) takeOver(path string) error {
	if seg := s.open(); seg != nil { // so that sequences stay in the order of arrival
		if err := s.shut(seg); err != nil {
			return err
		}
	}
	pos := readPos(path) // before the claim: afterwards its .pos belongs to nobody, and may be removed
	mine := segmentPath(s.opts.Dir, s.owner, s.next)
	if err := os.Rename(path, mine); err != nil {
		return err
	}
	s.next++
	s.hooks.step("taken")
	if err := os.Rename(posPath(path), posPath(mine)); err != nil && !errors.Is(err, os.ErrNotExist) {
		_ = os.Rename(mine, path)
		return err
	}
	s.hooks.step("taken position")
	seg, err := openSegment(mine, pos)
	if err != nil { // too many open files, perhaps: under our name nobody would look at it again
		_ = os.Rename(mine, path)
		_ = os.Rename(posPath(mine), posPath(path))
		return err
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.waiting == 0 {
		s.since = c.age()
	}
	s.spare()
	s.segments = append(s.segments, seg)
	s.waiting += seg.lines
	s.bytes += seg.size - seg.pos
	s.moved = true
	c.stats.Spooled += seg.lines
	c.stats.Enqueued += uint64(seg.lines)
	c.signal()
	return nil
}
