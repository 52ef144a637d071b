package wire_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit/golden"
	"github.com/millstream-data/millstream/internal/wire"
)

// format is what one version of a format means and how it is written and read.
type format struct {
	want   any
	encode func(t *testing.T) []byte
	decode func(t *testing.T, text []byte) any
}

const eventValue = `{"receivedAt":"2026-03-01T10:00:01.200Z","timestamp":"2026-03-01T10:00:00.200Z","originalTimestamp":"2026-03-01T10:00:00Z","sentAt":"2026-03-01T10:00:01Z",` +
	`"context":{"library":{"name":"analytics-go","version":"3.0.0"}},"type":"track","userId":"u1","event":"Paid","messageId":"m1","properties":{"id":9007199254740993,"p":1.0}}`

var received = time.Date(2026, 3, 1, 10, 0, 1, 200e6, time.UTC)

func formats() map[string]format {
	out := map[string]format{
		"event_v1.json":    eventFormat(),
		"manifest_v1.json": manifestFormat(),
		"rejected_v1.json": rejectedFormat(wire.Rejected{
			Stage: event.StageIngest, Code: event.CodeMissingIdentity, Message: "userId or anonymousId is required.", Source: "app",
			ID: "019caa3f-8b50-7c31-9d7e-2b1f60c4a9e7", MessageID: "m-4", ReceivedAt: received, Type: "track", Key: "dev…5e1c", RequestID: "r-17",
			Index: 2, Envelope: []byte(`{"sentAt":"2026-03-01T10:00:01Z"}`), Size: 49,
			Original: []byte(`{"type":"track","event":"Paid","messageId":"m-4"}`),
		}),
		"rejected_v1_route.json": rejectedFormat(wire.Rejected{
			Stage: event.StageIngest, Code: event.CodeMissingEvent, Message: "track needs event, a string", Source: "app",
			ID: "019caa3f-8b50-7c31-9d7e-2b1f60c4a9e9", ReceivedAt: received, Type: "track", Key: "dev…5e1c", RequestID: "r-19", Route: "/v1/track",
			Size: 15, Original: []byte(`{"userId":"u1"}`),
		}),
		"rejected_v1_sender.json": rejectedFormat(wire.Rejected{
			Stage: event.StageIngest, Code: event.CodeEventTooLarge, Message: "the event has 300000 bytes", Source: "app",
			ID: "019caa3f-8b50-7c31-9d7e-2b1f60c4a9ea", ReceivedAt: received, Type: "page", Key: "6b941275", RequestID: "r-20", Route: "/v1/page",
			Sender: []byte(`{"browser":true,"ip":"203.0.113.0","userAgent":"Mozilla/5.0","locale":"de-DE"}`),
			Size:   15, Original: []byte(`{"userId":"u1"}`),
		}),
		"rejected_v1_redacted.json": rejectedFormat(wire.Rejected{
			Stage: event.StageIngest, Code: event.CodeInvalidJSON, Message: "The event is not JSON.", Source: "app",
			ID: "019caa3f-8b50-7c31-9d7e-2b1f60c4a9e8", ReceivedAt: received, Key: "dev…5e1c", RequestID: "r-18", Index: 0, Size: 412, Redacted: true,
		}),
		"rejected_v1_row.json": rejectedFormat(wire.Rejected{
			Stage: event.StageCDC, Code: event.CodeValueTooLarge, Message: "The value has 81234 bytes, which is more than the warehouse holds.", Source: "shop",
			ID: "millstream.changes.shop.public.orders/7/4512/0", Index: -1, Size: 81234, Truncated: true, Original: []byte("Lorem ip"),
			Table: "public.orders", Column: "note", RecordKey: `{"id":42}`,
		}),
		"change_v1.json":        changeFormat(event.OpRead),
		"change_v1_delete.json": changeFormat(event.OpDelete),
		"cell_v1.json": cellFormat(wire.CellKey{
			Metric: "revenue", Version: 3, Zone: "Europe/Berlin", Bucket: 20541, Tuple: 0x5b1f2c0e9a77d310, Src: 7, Rev: 1,
		}.Append(nil), wire.Cell{
			V: 1, Vals: []string{"DE"}, N: 1412, State: []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x5d\x63\x94"), Off: 88213, At: 1774738800123,
		}),
		"cell_v1_total.json": cellFormat(wire.CellKey{Metric: "orders", Version: 1, Bucket: 1971936}.Append(nil),
			wire.Cell{V: 1, Vals: []string{}, N: 3, Bad: 1, State: []byte{}, Off: 17, At: 1774738800123}),
		"day_v1.json": cellFormat(wire.DayKey("Europe/Berlin", "2026-03-29"), wire.Day{
			V: 1, State: "sealed", Revision: 2, SealedAt: "2026-03-31T04:00:12Z", Late: 18, Bases: map[string]int{"revenue:3": 2},
		}),
		"watermark_v1.json": cellFormat(wire.WatermarkKey("millstream.events", 3), wire.Watermark{V: 1, Next: 88213, End: 88213, WM: 1774738800101}),
		"set_v1.json":       cellFormat(wire.SetKey(), wire.Set{V: 1, Set: 12, State: 7}),
	}
	out["tombstone_v1.json"] = tombstoneFormat()
	maps.Copy(out, markFormats())
	return out
}

