package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
)

const testHashKey = config.Secret("a key that only this test has")

// hmacOf is what a rule with hash makes of text.
func hmacOf(text string) string {
	mac := hmac.New(sha256.New, []byte(testHashKey.Reveal()))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// cleanRequest returns a request of a source with rules, split and ready.
func cleanRequest(t testing.TB, s Source, body string, change ...func(*stamper)) *request {
	t.Helper()
	cfg := testConfig()
	cfg.PrivacyHashKey = testHashKey
	p, err := newPrivacy("ingest.sources.app", s, testHashKey)
	if err != nil {
		t.Fatal(err)
	}
	src := &source{name: "app", header: []byte("app"), skew: true, limits: testLimits, privacy: p}
	rq := &request{srv: &Server{cfg: cfg}, kind: routeBatch, access: &access{source: src, kind: KindServer}, body: &buffer{b: []byte(body), class: -1}}
	sc := scanner{b: rq.body.b, idx: &rq.idx, maxDepth: event.MaxDepth, maxEvents: 1000}
	if !sc.whole() {
		t.Fatalf("%s: %v at %d", body, sc.problem, sc.at)
	}
	rq.stamper = *testStamper(rq.body.b, &rq.idx)
	rq.stamper.arena = &rq.arena
	for _, f := range change {
		f(&rq.stamper)
	}
	rq.caller = rq.stamper.caller
	return rq
}

// cleanOne returns the value of the first event of a batch after the rules of its source.
func cleanOne(t testing.TB, s Source, body string, change ...func(*stamper)) (string, facts, verdict) {
	t.Helper()
	rq := cleanRequest(t, s, body, change...)
	f, v := decide(rq.body.b, &rq.idx, &rq.idx.events[0], "", testLimits, &rq.arena)
	if v.code != "" {
		t.Fatalf("%s: %s", body, v.code)
	}
	ev, v := rq.cleanse(&rq.idx.events[0], &f)
	if v.code != "" {
		return "", f, v
	}
	return string(rq.stamper.stamp(ev, &f, 0)), f, v
}

func rules(text ...string) Source {
	var out []PrivacyRule
	for _, line := range text {
		action, path, _ := strings.Cut(line, " ")
		path, narrow, _ := strings.Cut(path, " ")
		r := PrivacyRule{Action: PrivacyAction(action), Path: path}
		for n := range strings.FieldsSeq(narrow) {
			if t, ok := event.ParseType(n); ok {
				r.Types = append(r.Types, t)
			} else {
				r.Events = append(r.Events, n)
			}
		}
		out = append(out, r)
	}
	return Source{Privacy: out}
}

func TestRulesChangeWhatTheyNameAndNothingElse(t *testing.T) {
	t.Parallel()
	ann, nine := `"`+hmacOf("ann")+`"`, `"`+hmacOf("9.50")+`"`
	for name, c := range map[string]struct{ rule, in, want string }{
		"drop the first":            {"drop properties.a", `"properties":{ "a" : 1 , "b":2}`, `"properties":{"b":2}`},
		"drop one between":          {"drop properties.a", `"properties":{ "b":2 , "a":{"x":[1]} , "c": 3 }`, `"properties":{ "b":2,"c": 3 }`},
		"drop the last":             {"drop properties.a", `"properties":{ "b": 1.0 , "a":1 }`, `"properties":{ "b": 1.0}`},
		"drop all there are":        {"drop properties.*", `"properties":{ "b":2 , "a":1 }`, `"properties":{}`},
		"drop repeated":             {"drop properties.a", `"properties":{"a":1,"b":2,"a":3,"a":4,"c":5,"a":6}`, `"properties":{"b":2,"c":5}`},
		"drop a member of the top":  {"drop properties", `"x":1,"properties":{},"y":2`, `"x":1,"y":2`},
		"names are unescaped":       {"drop properties.email", `"prop\u0065rties":{"em\u0061il":1,"e":1}`, `"prop\u0065rties":{"e":1}`},
		"a rule's own name may be":  {"drop properties.Größe", `"properties":{"Gr\u00f6\u00dfe":1,"e":1}`, `"properties":{"e":1}`},
		"what a name is part of":    {"drop properties.mail", `"properties":{"email":1,"mail2":2,"Mail":3}`, `"properties":{"email":1,"mail2":2,"Mail":3}`},
		"other depths stay":         {"drop email", `"properties":{"email":1},"traits":{"email":2}`, `"properties":{"email":1},"traits":{"email":2}`},
		"mask a text":               {"mask properties.a", `"properties":{"b":[ 1e400 ], "a": "x\"}\u0000" }`, `"properties":{"b":[ 1e400 ], "a": "***" }`},
		"mask a number":             {"mask properties.a", `"properties":{"a":-1.5e3}`, `"properties":{"a":"***"}`},
		"mask true":                 {"mask properties.a", `"properties":{"a":true,"b":true}`, `"properties":{"a":"***","b":true}`},
		"null and nothing stay":     {"mask properties.*", `"properties":{"a":null,"b":""}`, `"properties":{"a":null,"b":""}`},
		"mask no objects, drop":     {"mask properties.a", `"properties":{"a":{"x":1},"b":2}`, `"properties":{"b":2}`},
		"mask no arrays, drop":      {"mask properties.a", `"properties":{"a":["x"]}`, `"properties":{}`},
		"hash a text":               {"hash properties.a", `"properties":{"a":"ann","b":"ann"}`, `"properties":{"a":` + ann + `,"b":"ann"}`},
		"hash an escaped text":      {"hash properties.a", `"properties":{"a":"\u0061nn"}`, `"properties":{"a":` + ann + `}`},
		"hash the text of a number": {"hash properties.a", `"properties":{"a":9.50,"b":9.5}`, `"properties":{"a":` + nine + `,"b":9.5}`},
		"hash nothing, null":        {"hash properties.*", `"properties":{"a":null,"b":""}`, `"properties":{"a":null,"b":""}`},
		"hash no truth, drop":       {"hash properties.a", `"properties":{"a":true,"b":2}`, `"properties":{"b":2}`},
		"one level":                 {"mask properties.*.iban", `"properties":{"iban":1,"a":{"iban":2,"b":{"iban":3}},"c":[{"iban":4}]}`, `"properties":{"iban":1,"a":{"iban":"***","b":{"iban":3}},"c":[{"iban":4}]}`},
		"every element":             {"drop properties.items[].note", `"properties":{"items":[{"note":1,"id":1}, {"id":2,"note":"x"},3,{"note":4}]}`, `"properties":{"items":[{"id":1}, {"id":2},3,{}]}`},
		"elements themselves":       {"mask properties.tags[]", `"properties":{"tags":["a",null,[1],2,{}]}`, `"properties":{"tags":["***",null,"***"]}`},
		"elements of elements":      {"hash properties.m[][]", `"properties":{"m":[["ann"],"ann"]}`, `"properties":{"m":[[` + ann + `],"ann"]}`},
		"arrays need their sign":    {"drop properties.items.note", `"properties":{"items":[{"note":1}]}`, `"properties":{"items":[{"note":1}]}`},
		"an object is no array":     {"drop properties.items[].note", `"properties":{"items":{"note":1}}`, `"properties":{"items":{"note":1}}`},
		"names with dots":           {"drop properties.user.email", `"properties":{"user.email":1,"user":{"email":2},"user.emails":3},"properties.user":{"email":4},"properties.user.email":5`, `"properties":{"user":{},"user.emails":3},"properties.user":{}`},
		"names with dots and stars": {"drop properties.*.iban", `"properties":{"card.iban":1,"card.x.iban":2,"x.y":{"iban":3}}`, `"properties":{"card.x.iban":2,"x.y":{}}`},
		"empty containers":          {"drop properties.a.b", `"properties":{"a":{ },"a":[ ]}`, `"properties":{"a":{ },"a":[ ]}`},
	} {
		body := `{"batch":[{"type":"page","userId":"u","messageId":"m",` + c.in + `}]}`
		got, _, v := cleanOne(t, rules(c.rule), body)
		want := prefix + `,"type":"page","userId":"u","messageId":"m",` + c.want + `}`
		equal(t, name+" "+string(v.code), got, want)
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: no JSON: %s", name, got)
		}
	}
}

