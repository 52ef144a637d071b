package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const positionsFile = "positions.json"

// positions is the file of that name: the first frame of each lane that Kafka has not acknowledged.
type positions struct {
	V          int                 `json:"v"`
	Partitions int                 `json:"partitions"`
	Lanes      map[string][2]int64 `json:"lanes"`
}

// readPositions returns the positions of dir. A file that is missing or not whole is none: then all frames are sent.
func readPositions(dir string) (positions, error) {
	b, err := os.ReadFile(filepath.Join(dir, positionsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return positions{}, nil
	} else if err != nil {
		return positions{}, err
	}
	var p positions
	if err := json.Unmarshal(b, &p); err != nil {
		return positions{}, fmt.Errorf("%s: %w", positionsFile, err)
	}
	if p.V != 1 {
		return positions{}, fmt.Errorf("%s: version %d is not known", positionsFile, p.V)
	}
	return p, nil
}

// lowest holds for all lanes if their number has changed.
func (p positions) lowest() position {
	var low position
	first := true
	for _, at := range p.Lanes {
		pos := position{uint64(at[0]), at[1]} //nolint:gosec // written by us
		if first || pos.before(low) {
			low, first = pos, false
		}
	}
	return low
}

// of returns where the drain of a lane begins.
func (p positions) of(name string, partitions int) position {
	at, ok := p.Lanes[name]
	if !ok || p.Partitions != partitions {
		return p.lowest()
	}
	return position{uint64(at[0]), at[1]} //nolint:gosec // written by us
}

func (s *spool) writePositions(p positions) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, positionsFile)
	if err := writeSynced(path+".new", b); err != nil {
		return err
	}
	s.step("position written")
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	s.step("position renamed")
	return syncFolder(s.dir)
}

// forget deletes the sealed segments before pos. Damaged ones are kept under another name.
func (s *spool) forget(pos position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.segs) > 0 && s.segs[0].sealed && s.segs[0].seq < pos.seq {
		seg := s.segs[0]
		path := filepath.Join(s.dir, segmentName(seg.seq))
		info, err := os.Stat(path)
		if err == nil && seg.bad {
			err = os.Rename(path, path+".corrupt")
		} else if err == nil {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if info != nil {
			s.used = max(0, s.used-info.Size())
		}
		s.segs = s.segs[1:]
		s.looked = time.Time{}
	}
	return nil
}

// rest seals the active segment if all is drained, so that it can be deleted.
func (s *spool) rest(pos position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.segs)
	if n == 0 || s.busy || len(s.queue) > 0 {
		return
	}
	if last := s.segs[n-1]; !last.sealed && pos == (position{last.seq, last.size}) && last.size > segmentHeader {
		last.sealed = true
	}
}

// save writes the positions if they have changed, and deletes what they have left behind.
func (p *producer) save() {
	if p.spool == nil {
		return
	}
	end := p.spool.end() // before the lanes, which may be others in a moment: their frames lie behind it
	l := p.lanes.Load()
	if l == nil {
		return
	}
	out := positions{V: 1, Partitions: len(l.events), Lanes: map[string][2]int64{}}
	low, drained := end, true
	for _, ln := range l.all {
		at := ln.position(end)
		out.Lanes[ln.name] = [2]int64{int64(at.seq), at.at} //nolint:gosec // a file a minute for 10^13 years
		if at.before(low) {
			low = at
		}
		drained = drained && at == end
	}
	if fmt.Sprint(out) != p.saved {
		if err := p.spool.writePositions(out); err != nil {
			p.log.Warn("positions of the spool were not written; after a crash more is sent twice", "err", err)
			return
		}
		p.saved = fmt.Sprint(out)
	}
	if err := p.spool.forget(low); err != nil {
		p.log.Warn("a drained segment was not deleted", "err", err)
	}
	if drained {
		p.spool.rest(end)
	}
}

func laneName(i int) string { return strconv.Itoa(i) }
