package ingest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

func exampleRecords() []kgo.Record {
	return []kgo.Record{
		{Key: []byte("app/u1"), Value: []byte(`{"type":"page"}`), Headers: []kgo.RecordHeader{{Key: "v", Value: []byte("1")}, {Key: "received_at", Value: []byte("1772359201200")}}},
		{Key: []byte("app"), Value: nil, Headers: []kgo.RecordHeader{{Key: "received_at", Value: []byte("1772359201200")}}},
	}
}

func TestSpoolFilesAreThoseOfTheFormat(t *testing.T) {
	t.Parallel()
	seg := newSegmentHeader(7)
	for i, r := range exampleRecords() {
		from := len(seg)
		seg = appendFrame(seg, topicOf(i == 1), &r)
		equal(t, "size", int64(len(seg)-from), frameSize(&r))
	}
	pos, err := json.Marshal(positions{V: 1, Partitions: 2, Lanes: map[string][2]int64{"0": {7, 16}, "1": {8, 16}, "rejected": {7, 64}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{segmentName(7): seg, positionsFile: pos} {
		path := filepath.Join("testdata", "spool", name)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			write(t, path, got)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, name, string(got), string(want))
	}
	f, err := parseFrame(seg[segmentHeader : segmentHeader+frameSize(&exampleRecords()[0])])
	if err != nil {
		t.Fatal(err)
	}
	r := f.record()
	equal(t, "key", string(r.Key), "app/u1")
	equal(t, "hash", f.hash, murmur2([]byte("app/u1")))
	equal(t, "time", r.Timestamp, at)
	p, err := readPositions(filepath.Join("testdata", "spool"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "its own", p.of("1", 2) == position{8, 16}, true)
	equal(t, "of another number of partitions", p.of("1", 3) == position{7, 16}, true)
}

func FuzzSpoolFrame(f *testing.F) {
	for i, r := range exampleRecords() {
		f.Add(appendFrame(nil, topicOf(i == 1), &r))
	}
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0})
	f.Add([]byte{5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseFrame(b)
		if err != nil {
			return
		}
		again := appendFrame(nil, got.topic, got.record())
		back, err := parseFrame(again)
		if err != nil {
			t.Fatal(err)
		}
		back.hash = got.hash // of the key as it was written; a writer may have been wrong
		if diff := cmp.Diff(got, back, cmp.AllowUnexported(frame{})); diff != "" {
			t.Fatal(diff)
		}
		if len(b) > frameHead { // a flipped bit is seen
			bad := append([]byte(nil), b...)
			bad[len(bad)-1] ^= 1
			if _, err := parseFrame(bad); err == nil {
				t.Fatal("a flipped bit passes")
			}
		}
	})
}

// Whatever a file holds, its reader ends, and what it takes for good frames are good ones.
func FuzzSpoolSegment(f *testing.F) {
	whole := []byte(nil)
	for i, r := range exampleRecords() {
		whole = appendFrame(whole, topicOf(i == 1), &r)
	}
	f.Add(whole)
	f.Add(append(append(append([]byte(nil), whole...), 9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), whole...))
	f.Add(whole[:len(whole)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), segmentName(7))
		write(t, path, append(newSegmentHeader(7), b...))
		good, err := goodPart(path, 7)
		if err != nil || good < segmentHeader || good > int64(segmentHeader+len(b)) {
			t.Fatalf("%d of %d: %v", good, len(b), err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		w, last := window{f: file}, int64(segmentHeader)
		for at := int64(segmentHeader); at < good; {
			_, end, err := w.frame(at, good)
			if err == nil {
				at, last = end, end
				continue
			}
			next, err := w.beyond(at, good)
			if err != nil || next <= at {
				t.Fatalf("beyond %d is %d: %v", at, next, err)
			}
			at = next
		}
		if last != good {
			t.Fatalf("the last good frame ends at %d, not %d", last, good)
		}
	})
}
