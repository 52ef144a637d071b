package millstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 2*3600))

// encodeValue returns what value makes of v as a property.
func encodeValue(v any) (string, error) {
	n := new(encoder)
	err := n.value(v, 3)
	return string(n.buf), err
}

type (
	money  float64
	level  int8
	plan   string
	ticket struct {
		ID   int64     `json:"id"`
		Tags []string  `json:"tags,omitempty"`
		At   time.Time `json:"at"`
	}
	noisy struct{}
	text  struct{}
)

func (noisy) MarshalJSON() ([]byte, error) { panic("noisy") }
func (text) MarshalText() ([]byte, error)  { return []byte("as text"), nil }

func TestValueHasOneJSONForm(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	var nobody *ticket
	for _, c := range []struct {
		in   any
		want string
	}{
		{nil, `null`},
		{"a\"\\\n\r\t\x00\u2028é€😀<&>", `"a\"\\\n\r\t\u0000` + "\u2028" + `é€😀<&>"`},
		{"\xff\xc3", "\"\ufffd\ufffd\""},
		{true, `true`},
		{int64(math.MaxInt64), `9223372036854775807`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{uint8(7), `7`},
		{int32(-7), `-7`},
		{huge, `123456789012345678901234567890`},
		{*huge, `123456789012345678901234567890`},
		{(*big.Int)(nil), `null`},
		{12.5, `12.5`},
		{1e21, `1e+21`},
		{1e-7, `1e-7`},
		{float32(0.1), `0.1`},
		{math.NaN(), `null`},
		{math.Inf(-1), `null`},
		{json.Number("12.50"), `12.50`},
		{json.RawMessage("{ \"a\":\n1 }"), `{"a":1}`},
		{noon, `"2026-03-01T10:00:00.123456789Z"`},
		{noon.Truncate(time.Microsecond), `"2026-03-01T10:00:00.123456Z"`},
		{noon.Truncate(time.Second), `"2026-03-01T10:00:00.000Z"`},
		{money(1.5), `1.5`},
		{money(math.NaN()), `null`},
		{level(3), `3`},
		{plan("pro"), `"pro"`},
		{&noon, `"2026-03-01T10:00:00.123456789Z"`},
		{nobody, `null`},
		{[]any(nil), `null`},
		{[]string{"a", "b"}, `["a","b"]`},
		{[]money{1, money(math.Inf(1))}, `[1,null]`},
		{[2]int{1, 2}, `[1,2]`},
		{[]byte("hi"), `"aGk="`},
		{map[string]int{"b": 2, "a": 1}, `{"a":1,"b":2}`},
		{map[int]string{1: "x"}, `{"1":"x"}`},
		{map[plan]any{"pro": Map{"x": nil}}, `{"pro":{"x":null}}`},
		{Map{"z": []any{1, "2", Map{}}, "a": Map(nil)}, `{"a":null,"z":[1,"2",{}]}`},
		{ticket{ID: 1 << 60}, `{"id":1152921504606846976,"at":"0001-01-01T00:00:00.000Z"}`},
		{text{}, `"as text"`},
	} {
		got, err := encodeValue(c.in)
		if err != nil || got != c.want {
			t.Errorf("%#v: got %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

type pointed struct{ n int }

func (p *pointed) MarshalJSON() ([]byte, error) { return []byte(`"by pointer"`), nil }

func TestStructHasTheMembersThatEncodingJSONGivesIt(t *testing.T) {
	type inner struct {
		A int `json:"a"`
		B string
	}
	number := 7
	for _, v := range []any{
		struct {
			Plain, Empty string
			Named        int             `json:"named,omitempty"`
			Zero         int             `json:"zero,omitempty"`
			None         []int           `json:"none,omitempty"`
			Gone         string          `json:"-"`
			Pointer      *int            `json:"p"`
			Nil          *int            `json:"nil,omitempty"`
			In           inner           `json:"in,omitempty"`
			List         []inner         `json:"list"`
			Map          map[string]bool `json:"map"`
			Any          any
			hidden       int
		}{Plain: "x", Gone: "g", Pointer: &number, List: []inner{{1, "b"}}, hidden: 1},
		struct {
			inner
			C int
		}{inner{1, "b"}, 2},
		struct {
			N int64 `json:",string"`
		}{5},
		&struct{ P pointed }{pointed{1}},
		[]pointed{{1}},
		struct{}{},
		&inner{2, "<&>"},
	} {
		want := new(bytes.Buffer)
		enc := json.NewEncoder(want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from what is known of the type
			if got, err := encodeValue(v); err != nil || got+"\n" != want.String() {
				t.Errorf("%T: got %s, %v; want %s", v, got, err, want)
			}
		}
	}
}

func TestStructFollowsTheRulesOfValues(t *testing.T) {
	got, err := encodeValue(struct {
		At    time.Time
		Ratio float64
	}{noon, math.Inf(1)})
	if want := `{"At":"2026-03-01T10:00:00.123456789Z","Ratio":null}`; err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestValueWithoutJSONFormIsRefusedByName(t *testing.T) {
	cycle := Map{}
	cycle["self"] = cycle
	var ring any
	ring = &ring
	for _, c := range []struct {
		in    any
		field string
	}{
		{func() {}, "properties.x"},
		{make(chan int), "properties.x"},
		{1i, "properties.x"},
		{[]any{1, Map{"price": func() {}}}, "properties.x[1].price"},
		{[][]any{{1}, {2, func() {}}}, "properties.x[1][1]"},
		{struct{ F func() }{}, "properties.x.F"},
		{noisy{}, "properties.x"},
		{json.Number("1x"), "properties.x"},
		{json.Number(""), "properties.x"},
		{json.RawMessage("{"), "properties.x"},
		{time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), "properties.x"},
		{ring, "properties.x"},
		{cycle, ""},
	} {
		var invalid *InvalidError
		n := new(encoder)
		e := Track{UserID: "u", Event: "e", Properties: Map{"x": c.in}}.event()
		err := n.event(&e, noon, new(idClock), &platform{whole: []byte("{}")})
		if !errors.As(err, &invalid) || c.field != "" && invalid.Field != c.field || invalid.Reason == "" {
			t.Errorf("%T: got %v; want an InvalidError of %s", c.in, err, c.field)
		}
	}
}

func TestDepthOf200IsTheLast(t *testing.T) {
	nest := func(n int) Map {
		m := Map{}
		for ; n > 1; n-- {
			m = Map{"d": m}
		}
		return m
	}
	raw := func(n int) Map { return Map{"x": json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))} }
	for _, c := range []struct {
		properties Map
		ok         bool
	}{{nest(199), true}, {nest(200), false}, {raw(198), true}, {raw(199), false}} {
		e := Track{UserID: "u", Event: "e", Properties: c.properties}.event()
		if err := new(encoder).event(&e, noon, new(idClock), &platform{whole: []byte("{}")}); (err == nil) != c.ok {
			t.Errorf("got %v; want accepted: %v", err, c.ok)
		}
	}
}

func TestEventOf256KiBIsTheLargest(t *testing.T) {
	for _, char := range []string{"a", "é", "€", "😀"} {
		size := func(e Event) (int, error) {
			n := new(encoder)
			err := n.event(&e, noon, new(idClock), &platform{whole: []byte("{}")})
			return len(n.buf), err
		}
		e := Track{UserID: "u", Event: "e", Properties: Map{"a": "", "b": ""}}.event()
		empty, _ := size(e)
		e.Properties["a"] = strings.Repeat(char, (maxEvent-empty)/len(char))
		e.Properties["b"] = strings.Repeat("x", (maxEvent-empty)%len(char))
		if n, err := size(e); err != nil || n != maxEvent {
			t.Errorf("%s: %d bytes: %v", char, n, err)
		}
		e.Properties["b"] = e.Properties["b"].(string) + "x"
		if _, err := size(e); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: one byte more: %v", char, err)
		}
	}
}

func TestContextOfTheCallLiesOverTheClients(t *testing.T) {
	base, err := newPlatform(Map{"library": Map{"name": "x", "version": "1"}, "app": Map{"name": "shop", "build": 7}})
	if err != nil {
		t.Fatal(err)
	}
	e := Identify{UserID: "u", Context: Map{"app": Map{"name": "mine"}, "ip": "::1"}}.event()
	n := new(encoder)
	if err := n.event(&e, noon, new(idClock), base); err != nil {
		t.Fatal(err)
	}
	want := `"context":{"app":{"name":"mine"},"ip":"::1","library":{"name":"x","version":"1"}}}`
	if !strings.HasSuffix(string(n.buf), want) {
		t.Errorf("got %s; want it to end in %s", n.buf, want)
	}
}

func FuzzEncoderAgreesWithEncodingJSON(f *testing.F) {
	f.Add("plain", "Größe \"x\"\n\u2028", 1.5, int64(-3), true)
	f.Add("", "\xff\x00\x1f\x7f", 1e300, int64(math.MinInt64), false)
	f.Fuzz(func(t *testing.T, key, s string, number float64, n int64, b bool) {
		in := map[string]any{key: s, key + "n": number, "i": n, "list": []any{s, b, nil, map[string]any{s: n}}}
		e := Track{UserID: s, AnonymousID: "a", Event: "e" + s, Properties: in}.event()
		enc := new(encoder)
		if err := enc.event(&e, noon, new(idClock), &platform{whole: []byte("{}")}); err != nil {
			if errors.Is(err, ErrTooLarge) {
				t.Skip()
			}
			t.Fatal(err)
		}
		if !utf8.Valid(enc.buf) || bytes.ContainsAny(enc.buf, "\n\r") {
			t.Fatalf("no line of UTF-8: %q", enc.buf)
		}
		if math.IsNaN(number) || math.IsInf(number, 0) {
			in[key+"n"] = nil
		}
		std, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var got, want struct{ Properties map[string]any }
		if err := json.Unmarshal(enc.buf, &got); err != nil {
			t.Fatalf("%q: %v", enc.buf, err)
		}
		if err := json.Unmarshal([]byte(`{"properties":`+string(std)+`}`), &want); err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(key) {
			return // two members may have become one
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %q; want %q", enc.buf, std)
		}
	})
}
