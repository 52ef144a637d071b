//go:build cgo

package batcher_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// Nothing that a topic can hold stops its partition.
func TestPoisonRecords(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	long := strings.Repeat("é", 130_000)
	noType := track("app", "no-type", "X", day, "{}")
	noType.Headers[2].Value = []byte("purchase")
	noID := track("app", "no-id", "X", day, "{}")
	noID.Headers = append(noID.Headers[:4:4], noID.Headers[5:]...)
	w.send(0,
		eventRecord("app", event.Track, "X", "bad-json", day, `{"event":"X",`),
		eventRecord("app", event.Track, "X", "array", day, `[1]`),
		eventRecord("app", event.Track, "X", "empty", day, ``),
		eventRecord("app", event.Track, "", "no-name", day, `{"properties":{}}`),
		eventRecord("app", event.Track, "X", "bom", day, "\ufeff{}"),
		eventRecord("app", event.Track, "X", "trailing", day, `{"properties":{}} x`),
		eventRecord("app", event.Track, "X", "a\xffb", day, `{}`),
		eventRecord("app", event.Track, "X", "far", time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), `{}`),
		noType, noID,
		track("app", "long", "X", day, `{"s":"`+long+`"}`),
		track("app", "nul", "X", day, `{"s":"a\u0000b\ud800c"}`),
		track("app", "huge", "X", day, `{"big":9223372036854775808,"inf":1e400}`),
		track("app", "deep", "X", day, deep),
		eventRecord("app", event.Track, "X", "bytes", day, "{\"properties\":{\"s\":\"a\xffb\"}}"),
		track("app", "twice", "X", day, `{"s":"first","s":"second","s":null}`),
		eventRecord("app", event.Track, "X", "twice-fixed", day, `{"userId":"a","userId":"b","properties":{"s":"c"},"properties":{"s":"d"}}`),
		track("app", "tiny", "X", day, `{"tiny":[`+strings.Repeat("1e-999999,", 5000)+`0]}`),
		track("app", "last", "X", day, `{"s":"fine"}`),
	)
	commits := w.until(w.names.Events(), 0, 19)
	w.verified()
	if got := sum(commits); got.rejected != 10 || got.primary != 9 || got.records != 19 {
		t.Errorf("totals %+v", got)
	}
	rows := w.rows("app.x")
	if len(rows) != 9 {
		t.Fatalf("%d rows", len(rows))
	}
	byID := map[string]row{}
	for _, r := range rows {
		byID[r["id"].(string)] = r
	}
	if s := byID["long"]["s"].(string); len(s) > 65_535 || len(s) < 65_530 || !utf8.ValidString(s) {
		t.Errorf("long string has %d bytes", len(s))
	}
	if u := byID["long"]["_unmapped"].(string); !strings.Contains(u, "_sha256") {
		t.Errorf("long string: _unmapped %s", u)
	}
	for id, want := range map[string]string{"nul": "ab\uFFFDc", "bytes": "a\uFFFDb", "last": "fine", "twice": "first", "twice-fixed": "c"} {
		if byID[id]["s"] != want {
			t.Errorf("%s: %q, want %q", id, byID[id]["s"], want)
		}
	}
	if byID["huge"]["big"] != "9223372036854775808" || byID["huge"]["inf"] != "1e400" {
		t.Errorf("huge numbers: %v", byID["huge"])
	}
	for id, want := range map[string]any{
		"twice": `{"properties.s":"second"}`, "twice-fixed": `{"userId":"b","properties":{"s":"d"}}`, "last": nil, "nul": nil, "huge": nil, "deep": nil,
	} {
		if byID[id]["_unmapped"] != want {
			t.Errorf("%s: _unmapped %v, want %v", id, byID[id]["_unmapped"], want)
		}
	}
	if byID["twice-fixed"]["user_id"] != "a" {
		t.Errorf("user_id %v", byID["twice-fixed"]["user_id"])
	}
	codes := map[event.Code]int{}
	for _, l := range w.letters(11) {
		codes[l.Code]++
		if l.Code == event.CodeValueTooLarge && !strings.Contains(string(l.Original), long) {
			t.Error("the dead letter does not have the long string")
		}
	}
	want := map[event.Code]int{event.CodeBadJSON: 5, event.CodeMissingField: 4, event.CodeUnknownType: 1, event.CodeValueTooLarge: 1}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
}