func TestFirstRuleThatFitsActs(t *testing.T) {
	t.Parallel()
	const body = `{"batch":[{"type":"page","userId":"u","messageId":"m","properties":{"email":"ann","a":"ann"}}]}`
	got, _, _ := cleanOne(t, rules("hash properties.email", "mask properties.*", "drop *.email"), body)
	equal(t, "value", got, prefix+`,"type":"page","userId":"u","messageId":"m","properties":{"email":"`+hmacOf("ann")+`","a":"***"}}`)
	got, _, _ = cleanOne(t, rules("drop *.email", "hash properties.email", "mask properties.*"), body)
	equal(t, "value", got, prefix+`,"type":"page","userId":"u","messageId":"m","properties":{"a":"***"}}`)
}

func TestRulesAreNarrowedByTypesAndEvents(t *testing.T) {
	t.Parallel()
	s := rules("drop properties.a track", "drop properties.b Paid", "drop properties.c page screen", "drop properties.d track Paid")
	for _, c := range []struct{ event, want string }{
		{`"type":"track","event":"Paid"`, `{"c":3}`},
		{`"type":"track","event":"P\u0061id"`, `{"c":3}`},
		{`"type":"track","event":"Left"`, `{"b":2,"c":3,"d":4}`},
		{`"type":"page","event":"Paid"`, `{"a":1,"b":2,"d":4}`},
		{`"type":"identify"`, `{"a":1,"b":2,"c":3,"d":4}`},
	} {
		got, _, _ := cleanOne(t, s, `{"batch":[{`+c.event+`,"userId":"u","messageId":"m","properties":{"a":1,"b":2,"c":3,"d":4}}]}`)
		if !strings.HasSuffix(got, `"properties":`+c.want+`}`) {
			t.Errorf("%s: %s", c.event, got)
		}
	}
}

