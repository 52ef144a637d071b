package batcher

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type plainLeaf struct {
	Path string
	Raw  string
	Root root
}

// plainParse is what parsed.parse does, step by step and without a memory.
func plainParse(value []byte, depth int) (leaves []plainLeaf, properties string, ok bool) {
	value = trim(value)
	if len(value) == 0 || value[0] != '{' || !json.Valid(value) {
		return nil, "", false
	}
	seen := map[root]bool{}
	for m := membersOf(value); ; {
		rawKey, raw, more := m.next()
		if !more {
			return leaves, properties, true
		}
		key, _ := text(nil, rawKey)
		if slices.Contains([]string{"type", "writeKey", "integrations", "_metadata", "messageId", "receivedAt"}, string(key)) {
			continue
		}
		path, r := string(appendEscaped(nil, key)), rootOf(key)
		switch {
		case r != rootTop && raw[0] == '{' && !seen[r]:
			seen[r] = true
			if r == rootProperties {
				properties = string(raw)
			}
			leaves = plainObject(leaves, path, raw, r, depth)
		case raw[0] != 'n':
			if r == rootProperties && properties == "" {
				properties = string(raw)
			}
			leaves = append(leaves, plainLeaf{path, string(raw), rootTop})
		}
	}
}

func plainObject(leaves []plainLeaf, prefix string, object []byte, r root, depth int) []plainLeaf {
	for m := membersOf(object); ; {
		rawKey, raw, more := m.next()
		if !more {
			return leaves
		}
		key, _ := text(nil, rawKey)
		path := prefix + "." + string(appendEscaped(nil, key))
		switch {
		case raw[0] == 'n', raw[0] == '{' && len(trim(raw[1:len(raw)-1])) == 0:
		case raw[0] == '{' && depth > 1:
			leaves = plainObject(leaves, path, raw, r, depth-1)
		default:
			leaves = append(leaves, plainLeaf{path, string(raw), r})
		}
	}
}

func compareParse(t *testing.T, p *parsed, value []byte) {
	t.Helper()
	want, properties, ok := plainParse(value, p.depth)
	if err := p.parse(value); (err == nil) != ok {
		t.Fatalf("%q: %v, valid: %v", value, err, ok)
	}
	if !ok {
		return
	}
	var got []plainLeaf
	for _, l := range p.leaves {
		got = append(got, plainLeaf{l.path, string(l.raw), l.root})
		s, clean := l.raw, true
		if l.raw[0] == '"' {
			s, clean = text(nil, l.raw)
		}
		if l.plain && (!clean || `"`+string(s)+`"` != string(l.raw)) {
			t.Errorf("%q: taken for plain", l.raw)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q (-want +got):\n%s", value, diff)
	}
	if string(p.tops[topProperties]) != properties {
		t.Fatalf("%q: properties %q, want %q", value, p.tops[topProperties], properties)
	}
}

// Whatever a parser has read before, it finds the leaves that a plain one finds.
func TestRememberedPathsChangeNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		p := &parsed{depth: 1 + rnd.IntN(4)}
		if seed%4 == 0 {
			p.known = maxPaths - 10
		}
		for range 200 {
			compareParse(t, p, randomObject(rnd, 0))
		}
	}
}

func randomObject(rnd *rand.Rand, level int) []byte {
	keys := []string{
		"context", "properties", "traits", "type", "event", "userId", "a", "b", "c", "a.b", `\u0061`, `back\\slash`, "é", "", "timestamp", "name", `\ud800`,
	}
	out := []byte{'{'}
	for i := range rnd.IntN(6) {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `%s"%s"%s:`, blank(rnd), keys[rnd.IntN(len(keys))], blank(rnd))
		out = append(append(out, blank(rnd)...), randomValue(rnd, level)...)
		out = append(out, blank(rnd)...)
	}
	if rnd.IntN(200) == 0 {
		return out // cut off
	}
	return append(append(out, blank(rnd)...), '}')
}

func blank(rnd *rand.Rand) string { return []string{"", "", "", " ", "\n\t"}[rnd.IntN(5)] }

func randomValue(rnd *rand.Rand, level int) []byte {
	values := []string{
		`null`, `true`, `false`, `0`, `-1.5e3`, `"x"`, `"eight by"`, `"eight bytes and more"`, `"esc\"aped"`, `"\u0000"`, `"日本語 text"`, "\"\xff\"", `[]`, `[1,{"a":[]}]`,
		`{}`, `{ }`, `"2026-11-21T06:15:02Z"`, `""`,
	}
	if rnd.IntN(100) == 0 {
		return []byte([]string{`01`, `tru`, `"a` + "\n" + `"`, `"\x"`, `[1,]`, `-`, `1.`, `{"a"}`, `"\u12g4"`, ``}[rnd.IntN(10)])
	}
	if level < 4 && rnd.IntN(3) == 0 {
		return randomObject(rnd, level+1)
	}
	return []byte(values[rnd.IntN(len(values))])
}

// FuzzParse holds the parser to encoding/json and the plain way.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"properties":{"a":1},"properties":{"b":2}}`, `{"a":"\u0000\ud800"}`, `{"properties":"x","properties":{}}`, `{`, `{"a":1}x`, `{"a":1,}`, `{"a" 1}`,
		`{"context":{"a":{"b":{}}},"b":[[[]]]}`, "{\"\x00\":1}", `{"a":"1234567\"89"}`, `{"a":"1234567` + "\x1f" + `89"}`, `{"a":1e}`, `{"a":-0.0E+1}`,
	} {
		f.Add([]byte(s))
	}
	p := &parsed{depth: 3}
	f.Fuzz(func(t *testing.T, value []byte) { compareParse(t, p, value) })
}

func TestNestingEndsAsInEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, n := range []int{9_998, 9_999, 10_000} {
		compareParse(t, &parsed{depth: 5}, []byte(`{"a":`+strings.Repeat("[", n)+strings.Repeat("]", n)+`}`))
	}
}

// The quick way of reading times agrees with the standard library.
func TestCommonTimesAreReadAlike(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 3))
	for range 20_000 {
		s := fmt.Appendf(nil, "%04d-%02d-%02dT%02d:%02d:%02d", rnd.IntN(10_001), rnd.IntN(14), rnd.IntN(33), rnd.IntN(25), rnd.IntN(61), rnd.IntN(61))
		if n := rnd.IntN(12); n > 0 {
			s = append(append(s, '.'), "123456789012"[:n-1]...)
		}
		s = append(s, []string{"Z", "Z", "z", "+02:00", "-00:30"}[rnd.IntN(5)]...)
		if rnd.IntN(10) == 0 {
			s[rnd.IntN(len(s))] = "x -:."[rnd.IntN(5)]
		}
		if len(s) < len("2026-11-21T06:15:02Z") || s[4] != '-' || s[10] != 'T' {
			continue
		}
		got, ok := commonTime(s)
		if !ok {
			continue
		}
		var want time.Time
		if err := want.UnmarshalText(s); err != nil || !want.Equal(got) || got.Year() > 9999 || got.Year() < 1 {
			t.Fatalf("%s: %s, want %s (%v)", s, got, want, err)
		}
	}
	if _, ok := commonTime([]byte("2026-11-21T06:15:02.113Z")); !ok {
		t.Error("the form that SDKs send takes the slow way")
	}
}
