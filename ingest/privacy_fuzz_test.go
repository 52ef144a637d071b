package ingest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
)

// fuzzedRules are the sources that FuzzPrivacy picks from.
func fuzzedRules() []Source {
	return []Source{
		rules("drop properties.a", "mask context.traits.email", "hash userId"),
		rules("hash properties.*", "drop context.*"),
		rules("mask properties.items[].note", "drop properties.*.a", "hash *.*.*"),
		rules("drop *[]", "hash properties[][].a", "mask event"),
		rules("drop anonymousId", "mask a.b.c", "hash a.*", "drop integrations"),
		rules("mask *.a", "drop *.*", "hash properties.a.b", "mask context.ip"),
	}
}

// tree is a JSON value as the standard library reads it.
type tree struct {
	Raw     string // of a scalar
	Array   bool
	Object  bool
	Members []twig
}

type twig struct {
	Name  string
	Value tree
}

func treeOf(t *testing.T, raw []byte) tree {
	t.Helper()
	raw = bytes.TrimSpace(raw)
	if raw[0] != '{' && raw[0] != '[' {
		return tree{Raw: string(raw)}
	}
	out := tree{Array: raw[0] == '[', Object: raw[0] == '{'}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		var m twig
		if out.Object {
			name, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			m.Name = name.(string)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		m.Value = treeOf(t, v)
		out.Members = append(out.Members, m)
	}
	return out
}

