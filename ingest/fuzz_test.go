package ingest

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/millstream-data/millstream/internal/event"
)

func scanSeeds(f *testing.F) {
	f.Helper()
	for _, s := range []string{
		``, `{`, `{}`, `[]`, `null`, `nul`, `-`, `-0`, `01`, `1.`, `1e`, `1e+`, `1E-7`, `"`, `"\`, `"\u12"`, `"\ud800"`, `"é"`, "\"\x01\"", `{"a"}`, `{"a":}`, `{,}`,
		`{"a":1,}`, `[1,]`, `[1 2]`, ` {"type":"track"} `, `{"batch":[]}`, `{"batch":[{"type":"page","userId":"u"}]}`, `{"batch":[{]}`, `{"batch":[{}}]}`,
		`{"batch":[NaN,{"type":"page","userId":"u"}],"context":{"a":{"b":[]}}}`, "{\"batch\":[{\"a\":\"\xff\"}]}", `{"batch":1,"batch":[1]}`, `{"batch":[{"context":{"ip":1},"context":2}]}`,
		paid,
	} {
		f.Add([]byte(s))
	}
}

func FuzzScan(f *testing.F) {
	scanSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var idx index
		s := scanner{b: b, idx: &idx, maxDepth: 1 << 20, maxEvents: 1 << 20}
		s.single()
		ev := idx.events[0]
		bad := ev.problem != problemNone && ev.problem != problemNotObject
		want := !json.Valid(b[skipBOM(b):])
		if bad != want && (ev.problem != problemUTF8 || utf8.Valid(b)) {
			t.Errorf("single: %v at %d, but encoding/json says valid=%v", ev.problem, ev.at, !want)
		}
		idx.reset()
		s = scanner{b: b, idx: &idx, maxDepth: 1 << 20, maxEvents: 1 << 20}
		whole, spoilt := s.whole(), false
		for _, ev := range idx.events {
			if int(ev.span.hi) > len(b) || ev.span.lo > ev.span.hi {
				t.Fatalf("event at %v of %d bytes", ev.span, len(b))
			}
			spoilt = spoilt || ev.problem != problemNone && ev.problem != problemNotObject
		}
		switch {
		case !want && !whole && s.problem != problemUTF8:
			t.Errorf("batch: %v at %d, but encoding/json takes it", s.problem, s.at)
		case want && whole && !spoilt:
			t.Error("batch: taken, but encoding/json refuses it")
		}
	})
}

func FuzzStamp(f *testing.F) {
	f.Add([]byte(`{"type":"track","userId":"u","event":"E","context":{"a":1},"x":[1.0,"\u0000"]}`), []byte(`{"b":2,"ip":3}`))
	f.Add([]byte(`{"type":"page","anonymousId":1,"messageId":1,"timestamp":"x","sentAt":null,"context":5}`), []byte(`{"millstream":1}`))
	f.Add([]byte(`{"type":"group","groupId":"g","userId":"\ud800","integrations":{"All":true},"a":1,"a":2,"timestamp":1e400}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, ev, ctx []byte) {
		if !json.Valid(ev) || !json.Valid(ctx) || !utf8.Valid(ev) || !utf8.Valid(ctx) {
			return
		}
		body := append(append(append(append([]byte(`{"batch":[`), ev...), `],"sentAt":"2026-03-01T10:00:01Z","context":`...), ctx...), '}')
		var idx index
		sc := scanner{b: body, idx: &idx, maxDepth: event.MaxDepth, maxEvents: 10}
		if !sc.whole() {
			if sc.problem != problemDepth {
				t.Fatalf("%s: %v at %d", body, sc.problem, sc.at)
			}
			return
		}
		st := testStamper(body, &idx)
		browser(st)
		facts, v := decide(body, &idx, &idx.events[0], "", testLimits, st.arena)
		if v.code != "" {
			return
		}
		value := st.stamp(&idx.events[0], &facts, 0)
		if !json.Valid(value) {
			t.Fatalf("value is no JSON: %s", value)
		}
		untouched(t, ev, value)
	})
}

// untouched wants every member of in that the server does not set in out, byte for byte and in its order.
func untouched(t *testing.T, in, out []byte) {
	t.Helper()
	want, got := members(t, in), members(t, out)
	for _, m := range want {
		for len(got) > 0 && (!bytes.Equal(got[0].name, m.name) || !bytes.Equal(got[0].value, m.value)) {
			got = got[1:]
		}
		if len(got) == 0 {
			t.Fatalf("member %s: %s is gone or changed\n in %s\nout %s", m.name, m.value, in, out)
		}
		got = got[1:]
	}
}

type rawMember struct{ name, value []byte }

// members lists what the server does not read, with the standard library as the oracle.
func members(t *testing.T, b []byte) []rawMember {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	var out []rawMember
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if text := name.(string); eventField([]byte(text)) == fieldOther {
			out = append(out, rawMember{[]byte(text), v})
		}
	}
	return out
}
