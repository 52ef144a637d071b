package batcher

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/encoding/json"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestTextIsWhatReadersTake(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"plain"`: "plain", `"a\"b\\c\/d"`: `a"b\c/d`, `"\b\f\n\r\t"`: "\b\f\n\r\t", `"\u00e9"`: "é", `"\ud83d\ude00"`: "😀",
		`"\ud83d"`: "\uFFFD", `"\ude00x"`: "\uFFFDx", `"\ud83d\ud83d\ude00"`: "\uFFFD😀", `"a\u0000b"`: "ab", `"\ufffd"`: "\uFFFD", `""`: "",
	} {
		got, _ := text(nil, []byte(in))
		if string(got) != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		`["\u0000a"]`: `["a"]`, `{"\ud800":1}`: `{"\ufffd":1}`, `["\ud83d\ude00"]`: `["\ud83d\ude00"]`, `["\\u0000"]`: `["\\u0000"]`, `[ 1 ]`: `[ 1 ]`,
	} {
		got, _ := jsonText(nil, []byte(in))
		if string(got) != want || !json.Valid(got) {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestFlattening(t *testing.T) {
	t.Parallel()
	p := parsed{depth: 3}
	value := ` {"type":"track","event":"X","properties":{"a":{"b":{"c":1,"d":{"e":2}}},"arr":[{"x":1}],"empty":{ },"none":null,"dot.ted":{"q\"":1}},
		"context":{"ip":"1"},"traits":"text","more":{"x":1},"integrations":{"All":true}} `
	if err := p.parse([]byte(value)); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, l := range p.leaves {
		got[l.path] = string(l.raw)
	}
	want := map[string]string{
		"event": `"X"`, "properties.a.b.c": "1", "properties.a.b.d": `{"e":2}`, "properties.arr": `[{"x":1}]`,
		`properties.dot\.ted.q"`: "1", "context.ip": `"1"`, "traits": `"text"`, "more": `{"x":1}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leaves (-want +got):\n%s", diff)
	}
}

func TestColumnNamesKeepOffFixedOnes(t *testing.T) {
	t.Parallel()
	n, fixed := lake.NewNamer(), newShapes().event.fixed
	for path, want := range map[string]string{
		"properties.total": "total", "properties.id": "properties_id", "properties.partition": "properties_partition",
		"properties.timestamp": "_timestamp", "properties.receivedAt": "properties_received_at", "context.ip": "context_ip",
		"context.page.url": "context_page_url", "traits.email": "email", `properties.a\.b`: "a_b", "properties.a.b": "a_b", "properties.user.id": "properties_user_id",
	} {
		if got := columnName(n, path, fixed); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// Of two members that want one column the one with the smaller name gets it.
func TestOneColumnForTwoMembers(t *testing.T) {
	t.Parallel()
	for _, props := range []string{`{"orderId":1,"order_id":2}`, `{"order_id":2,"orderId":1}`} {
		c, p := testChunk(), parsed{depth: 5}
		addEvent(t, c, &p, props, 0)
		s := testSchema(c)
		f := c.freeze(s, &caster{})
		defer f.record.Release()
		if len(c.wants()) != 0 || s.FileColumns().Index("order_id") < 0 {
			t.Errorf("%s: columns %v", props, s.FileColumns())
		}
	}
	c, p := testChunk(), parsed{depth: 5}
	addEvent(t, c, &p, `{"order_id":2,"orderId":1}`, 0)
	if len(c.strays) != 1 || c.strays[0].path != "properties.order_id" {
		t.Errorf("strays %+v", c.strays)
	}
}

func TestColumnLimitSendsToUnmapped(t *testing.T) {
	t.Parallel()
	c, p := testChunk(), parsed{depth: 5}
	c.rules.limit = len(c.columns) + 2
	addEvent(t, c, &p, `{"a":1,"b":2,"c":3,"d":4}`, 0)
	if len(c.wants()) != 2 || len(c.strays) != 2 || c.counts.unmapped[reasonColumns] != 2 {
		t.Errorf("%d columns, %d strays", len(c.wants()), len(c.strays))
	}
}

func testRules(tweak func(*Config)) *tableRules {
	cfg := DefaultConfig()
	if tweak != nil {
		tweak(&cfg)
	}
	return newRules(cfg, lake.NewNamer(), slog.New(slog.DiscardHandler)).of("app", "x")
}

func testChunk() *chunk {
	sh := newShapes().event
	return newChunk(&sh, testRules(nil), nil, newValueCounts())
}

// testSchema is what the lake would make of the chunk's columns.
func testSchema(c *chunk) lake.Schema {
	var s lake.Schema
	for _, col := range c.columns {
		if col.values != nil {
			s.Columns = append(s.Columns, lake.SchemaColumn{Name: col.name, Type: col.values.Type(), Path: col.path})
		}
	}
	s.Columns = append(s.Columns, c.wants()...)
	return s
}

func addEvent(t testing.TB, c *chunk, p *parsed, props string, offset int64) {
	t.Helper()
	if err := p.parse([]byte(`{"event":"X","properties":` + props + `}`)); err != nil {
		t.Fatal(err)
	}
	c.add(eventRow{id: "m", table: "x", receivedAt: time.Unix(1795241702, 0), offset: offset}, p, &caster{})
}

func TestMirrorForms(t *testing.T) {
	t.Parallel()
	f := func(form event.Form, typ wire.LakeType, raw string, ok bool) {
		t.Helper()
		var v mirrorValue
		err := v.read(lake.SchemaColumn{Name: "c", Type: typ, Form: form}, []byte(raw))
		if (err == nil) != ok {
			t.Errorf("%s %s %s: %v", form, typ, raw, err)
		}
		if ok {
			v.put(parquetout.NewColumn(typ))
		}
	}
	f(event.FormNumber, wire.Int16, `32767`, true)
	f(event.FormNumber, wire.Int16, `32768`, false)
	f(event.FormNumber, wire.Int64, `1.5`, false)
	f(event.FormNumber, wire.Float32, `1.5`, true)
	f(event.FormNumber, wire.Float64, `"NaN"`, true)
	f(event.FormNumber, wire.Float64, `"-Infinity"`, true)
	f(event.FormText, wire.Decimal(10, 2), `"12.30"`, true)
	f(event.FormText, wire.Decimal(10, 2), `"12.305"`, false)
	f(event.FormText, wire.Decimal(38, 0), `"99999999999999999999999999999999999999"`, true)
	f(event.FormText, wire.String, `"x"`, true)
	f(event.FormText, wire.String, `12`, false)
	f(event.FormText, wire.String, `"`+strings.Repeat("x", maxText+1)+`"`, false)
	f(event.FormText, wire.Int64, `"12"`, true)
	f(event.FormText, wire.Int64, `"x"`, false)
	f(event.FormDays, wire.Date, `20776`, true)
	f(event.FormDays, wire.Date, `99999999999`, false)
	f(event.FormMicros, wire.Timestamp, `1795241702113402`, true)
	f(event.FormISO, wire.Timestamp, `"2026-11-21T06:15:02.113402Z"`, true)
	f(event.FormISO, wire.Timestamp, `"-0043-03-15T12:00:00Z"`, true)
	f(event.FormISO, wire.Timestamp, `"+294247-01-10T04:00:54.775807Z"`, true)
	f(event.FormISO, wire.Timestamp, `"yesterday"`, false)
	f(event.FormBase64, wire.Bytes, `"AQI="`, true)
	f(event.FormBase64, wire.Bytes, `"?"`, false)
	f(event.FormJSONText, wire.JSON, `"{\"a\":1}"`, true)
	f(event.FormJSON, wire.JSON, `{"a":1}`, true)
	f(event.FormBool, wire.Bool, `true`, true)
	f(event.FormBool, wire.Bool, `1`, false)
	f("later", wire.String, `"x"`, false)
}

func TestHints(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{hintText(0): 0, hintText(123456): 123456, "": -1, "v1:": -1, "v1:-5": -1, "v2:7": -1, "junk": -1} {
		if got := parseHint(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}
