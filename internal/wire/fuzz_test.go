package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// headersOf reads a fuzzer's bytes as headers, a line for each: name=value.
func headersOf(text []byte) (out []wire.Header) {
	for line := range bytes.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "="); ok {
			out = append(out, wire.Header{Key: key, Value: []byte(value)})
		}
	}
	return out
}

func FuzzParseEventHeaders(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := wire.ParseEventHeaders(headersOf(text))
		if err != nil {
			return
		}
		if h.Source == "" || h.MessageID == "" || h.Type == "" {
			t.Fatalf("took headers without source, type or message id: %+v", h)
		}
		again := must[wire.EventHeader](t)(wire.ParseEventHeaders(wire.AppendEventHeaders[wire.Header](nil, h)))
		if diff := cmp.Diff(h, again); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzParseRejected(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, value []byte) {
		r := wire.ParseRejected(headersOf(text), value)
		if !bytes.Equal(r.Original, value) || r.Size < len(value) {
			t.Fatalf("%d bytes of %d, size %d", len(r.Original), len(value), r.Size)
		}
		kept, _ := r.Value()
		again := wire.ParseRejected(wire.AppendRejectedHeaders[wire.Header](nil, r), kept)
		if r.Redacted {
			r.Original = nil // what is withheld is not written again
		}
		if len(kept) < len(r.Original) {
			r.Original, r.Truncated = kept, true
		}
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzParseChangeHeaders(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := wire.ParseChangeHeaders(headersOf(text))
		if err != nil {
			return
		}
		if h.Kind == wire.KindChange {
			h.Body = nil
		} else {
			h = wire.ChangeHeader{Kind: h.Kind, Source: h.Source, Table: h.Table, Body: h.Body}
		}
		again := must[wire.ChangeHeader](t)(wire.ParseChangeHeaders(wire.AppendChangeHeaders[wire.Header](nil, h)))
		if diff := cmp.Diff(h, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

// settles checks that what decode takes is written so that it is read as the
// same: a second round changes nothing.
func settles[T any](t *testing.T, data []byte, decode func([]byte) (T, error), encode func(T) ([]byte, error)) {
	t.Helper()
	first, err := decode(data)
	if err != nil {
		return
	}
	written := must[[]byte](t)(encode(first))
	second := must[T](t)(decode(written))
	if again := must[[]byte](t)(encode(second)); !bytes.Equal(written, again) {
		t.Errorf("written as %s, then as %s", written, again)
	}
}

func mark[T any](v T) ([]byte, error) { return wire.EncodeMark(v) }

func FuzzDecodeChange(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		settles(t, data, wire.DecodeChange, func(c event.Change) ([]byte, error) { return wire.AppendChange(nil, c) })
	})
}

func FuzzDecodeTableSchema(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) { settles(t, data, wire.DecodeTableSchema, mark) })
}

func FuzzDecodePoll(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) { settles(t, data, wire.DecodePoll, mark) })
}

func FuzzDecodeCellRecord(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		settles(t, data, wire.DecodeCellRecord[wire.Cell], wire.EncodeCellRecord)
		settles(t, data, wire.DecodeCellRecord[wire.Day], wire.EncodeCellRecord)
		settles(t, data, wire.DecodeCellRecord[wire.Watermark], wire.EncodeCellRecord)
		settles(t, data, wire.DecodeCellRecord[wire.Set], wire.EncodeCellRecord)
	})
}

func FuzzDecodeManifest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		settles(t, data, wire.DecodeManifest, wire.Manifest.Encode)
		m, err := wire.DecodeManifest(data)
		seen := map[string]bool{}
		for _, e := range m.Entries {
			if err == nil && (seen[e.URL] || !e.Mandatory || e.Meta.ContentLength <= 0) {
				t.Errorf("took %+v", e)
			}
			seen[e.URL] = true
		}
	})
}

// Keys have one spelling: what is taken is what would be written.
func FuzzParseCellKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := wire.ParseCellKey(s); err == nil && string(k.Append(nil)) != s {
			t.Errorf("%q is written as %q", s, k.Append(nil))
		}
	})
}

func FuzzParseWatermarkKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		if topic, p, err := wire.ParseWatermarkKey(s); err == nil && string(wire.WatermarkKey(topic, p)) != s {
			t.Errorf("%q is written as %q", s, wire.WatermarkKey(topic, p))
		}
	})
}

func FuzzParseDayKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		if zone, day, err := wire.ParseDayKey(s); err == nil && string(wire.DayKey(zone, day)) != s {
			t.Errorf("%q is written as %q", s, wire.DayKey(zone, day))
		}
	})
}

func FuzzParseLakeType(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := wire.ParseLakeType(s)
		if err != nil {
			return
		}
		if string(typ) != s {
			t.Errorf("%q was taken as %q", s, typ)
		}
		if p, scale, ok := typ.Decimal(); ok && wire.Decimal(p, scale) != typ {
			t.Errorf("%q is written as %q", typ, wire.Decimal(p, scale))
		}
	})
}

func FuzzPassAndPage(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		pass, page, err := wire.PassAndPage(s)
		if err != nil {
			return
		}
		p2, q2, err := wire.PassAndPage(wire.Sequence(pass, page))
		if err != nil || p2 != pass || q2 != page {
			t.Errorf("%q: %d %d, then %d %d, %v", s, pass, page, p2, q2, err)
		}
	})
}

// Two lists of columns have one fingerprint only if they are one list, as long
// as names are names; and the short form leads it.
func FuzzColumnsFingerprint(f *testing.F) {
	f.Fuzz(func(t *testing.T, a, typeA, b, typeB string) {
		if strings.ContainsAny(a+typeA+b+typeB, "\t\n") {
			return
		}
		one := wire.Columns{{Name: a, Type: wire.LakeType(typeA)}, {Name: b, Type: wire.LakeType(typeB)}}
		two := wire.Columns{one[1], one[0]}
		x, y := one.Fingerprint(), two.Fingerprint()
		if len(x) != len("sha256:")+64 || !strings.HasPrefix(x, "sha256:"+wire.Schema8(x)) || len(wire.Schema8(x)) != 8 {
			t.Errorf("fingerprint %q, short %q", x, wire.Schema8(x))
		}
		if (x == y) != (one[0] == one[1]) || x == one[:1].Fingerprint() {
			t.Errorf("%v and %v: %s, %s", one, two, x, y)
		}
	})
}