func (v tree) String() string {
	if !v.Array && !v.Object {
		return v.Raw
	}
	var parts []string
	for _, m := range v.Members {
		if v.Object {
			name, _ := json.Marshal(m.Name) // a string has no errors
			parts = append(parts, string(name)+":"+m.Value.String())
		} else {
			parts = append(parts, m.Value.String())
		}
	}
	if v.Array {
		return "[" + strings.Join(parts, ",") + "]"
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// way is what is left of a rule's path.
type way struct {
	rule  int
	steps []pathStep
}

// on returns where a member's name leads, or an element, whose name is "[]".
func (w way) on(name string, element bool) []way {
	if len(w.steps) == 0 || (w.steps[0].kind == stepEvery) != element {
		return nil
	}
	var out []way
	if s := w.steps[0]; element || s.kind == stepAny || s.name == name {
		out = append(out, way{w.rule, w.steps[1:]})
	}
	if head, rest, dots := strings.Cut(name, "."); dots && !element && (w.steps[0].kind == stepAny || head != "" && w.steps[0].name == head) {
		out = append(out, way{w.rule, w.steps[1:]}.on(rest, false)...)
	}
	return out
}

// under returns v after the rules, as slowly and plainly as it can be said. change is called for each value that one
// is about, and returns what becomes of it and whether it stays.
func (v tree) under(ways []way, change func(rule int, v tree) (tree, bool)) tree {
	out := tree{Raw: v.Raw, Array: v.Array, Object: v.Object}
	for _, m := range v.Members {
		var next []way
		for _, w := range ways {
			next = append(next, w.on(m.Name, v.Array)...)
		}
		rule := -1
		for _, w := range next {
			if len(w.steps) == 0 && (rule < 0 || w.rule < rule) {
				rule = w.rule
			}
		}
		value, stays := m.Value, true
		if rule >= 0 {
			value, stays = change(rule, m.Value)
		} else {
			value = value.under(next, change)
		}
		if stays {
			out.Members = append(out.Members, twig{m.Name, value})
		}
	}
	return out
}

// become is what a rule makes of a value.
func (r compiledRule) become(v tree) (tree, bool) {
	nothing := v.Raw == "null" || v.Raw == `""`
	boolean := v.Raw == "true" || v.Raw == "false"
	switch {
	case r.action == actDrop || v.Array || v.Object:
		return tree{}, false
	case nothing:
		return v, true
	case boolean && (r.action == actHash || isIdentity(r.steps)):
		return tree{}, false
	case r.action == actMask:
		return tree{Raw: `"***"`}, true
	}
	text := v.Raw
	if text[0] == '"' {
		_ = json.Unmarshal([]byte(v.Raw), &text) // valid
	}
	return tree{Raw: `"` + hmacOf(text) + `"`}, true
}

// FuzzPrivacy compares the rewriter with an oracle over trees; then it hides a canary wherever a rule reaches, and looks
// for it in all that leaves this process.
func FuzzPrivacy(f *testing.F) {
	f.Add(uint8(0), []byte(`{"type":"page","userId":"u","properties":{"a":1,"b":[1.0,"\u0000"]}}`), []byte(`{"traits":{"email":"x"},"b":2}`))
	f.Fuzz(func(t *testing.T, which uint8, ev, ctx []byte) {
		if !json.Valid(ev) || !json.Valid(ctx) || !utf8.Valid(ev) || !utf8.Valid(ctx) || bytes.Contains(ev, []byte(canary)) || bytes.Contains(ctx, []byte(canary)) {
			return
		}
		if ev, ctx = bytes.TrimSpace(ev), bytes.TrimSpace(ctx); ev[0] != '{' || ctx[0] != '{' || len(ev) > 10_000 {
			return
		}
		s := fuzzedRules()[int(which)%len(fuzzedRules())]
		before := treeOf(t, ev)
		if out, ok := cleanedEvent(t, s, string(ev), string(ctx)); ok {
			want := before.under(waysOf(s), func(rule int, v tree) (tree, bool) { return compiled(s)[rule].become(v) })
			if diff := cmp.Diff(want, treeOf(t, out)); diff != "" {
				t.Fatalf("%s under %v (-want +got):\n%s", ev, s.Privacy, diff)
			}
		}
		plant := func(int, tree) (tree, bool) { return tree{Raw: `"` + canary + `"`}, true }
		planted := before.under(waysOf(s), plant)
		batch := tree{Object: true, Members: []twig{{"context", treeOf(t, ctx)}}}.under(waysOf(s), plant).Members[0].Value
		if batch.Object {
			searchedAll(t, s, planted.String(), batch.String())
		}
	})
}

func compiled(s Source) []compiledRule {
	var out []compiledRule
	for _, r := range s.Privacy {
		c, _ := r.compile("", testHashKey) // a rule of the list above
		out = append(out, c)
	}
	return out
}

// waysOf is where the rules of s begin.
func waysOf(s Source) []way {
	var out []way
	for i, r := range compiled(s) {
		out = append(out, way{i, r.steps})
	}
	return out
}

func fuzzedRequest(t *testing.T, s Source, ev, ctx string) *request {
	t.Helper()
	rq := cleanRequest(t, s, `{"batch":[`+ev+`],"sentAt":"2026-03-01T10:00:01Z","context":`+ctx+`}`, browser)
	rq.srv.cfg.RejectedMax = 1 << 20
	return rq
}

// cleanedEvent returns an accepted event after the rules.
func cleanedEvent(t *testing.T, s Source, ev, ctx string) ([]byte, bool) {
	t.Helper()
	rq := fuzzedRequest(t, s, ev, ctx)
	f, v := decide(rq.body.b, &rq.idx, &rq.idx.events[0], "", testLimits, &rq.arena)
	if v.code != "" {
		return nil, false
	}
	clean, v := rq.cleanse(&rq.idx.events[0], &f)
	if v.code != "" {
		return nil, false
	}
	return clean.span.of(rq.clean.dst), true
}

// searchedAll looks for the canary in value, key, headers and dead letter of an event.
func searchedAll(t *testing.T, s Source, ev, ctx string) {
	t.Helper()
	rq := fuzzedRequest(t, s, ev, ctx)
	look := func(what string, b []byte) {
		if bytes.Contains(b, []byte(canary)) {
			t.Fatalf("%s of %s with %s tells under %v: %s", what, ev, ctx, s.Privacy, b)
		}
	}
	left := rq.shown(0, rq.idx.events[0].span.of(rq.body.b), event.CodeMissingEvent, 1<<20)
	look("dead letter", left.value)
	look("envelope", left.envelope)
	look("sender", left.sender)
	if len(left.value) > 0 && !json.Valid(left.value) {
		t.Fatalf("dead letter is no JSON: %s", left.value)
	}
	f, v := decide(rq.body.b, &rq.idx, &rq.idx.events[0], "", testLimits, &rq.arena)
	if v.code != "" {
		return
	}
	clean, v := rq.cleanse(&rq.idx.events[0], &f)
	if v.code != "" {
		return
	}
	stamped := rq.stamper.stamp(clean, &f, 0)
	if !json.Valid(stamped) {
		t.Fatalf("value is no JSON: %s", stamped)
	}
	look("value", stamped)
	look("key", f.id)
	look("name", f.name)
	look("message id", f.messageID)
}
