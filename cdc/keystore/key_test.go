package keystore

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sortable is a random value of a kind: its JSON, and how the server compares it.
type sortable struct {
	json string
	n    int64
	u    uint64
	s    string
}

func (a sortable) compare(b sortable) int {
	return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.u, b.u), strings.Compare(a.s, b.s))
}

func randomValue(r *rand.Rand, p Part) sortable {
	quote := func(s string) string {
		if p.Quoted {
			return `"` + s + `"`
		}
		return s
	}
	small := r.IntN(2) == 0 // so that equal and neighbouring values meet
	switch p.Kind {
	case KindInt:
		n := int64(r.Uint64()) //nolint:gosec // any bits
		if small {
			n = int64(r.IntN(5) - 2)
		}
		return sortable{json: quote(strconv.FormatInt(n, 10)), n: n}
	case KindUint:
		n := r.Uint64()
		if small {
			n = math.MaxInt64 + uint64(r.IntN(4))
		}
		return sortable{json: quote(strconv.FormatUint(n, 10)), u: n}
	case KindBool:
		return sortable{json: strconv.FormatBool(small), n: map[bool]int64{true: 1}[small]}
	case KindInstant:
		n := r.Int64N(5e18) - 25e17 // years of five digits, and before 1
		if small {
			n = int64(r.IntN(3)-1) * 500
		}
		return sortable{json: `"` + formatInstant(n) + `"`, n: n}
	case KindUUID:
		b := make([]byte, 16)
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		if small {
			b = append(make([]byte, 15), byte(r.IntN(3)))
		}
		return sortable{json: fmt.Sprintf(`"%x-%x-%x-%x-%x"`, b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]), s: string(b)}
	case KindBytes:
		b := randomText(r, "\x00\x01\xfe\xff")
		return sortable{json: `"` + base64.StdEncoding.EncodeToString([]byte(b)) + `"`, s: b}
	case KindText:
		s := randomText(r, "\x01\"\\ aAé€𝄞\n\u007f<")
		return sortable{json: string(appendJSON(nil, s)), s: s}
	case KindOther:
	}
	panic("BUG: no such kind")
}

func randomText(r *rand.Rand, alphabet string) string {
	runes := []rune(alphabet)
	if !strings.Contains(alphabet, "a") { // bytes
		b := make([]byte, r.IntN(4))
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	return b.String()
}

// Encoded tuples compare as the server compares rows, and give their JSON back.
func TestKeysCompareAsTheServers(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 1))
	for range testSeeds(t, 300) {
		parts := make([]Part, 1+r.IntN(3))
		for i := range parts {
			kind := Kind(1 + r.IntN(int(KindText)))
			parts[i] = Part{Name: fmt.Sprintf("c\"%d", i), Kind: kind, Quoted: (kind == KindInt || kind == KindUint) && r.IntN(2) == 0}
		}
		c := NewCodec(parts)
		random := func() ([]sortable, []byte, []byte) {
			values, text := make([]sortable, len(parts)), []byte("{")
			for i, p := range parts {
				values[i] = randomValue(r, p)
				if i > 0 {
					text = append(text, ',')
				}
				text = append(append(appendJSON(text, p.Name), ':'), values[i].json...)
			}
			text = append(text, '}')
			enc, err := c.Append(nil, text)
			if err != nil {
				t.Fatalf("%v: %v", parts, err)
			}
			back, err := c.Decode(enc)
			if err != nil || !bytes.Equal(back, text) {
				t.Fatalf("%s came back as %s, %v", text, back, err)
			}
			return values, text, enc
		}
		for range 20 {
			a, aText, aEnc := random()
			b, bText, bEnc := random()
			want := 0
			for i := range a {
				want = cmp.Or(want, a[i].compare(b[i]))
			}
			if got := bytes.Compare(aEnc, bEnc); got != want {
				t.Fatalf("%s and %s compare as %d, want %d (%x, %x)", aText, bText, got, want, aEnc, bEnc)
			}
		}
	}
}

func TestInstantsOfFarYears(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		time.Date(-4712, 2, 29, 1, 2, 3, 4000, time.UTC), time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(10000, 2, 29, 0, 0, 0, 0, time.UTC), time.Date(294246, 12, 31, 0, 0, 0, 0, time.UTC),
	} {
		text := formatInstant(at.UnixMicro())
		if got, ok := ParseInstant(text); !ok || got != at.UnixMicro() {
			t.Errorf("%s is read as %d, %v; want %d", text, got, ok, at.UnixMicro())
		}
	}
}

func TestKeysThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	c := NewCodec([]Part{{Name: "id", Kind: KindInt}, {Name: "t", Kind: KindText}})
	for _, bad := range []string{
		``, `{}`, `{"id":1}`, `{"id":"1","t":"a"}`, `{"id":1,"t":a}`, `{"id":1.5,"t":"a"}`, `{"id":1,"t":"a"`, `{"id":1,"t":"a}`,
		`{"t":"a","id":1}`, `{"id":1,"t":"a","x":1}`, `{"id":99999999999999999999,"t":"a"}`, `{"id":1,"t":"\u12"}`,
	} {
		if enc, err := c.Append(nil, []byte(bad)); err == nil {
			t.Errorf("%s was encoded as %x", bad, enc)
		}
	}
}

// Whatever the topic holds, Append answers without panic, and what it takes
// comes back as an equal key.
func FuzzKey(f *testing.F) {
	parts := []Part{{Name: "a", Kind: KindText}, {Name: "b", Kind: KindInstant}, {Name: "c", Kind: KindBytes}}
	c := NewCodec(parts)
	f.Add([]byte(`{"a":"x","b":"2026-11-21T06:15:02.113402Z","c":"AAE="}`))
	f.Add([]byte(`{"a":"\u0000","b":"+10000-01-01T00:00:00Z","c":""}`))
	f.Fuzz(func(t *testing.T, key []byte) {
		enc, err := c.Append(nil, key)
		if err != nil {
			return
		}
		back, err := c.Decode(enc)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		again, err := c.Append(nil, back)
		if err != nil || !bytes.Equal(enc, again) {
			t.Fatalf("%q became %q, which is another key: %v", key, back, err)
		}
	})
}