func eventFormat() format {
	want := wire.EventHeader{Source: "app", Type: event.Track, Event: "Paid", MessageID: "m1", ReceivedAt: received}
	return format{want, func(*testing.T) []byte {
		return record{wire.EventKey(nil, "app", "u1"), wire.AppendEventHeaders[wire.Header](nil, want), []byte(eventValue)}.text()
	}, func(t *testing.T, text []byte) any {
		r := parseRecord(t, text)
		if string(r.value) != eventValue {
			t.Errorf("value %s", r.value)
		}
		return must[wire.EventHeader](t)(wire.ParseEventHeaders(r.headers))
	}}
}

func rejectedFormat(want wire.Rejected) format {
	return format{want, func(*testing.T) []byte {
		value, _ := want.Value()
		return record{[]byte(want.Source), wire.AppendRejectedHeaders[wire.Header](nil, want), value}.text()
	}, func(t *testing.T, text []byte) any {
		r := parseRecord(t, text)
		return wire.ParseRejected(r.headers, r.value)
	}}
}

func manifestFormat() format {
	const dir = "s3://lake/millstream/app/tracks/dt=2026-11-21/hh=06/"
	want := wire.Manifest{Entries: []wire.ManifestEntry{
		{URL: dir + "millstream.events-3-123456-124479-9f2c1a7b.parquet", Mandatory: true, Meta: wire.ManifestMeta{ContentLength: 48211}},
		{URL: dir + "millstream.events-5-88120-89011-9f2c1a7b.parquet", Mandatory: true, Meta: wire.ManifestMeta{ContentLength: 41007}},
	}}
	return format{want, func(t *testing.T) []byte {
		return must[[]byte](t)(want.Encode())
	}, func(t *testing.T, text []byte) any {
		return must[wire.Manifest](t)(wire.DecodeManifest(text))
	}}
}

func cellFormat[T wire.CellRecord](key []byte, want T) format {
	return format{want, func(t *testing.T) []byte {
		return record{key: key, value: must[[]byte](t)(wire.EncodeCellRecord(want))}.text()
	}, func(t *testing.T, text []byte) any {
		r := parseRecord(t, text)
		if string(r.key) != string(key) {
			t.Errorf("key %s", r.key)
		}
		return must[T](t)(wire.DecodeCellRecord[T](r.value))
	}}
}

func must[T any](tb testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func TestGoldenFormatsAreWrittenAsEver(t *testing.T) {
	t.Parallel()
	for name, f := range formats() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden.Equal(t, goldenFile(name), f.encode(t))
		})
	}
}

func TestFormatsAreReadAsEver(t *testing.T) {
	t.Parallel()
	for name, f := range formats() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(goldenFile(name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f.want, f.decode(t, text)); diff != "" {
				t.Errorf("-want +read\n%s", diff)
			}
		})
	}
}

// A file of an old version stays even when nothing writes it any more.
func TestEachGoldenFileIsRead(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(goldenFile("*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := formats()
	for _, file := range files {
		name := filepath.Base(file)
		if _, ok := all[name]; !ok && !strings.HasPrefix(name, "cdc_") {
			t.Errorf("%s is read by no test", file)
		}
	}
}

func TestExamplesOfFormatMDAreTrue(t *testing.T) {
	t.Parallel()
	all, examples := formats(), documented(t)
	if missing := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(n string) bool { return examples[n] != nil }); len(missing) > 0 {
		t.Errorf("FORMAT.md has no example of %v", missing)
	}
	for name, text := range examples {
		f, ok := all[name]
		if strings.HasPrefix(name, "cdc_") {
			continue // the state of cdc has tests of its own
		}
		if !ok {
			t.Errorf("FORMAT.md shows %s, which no codec writes", name)
			continue
		}
		if diff := cmp.Diff(f.want, f.decode(t, text)); diff != "" {
			t.Errorf("%s: -want +as FORMAT.md has it\n%s", name, diff)
		}
		if diff := cmp.Diff(string(f.encode(t)), string(text)); diff != "" {
			t.Errorf("%s: -written +as FORMAT.md has it\n%s", name, diff)
		}
	}
}

func TestHeadersOfAnEventSayWhatItsValueSays(t *testing.T) {
	t.Parallel()
	var v struct {
		ReceivedAt time.Time
		Type       event.Type
		Event      string
		MessageID  string
	}
	if err := json.Unmarshal([]byte(eventValue), &v); err != nil {
		t.Fatal(err)
	}
	got := wire.EventHeader{Source: "app", Type: v.Type, Event: v.Event, MessageID: v.MessageID, ReceivedAt: v.ReceivedAt}
	if diff := cmp.Diff(formats()["event_v1.json"].want, any(got)); diff != "" {
		t.Error(diff)
	}
}