func TestRulesHoldForWhatBatchAndRequestSay(t *testing.T) {
	t.Parallel()
	got, _, _ := cleanOne(t, rules("drop context.traits.email", "hash integrations.x", "hash context.userAgent", "drop context.locale"),
		`{"context":{"traits":{"email":"e","age":7},"userAgent":"batch","locale":"fr"},"integrations":{"x":"ann","y":1},"batch":[{"type":"page","userId":"u","messageId":"m"}],"sentAt":"2026-03-01T10:00:01Z"}`)
	equal(t, "batch", got, prefix+`,"sentAt":"2026-03-01T10:00:01Z","context":{"traits":{"age":7},"userAgent":"`+hmacOf("batch")+`"},"integrations":{"x":"`+hmacOf("ann")+`","y":1},"type":"page","userId":"u","messageId":"m"}`)

	const plain = `{"batch":[{"type":"page","userId":"u","messageId":"m","context":{"a":1,"ip":"6.6.6.6"}}]}`
	for rule, want := range map[string]string{
		"drop context":           ``,
		"drop context.ip":        `,"context":{"a":1,"userAgent":"Firefox","locale":"de-AT"}`,
		"mask context.*":         `,"context":{"a":"***","ip":"***","userAgent":"***","locale":"***"}`,
		"hash *.userAgent":       `,"context":{"a":1,"ip":"203.0.113.9","userAgent":"` + hmacOf("Firefox") + `","locale":"de-AT"}`,
		"drop context.userAgent": `,"context":{"a":1,"ip":"203.0.113.9","locale":"de-AT"}`,
	} {
		got, _, _ := cleanOne(t, rules(rule), plain, browser)
		if rule == "drop context" {
			got = strings.Replace(got, `,"context":{}`, ``, 1) // the server has nothing to fill in
		}
		equal(t, rule, got, prefix+want+`,"type":"page","userId":"u","messageId":"m"}`)
	}
}

