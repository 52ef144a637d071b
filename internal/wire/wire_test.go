package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestTopicsBearThePrefix(t *testing.T) {
	t.Parallel()
	def, own := wire.Topics{}, wire.Topics{Prefix: "acme"}
	for got, want := range map[string]string{
		def.Events():                            "millstream.events",
		own.Events():                            "acme.events",
		own.Rejected():                          "acme.rejected",
		own.Cells():                             "acme.cells",
		own.CDCState("shop"):                    "acme.cdc.state.shop",
		own.Changes("shop", "public", "orders"): "acme.changes.shop.public.orders",
		own.Changes("shop", "a.b", "größe/$x-1"): "acme.changes.shop.a_b.gr__e__x-1",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestAnEventWithoutANeededHeaderIsNamed(t *testing.T) {
	t.Parallel()
	whole := wire.AppendEventHeaders[wire.Header](nil, formats()["event_v1.json"].want.(wire.EventHeader))
	for _, name := range []string{wire.HeaderSource, wire.HeaderType, wire.HeaderMessageID, wire.HeaderReceivedAt} {
		var part []wire.Header
		for _, h := range whole {
			if h.Key != name {
				part = append(part, h)
			}
		}
		if _, err := wire.ParseEventHeaders(part); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if _, err := wire.ParseEventHeaders(append(whole, wire.Header{Key: "later", Value: []byte("x")})); err != nil {
		t.Errorf("with a header of a later version: %v", err)
	}
}

func TestVersionsThatAReaderDoesNotKnowAreRefused(t *testing.T) {
	t.Parallel()
	two := []wire.Header{{Key: wire.HeaderV, Value: []byte("2")}}
	for name, read := range map[string]func() error{
		"event":     func() error { _, err := wire.ParseEventHeaders(two); return err },
		"change":    func() error { _, err := wire.ParseChangeHeaders(two); return err },
		"schema":    func() error { _, err := wire.DecodeTableSchema([]byte(`{"v":2}`)); return err },
		"poll":      func() error { _, err := wire.DecodePoll([]byte(`{"v":2}`)); return err },
		"cell":      func() error { _, err := wire.DecodeCellRecord[wire.Cell]([]byte(`{"v":2}`)); return err },
		"unmarked":  func() error { _, err := wire.DecodeCellRecord[wire.Set]([]byte(`{}`)); return err },
		"watermark": func() error { _, err := wire.DecodeCellRecord[wire.Watermark]([]byte(`{"v":2}`)); return err },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), "unknown version") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALongDeadLetterIsCutAndSaysSo(t *testing.T) {
	t.Parallel()
	r := wire.Rejected{Stage: event.StageIngest, Index: -1, Original: bytes.Repeat([]byte("x"), wire.MaxRejected+1)}
	value, cut := r.Value()
	if len(value) != wire.MaxRejected || !cut {
		t.Fatalf("%d bytes, cut: %v", len(value), cut)
	}
	got := wire.ParseRejected(wire.AppendRejectedHeaders[wire.Header](nil, r), value)
	if !got.Truncated || got.Size != wire.MaxRejected+1 || got.Index != -1 {
		t.Errorf("truncated: %v, size %d, index %d", got.Truncated, got.Size, got.Index)
	}
}

func TestWithheldBytesAreNotWritten(t *testing.T) {
	t.Parallel()
	r := wire.Rejected{Original: []byte("secret"), Redacted: true}
	if value, _ := r.Value(); value != nil {
		t.Errorf("value %q", value)
	}
	if size, _ := wire.Find(wire.AppendRejectedHeaders[wire.Header](nil, r), wire.HeaderSize); string(size) != "6" {
		t.Errorf("size %s, want that of what is withheld", size)
	}
}

func TestAManifestThatCopyWouldGetWrongIsRefused(t *testing.T) {
	t.Parallel()
	good := wire.ManifestEntry{URL: "s3://b/k", Mandatory: true, Meta: wire.ManifestMeta{ContentLength: 1}}
	optional, empty, nameless := good, good, good
	optional.Mandatory, empty.Meta.ContentLength, nameless.URL = false, 0, ""
	for want, entries := range map[string][]wire.ManifestEntry{
		"no entries": nil, "listed twice": {good, good}, "not mandatory": {optional}, "content_length 0": {empty}, "without url": {nameless},
	} {
		if _, err := (wire.Manifest{Entries: entries}).Encode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestAColumnIsFoundByName(t *testing.T) {
	t.Parallel()
	cols := wire.Columns{{Name: "id", Type: wire.Int64}, {Name: "total", Type: wire.Decimal(10, 2)}}
	if diff := cmp.Diff([]int{0, 1, -1}, []int{cols.Index("id"), cols.Index("total"), cols.Index("none")}); diff != "" {
		t.Error(diff)
	}
	if p, s, ok := cols[1].Type.Decimal(); p != 10 || s != 2 || !ok {
		t.Errorf("decimal(%d,%d), %v", p, s, ok)
	}
}

// Consumers parse headers for each record; the strings that they keep are all
// that is allocated.
func TestParsingHeadersAllocatesOnlyWhatIsKept(t *testing.T) {
	hs := wire.AppendEventHeaders[wire.Header](nil, formats()["event_v1.json"].want.(wire.EventHeader))
	got := testing.AllocsPerRun(100, func() {
		if _, err := wire.ParseEventHeaders(hs); err != nil {
			t.Fatal(err)
		}
	})
	if got > 5 {
		t.Errorf("%v allocations", got)
	}
}