// What is too large for the lake leaves a digest in the row and the whole record
// among the dead letters, once: of json columns and of _unmapped, while a column
// is new and when it is registered.
func TestValuesTooLargeAreCopied(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	big := `["` + strings.Repeat("x", 70_000) + `"]`
	many := make([]string, 900)
	for i := range many {
		many[i] = fmt.Sprintf(`"n%d":"%s"`, i%20, strings.Repeat("y", 90))
	}
	sent := []*kgo.Record{
		track("app", "fresh", "X", day, `{"list":`+big+`}`),
		track("app", "fixed", "X", day, `{"list":[1],"n":1}`),
		track("app", "registered", "X", day, `{"list":`+big+`,"n":"`+strings.Repeat("z", 66_000)+`"}`),
		track("app", "together", "X", day, `{`+strings.Join(many, ",")+`}`), // all but 20 are collisions
		track("app", "close", "X", day, `{"list":["`+strings.Repeat("x", 65_531)+`"]}`),
	}
	for i, r := range sent {
		w.send(0, r)
		w.until(w.names.Events(), 0, int64(i)+1)
	}
	w.verified()
	byID := map[string]row{}
	for _, r := range w.rows("app.x") {
		byID[r["id"].(string)] = r
	}
	sum := sha256.Sum256([]byte(big))
	digest := `{"_bytes":` + strconv.Itoa(len(big)) + `,"_sha256":"` + hex.EncodeToString(sum[:]) + `"}`
	for _, id := range []string{"fresh", "registered"} {
		if byID[id]["list"] != digest {
			t.Errorf("%s: list %.100v, want %s", id, byID[id]["list"], digest)
		}
	}
	if byID["fresh"]["_unmapped"] != nil || len(byID["close"]["list"].(string)) != 65_535 {
		t.Errorf("fresh: _unmapped %v; close: list of %d bytes", byID["fresh"]["_unmapped"], len(byID["close"]["list"].(string)))
	}
	for _, id := range []string{"registered", "together"} {
		if u, _ := byID[id]["_unmapped"].(string); !strings.HasPrefix(u, `{"_bytes":`) {
			t.Errorf("%s: _unmapped %.100s", id, u)
		}
	}
	copies := map[string]wire.Rejected{}
	for _, l := range w.letters(3) {
		copies[l.MessageID] = l
	}
	for _, i := range []int{0, 2, 3} {
		l := copies[[]string{"fresh", "", "registered", "together"}[i]]
		if l.Code != event.CodeValueTooLarge || string(l.Original) != string(sent[i].Value) || l.Type != "track" || l.Source != "app" || !l.ReceivedAt.Equal(day) ||
			l.ID != fmt.Sprintf("%s/0/%d", w.names.Events(), i) {
			t.Errorf("record %d: dead letter %+v", i, l.ID)
		}
	}
}

// A row beyond what Redshift takes is rejected; one whose values are cut to less
// is not.
func TestRowsTooLargeAreRejected(t *testing.T) {
	w := setup(t)
	cfg := quick(t)
	cfg.Limits.MaxRowBytes = 200_000
	w.start(cfg)
	wide := make([]string, 11)
	for i := range wide {
		wide[i] = fmt.Sprintf(`"c%d":"%s"`, i, strings.Repeat("x", 20_000))
	}
	w.send(0,
		track("app", "wide", "X", day, "{"+strings.Join(wide, ",")+"}"),
		track("app", "long", "X", day, `{"c":"`+strings.Repeat("x", 300_000)+`"}`),
	)
	commits := w.until(w.names.Events(), 0, 2)
	w.verified()
	if got := sum(commits); got.rejected != 1 || got.primary != 1 {
		t.Errorf("totals %+v", got)
	}
	for _, l := range w.letters(2) {
		if want := map[string]event.Code{"wide": event.CodeRowTooLarge, "long": event.CodeValueTooLarge}[l.MessageID]; l.Code != want {
			t.Errorf("%s: %s", l.MessageID, l.Code)
		}
	}
}

// Whatever comes, every offset is counted once, for its source and day, and
// what is counted as a row is one in a primary table of that source and day.
func TestRowsAreCountedBySourceAndDay(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	types := []event.Type{event.Track, event.Identify, event.Page, event.Screen, event.Group, event.Alias}
	for p := range int32(2) {
		var recs []*kgo.Record
		for i := range 300 {
			source, at := []string{"app", "Web"}[i%2], day.Add(time.Duration(i%7-3)*13*time.Hour)
			id, value := fmt.Sprintf("%d-%d", p, i-i%10/8), `{"properties":{"n":1},"traits":{"m":2}}`
			if i%17 == 0 {
				value = "{"
			}
			recs = append(recs, eventRecord(source, types[i%len(types)], "E"+strconv.Itoa(i%3), id, at, value))
		}
		w.send(p, recs...)
	}
	type cell struct{ source, day string }
	counted, rows := map[cell]int64{}, map[cell]int64{}
	for p := range int32(2) {
		for _, c := range w.until(w.names.Events(), p, 300) {
			var records int64
			for _, a := range c.Accounting {
				records += a.Records
				counted[cell{a.Source, a.DT}] += a.Primary
				if a.Records != a.Primary+a.Duplicates+a.Rejected+a.Marks {
					t.Errorf("%s: %+v", c.Topic, a)
				}
			}
			if records+c.Holes != c.Next-c.First {
				t.Errorf("%d records and %d holes in [%d, %d)", records, c.Holes, c.First, c.Next)
			}
			for _, f := range c.Files {
				if source, table, _ := strings.Cut(f.Table, "."); table != "e0" && table != "e1" && table != "e2" {
					rows[cell{source, f.DT}] += f.Rows
				}
			}
		}
	}
	if diff := cmp.Diff(counted, rows); diff != "" || len(rows) < 6 {
		t.Errorf("rows by source and day (-counted +in files):\n%s", diff)
	}
	w.sound()
}