func TestIDsUnderRules(t *testing.T) {
	t.Parallel()
	batch := func(ev string) string { return `{"batch":[{` + ev + `,"messageId":"m"}]}` }
	value, f, _ := cleanOne(t, rules("hash userId"), batch(`"type":"page","userId":"ann","anonymousId":"a"`))
	equal(t, "id", string(f.id), hmacOf("ann"))
	equal(t, "value", value, prefix+`,"type":"page","userId":"`+hmacOf("ann")+`","anonymousId":"a","messageId":"m"}`)
	_, f, _ = cleanOne(t, rules("hash userId"), batch(`"type":"page","userId":"null"`))
	equal(t, "flags are of what was sent", f.flags, flagSuspiciousID)
	_, f, _ = cleanOne(t, rules("mask userId"), batch(`"type":"page","userId":true,"anonymousId":"a"`))
	equal(t, "what was no id becomes none", string(f.id), "a")
	_, f, _ = cleanOne(t, rules("hash userId"), batch(`"type":"page","userId":"","anonymousId":"a"`))
	equal(t, "nothing becomes no id", string(f.id), "a")
	_, f, _ = cleanOne(t, rules("drop userId"), batch(`"type":"page","userId":"ann","anonymousId":"a"`))
	equal(t, "the other id", string(f.id), "a")
	_, f, _ = cleanOne(t, rules("hash event"), batch(`"type":"track","userId":"ann","event":"Paid"`))
	equal(t, "name", string(f.name), hmacOf("Paid"))
	for rule, code := range map[string]event.Code{"drop userId": "missing_identity", "drop event": "missing_event"} {
		_, _, v := cleanOne(t, rules(rule), batch(`"type":"track","userId":"ann","event":"Paid"`))
		if v.code != code || !strings.HasSuffix(v.message, ", after the privacy rules of its source") {
			t.Errorf("%s: %+v", rule, v)
		}
	}
}

func TestGeneratedIDsSayNothingOfWhatIsHidden(t *testing.T) {
	t.Parallel()
	s := rules("drop properties.secret")
	id := func(secret string) string {
		_, f, _ := cleanOne(t, s, `{"batch":[{"type":"page","userId":"u","timestamp":"2026-03-01T10:00:00Z","properties":{"secret":"`+secret+`"}}]}`)
		return string(f.messageID)
	}
	if a, b := id("1234"), id("5678"); a != b || !strings.HasPrefix(a, "auto-") {
		t.Errorf("%s and %s", a, b)
	}
}

func TestHashesThatMakeAnEventTooLargeRefuseIt(t *testing.T) {
	t.Parallel()
	_, _, v := cleanOne(t, rules("hash properties.a[]"), `{"batch":[{"type":"page","userId":"u","properties":{"a":[1`+strings.Repeat(",1", 100_000)+`]}}]}`)
	equal(t, "code", v.code, event.CodeEventTooLarge)
}

func TestRulesAllocateNothingPerEvent(t *testing.T) {
	s := rules("hash userId", "hash context.traits.email", "mask properties.total", "drop properties.products[].name", "drop properties.coupon track", "hash properties.x Paid")
	s.IP = IPTruncate
	rq := cleanRequest(t, s, benchBody(100), browser)
	rq.arena.room(1 << 20)
	buf, idx := rq.arena.buf, rq.stamper
	run := func() {
		rq.arena.buf = buf[:0]
		rq.clean.reset()
		for i := range rq.idx.events {
			rq.stamper = idx
			f, _ := decide(rq.body.b, &rq.idx, &rq.idx.events[i], "", testLimits, &rq.arena)
			ev, v := rq.cleanse(&rq.idx.events[i], &f)
			if v.code != "" {
				t.Fatal(v)
			}
			rq.stamper.stamp(ev, &f, i)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations for 100 events, want none", n)
	}
}

func BenchmarkCleanse(b *testing.B) {
	for name, s := range map[string]Source{
		"five rules":  rules("hash userId", "hash context.traits.email", "mask properties.total", "drop properties.products[].name", "drop properties.coupon track"),
		"truncate ip": {IP: IPTruncate},
	} {
		b.Run(name, func(b *testing.B) {
			rq := cleanRequest(b, s, benchBody(100), browser)
			rq.arena.room(1 << 20)
			buf := rq.arena.buf
			b.SetBytes(int64(len(rq.body.b)))
			b.ReportAllocs()
			for b.Loop() {
				rq.arena.buf = buf[:0]
				rq.clean.reset()
				for i := range rq.idx.events {
					f, _ := decide(rq.body.b, &rq.idx, &rq.idx.events[i], "", testLimits, &rq.arena)
					ev, _ := rq.cleanse(&rq.idx.events[i], &f)
					rq.stamper.stamp(ev, &f, i)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
		})
	}
}
