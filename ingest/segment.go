package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is a file of frames. The spool's lock guards it.
type segment struct {
	seq    uint64
	size   int64 // up to here it is durable and good
	sealed bool  // nothing is appended any more
	bad    bool  // there is damage in it; its file is kept
	spoilt int64 // to here the damage was told
	born   time.Time
}

func segmentName(seq uint64) string { return fmt.Sprintf("%020d.seg", seq) }

// listSegments returns the segments of dir in their order, and the number of corrupt ones that were kept.
func listSegments(dir string) (segs []*segment, corrupt int, err error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".corrupt") {
			corrupt++
		}
		text, ok := strings.CutSuffix(e.Name(), ".seg")
		seq, err := strconv.ParseUint(text, 10, 64)
		if !ok || err != nil || len(text) != 20 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, 0, err
		}
		segs = append(segs, &segment{seq: seq, size: info.Size(), sealed: true, born: info.ModTime()})
	}
	slices.SortFunc(segs, func(a, b *segment) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return segs, corrupt, nil
}

// goodPart returns where the last good frame of a segment ends; 0 means that there is none and even the header is
// damaged. What is damaged before a good frame was no torn end, and is the drain's to find.
func goodPart(path string, seq uint64) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	w, size := window{f: f}, info.Size()
	head, err := w.bytes(0, segmentHeader, size)
	if err != nil {
		return 0, ignoreEOF(err)
	}
	good, at := int64(segmentHeader), int64(segmentHeader)
	if !headerOf(head, seq) {
		good = 0
	}
	for {
		_, end, err := w.frame(at, size)
		switch {
		case err == nil:
			good, at = end, end
		case errors.Is(err, errFrame):
			if at, err = w.beyond(at, size); err != nil {
				return 0, err
			}
		case errors.Is(err, io.EOF):
			return good, nil
		default:
			return 0, err
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errFrame) {
		return nil
	}
	return err
}

func newSegmentHeader(seq uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte(segmentMagic), seq)
}

func headerOf(b []byte, seq uint64) bool { return string(b) == string(newSegmentHeader(seq)) }

// tear moves what follows good to a file of its own: it was never acknowledged, and nobody should take it for a frame.
func tear(path string, good int64) error {
	rest, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := writeSynced(path+".torn", rest[good:]); err != nil {
		return err
	}
	if good == 0 {
		return os.Remove(path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(good), f.Sync(), f.Close())
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncFolder makes the names in dir durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// window reads a file forward through a buffer.
type window struct {
	f   *os.File
	buf []byte
	lo  int64 // where buf begins
}

const readAhead = 256 << 10

// bytes returns n bytes from at; the file is known to be good for size. They stay valid until the next call.
func (w *window) bytes(at, n, size int64) ([]byte, error) {
	if at+n > size {
		return nil, io.EOF
	}
	if at < w.lo || at+n > w.lo+int64(len(w.buf)) {
		want := min(max(n, readAhead), size-at)
		if int64(cap(w.buf)) < want || cap(w.buf) > 4*readAhead && want <= readAhead {
			w.buf = make([]byte, want)
		}
		w.buf, w.lo = w.buf[:want], at
		if _, err := w.f.ReadAt(w.buf, at); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[at-w.lo : at-w.lo+n], nil
}

// frame returns the frame at a place and where it ends: io.EOF at size, errFrame at damage.
func (w *window) frame(at, size int64) (frame, int64, error) {
	if at == size {
		return frame{}, at, io.EOF
	}
	head, err := w.bytes(at, frameHead, size)
	if err != nil {
		return frame{}, at, torn(err)
	}
	n, err := frameLength(head, size-at)
	if err != nil {
		return frame{}, at, err
	}
	whole, err := w.bytes(at, frameHead+n, size)
	if err != nil {
		return frame{}, at, torn(err)
	}
	f, err := parseFrame(whole)
	return f, at + frameHead + n, err
}

// beyond returns where the first good frame behind a damaged one begins, or size. The frames between are found by their
// lengths and not by trial, for what senders sent could look like a frame.
func (w *window) beyond(at, size int64) (int64, error) {
	for {
		head, err := w.bytes(at, frameHead, size)
		if err != nil {
			return size, ignoreEOF(err)
		}
		n, err := frameLength(head, size-at)
		if err != nil {
			return size, nil //nolint:nilerr // nobody knows where it ends
		}
		at += frameHead + n
		if _, _, err := w.frame(at, size); !errors.Is(err, errFrame) {
			return at, nil // who reads on meets another error again
		}
	}
}

func torn(err error) error {
	if errors.Is(err, io.EOF) {
		return errFrame
	}
	return err
}

// cursor reads the durable frames of a spool in their order.
type cursor struct {
	s   *spool
	at  position
	seq uint64 // of the open file
	w   window
}

// next returns the frame at c.at, where it stands and where the one behind it does. At the end of what is durable ok is
// false and nothing is consumed; the cursor itself is moved by the caller, who sets at.
func (c *cursor) next() (f frame, end position, ok bool, err error) {
	for {
		seg, found := c.s.segmentFrom(c.at.seq)
		if !found {
			c.at = later(c.at, position{seg.seq, segmentHeader})
			return f, c.at, false, nil
		}
		if seg.seq != c.at.seq || c.at.at < segmentHeader {
			c.at = position{seg.seq, segmentHeader}
		}
		if c.at.at >= seg.size {
			if !seg.sealed {
				return f, c.at, false, nil
			}
			c.at = position{seg.seq + 1, segmentHeader}
			continue
		}
		if err := c.open(seg.seq); err != nil {
			return f, c.at, false, err
		}
		if c.at.at == segmentHeader {
			if head, err := c.w.bytes(0, segmentHeader, seg.size); err != nil || !headerOf(head, seg.seq) {
				c.s.spoil(seg.seq, 0, segmentHeader)
			}
		}
		f, at, err := c.w.frame(c.at.at, seg.size)
		if errors.Is(err, errFrame) {
			beyond, err := c.w.beyond(c.at.at, seg.size)
			if err != nil {
				return f, c.at, false, err
			}
			c.s.spoil(seg.seq, c.at.at, beyond)
			c.at.at = beyond
			continue
		}
		return f, position{seg.seq, at}, err == nil, err
	}
}

func (c *cursor) open(seq uint64) error {
	if c.w.f != nil && c.seq == seq {
		return nil
	}
	c.close()
	f, err := os.Open(filepath.Join(c.s.dir, segmentName(seq)))
	if err != nil {
		return err
	}
	c.w, c.seq = window{f: f, buf: c.w.buf[:0]}, seq
	return nil
}

func (c *cursor) close() {
	if c.w.f != nil {
		_ = c.w.f.Close() // read only
		c.w.f = nil
	}
}
