package millstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	segmentBytes = 4 << 20   // a segment is closed at this size
	segmentAge   = time.Hour // or so long after its first event: its last write stands for the age of all that is in it
)

// segment is a file of the spool: one event a line. Client.mu guards all but kept, which is the writer's. A file stays
// open until each of its events has a fate: another process that takes this one for dead may rename and remove it, and
// its events still get a fate here.
type segment struct {
	path  string
	file  *os.File // nil if too many were open; then it is opened for each read
	open  bool     // it is the one that is written
	born  time.Time
	last  time.Time // last write
	size  int64     // complete lines
	taken int64     // where the sender reads on
	pos   int64     // first line without a fate
	kept  int64     // pos on disk; the writer's
	lines int       // without a fate
	own   bool      // every line is as this client wrote it
}

func segmentPath(dir, owner string, seq uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%016d.ndjson", owner, seq))
}

func posPath(segment string) string { return strings.TrimSuffix(segment, ".ndjson") + ".pos" }

var segmentName = regexp.MustCompile(`^([0-9A-Za-z]+)-([0-9]{16})\.ndjson$`)

// createSegment makes a new file, which must not be there.
func createSegment(path string) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &segment{path: path, file: f, open: true, born: now, last: now, own: true}, nil
}

// readPos returns the offset beside a segment: 0 if there is none or it is not readable, which sends events twice at
// worst.
func readPos(segment string) int64 {
	text, err := os.ReadFile(posPath(segment))
	if err != nil {
		return 0
	}
	pos, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || pos < 0 {
		return 0
	}
	return pos
}

func writePos(segment string, pos int64) error {
	path := posPath(segment)
	if err := os.WriteFile(path+".tmp", strconv.AppendInt(nil, pos, 10), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// openSegment reads a file that another client has left: it cuts off a last line without an end and counts the
// others from pos on.
func openSegment(path string, pos int64) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s, err := scan(f, pos)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	s.path = path
	return s, nil
}

// scan counts the lines of f from pos on.
func scan(f *os.File, pos int64) (*segment, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if pos > info.Size() {
		pos = 0
	}
	if _, err := f.Seek(pos, io.SeekStart); err != nil {
		return nil, err
	}
	s := &segment{file: f, born: info.ModTime(), last: info.ModTime(), size: pos, taken: pos, pos: pos}
	var torn int64
	for r := bufio.NewReaderSize(f, 64<<10); ; {
		part, err := r.ReadSlice('\n')
		torn += int64(len(part))
		switch {
		case err == nil:
			s.size += torn
			s.lines++
			torn = 0
		case errors.Is(err, io.EOF):
			if torn > 0 {
				err = f.Truncate(s.size)
				_ = os.Chtimes(f.Name(), time.Time{}, s.last) // its events are no younger for it
				return s, err
			}
			return s, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

var errShort = errors.New("the file has changed under the spool")

// line is an event as it lies in a segment.
type line struct {
	text []byte
	next int64 // offset behind it
}

// readLines reads whole lines from offset on into buf, at most limit bytes of them but at least one. The lines are
// valid until buf is used again.
func (s *spool) readLines(seg *segment, buf []byte, offset, size int64, limit int) (lines []line, grown []byte, err error) {
	f, path := seg.file, seg.path
	if f == nil {
		if f, err = s.hooks.open(path); err != nil {
			return nil, buf, err
		}
		defer func() { _ = f.Close() }()
	}
	for want := int64(limit); ; want *= 2 {
		want = min(want, size-offset)
		if int64(cap(buf)) < want {
			buf = make([]byte, want)
		}
		buf = buf[:want]
		if n, err := f.ReadAt(buf, offset); int64(n) < want {
			if errors.Is(err, io.EOF) {
				err = errShort
			}
			return nil, buf, fmt.Errorf("read %s at %d: %w", path, offset, err)
		}
		if bytes.IndexByte(buf, '\n') >= 0 {
			break
		}
		if want == size-offset {
			return nil, buf, fmt.Errorf("read %s at %d: %w", path, offset, errShort)
		}
	}
	for rest := buf; ; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return lines, buf, nil
		}
		offset += int64(end) + 1
		lines = append(lines, line{rest[:end], offset})
		rest = rest[end+1:]
	}
}
