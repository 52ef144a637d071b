package batcher

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// An event is its columns, its _unmapped and what the rules leave out, and
// nothing else is in either: for random JSON, while columns are found, promoted,
// declared, dropped and run out.
func TestUnmappedIsLossless(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 8))
			tb := newTable(t, func(c *Config) {
				c.PromoteAfter, c.Limits.Columns = 5, 60
				c.Types = map[string]string{"app.x.a": "decimal(9,2)", "app.x.b_a": "date", "app.x.z": "int16", "app.x.q": "float32", "app.x.r": "bytes"}
				c.Columns.Drop = []string{"app.*.context_b", "app.x.y"}
			})
			for range 6 {
				var events []string
				for range 40 {
					events = append(events, randomEvent(rnd))
				}
				for i, r := range tb.rowsOf(events) {
					accountFor(t, tb, events[i], r)
				}
			}
		})
	}
}

// rowsOf carries events through a chunk and a file, and returns their rows.
func (tb *versions) rowsOf(events []string) []map[string]any {
	tb.t.Helper()
	p, cast := parsed{depth: 5}, caster{}
	for i, e := range events {
		if err := p.parse([]byte(e)); err != nil {
			tb.t.Fatalf("%s: %v", e, err)
		}
		tb.chunk.add(eventRow{id: "m", table: "x", receivedAt: time.Unix(1795241702, 0), offset: int64(i), whole: &wire.Rejected{}}, &p, &cast)
	}
	s := testSchema(tb.chunk)
	rows := fileRows(tb.t, s, tb.chunk.freeze(s, &cast).record)
	tb.schema = s.Columns
	tb.chunk = newChunk(&tb.shape, tb.rules, s.Columns, newValueCounts())
	return rows
}

func fileRows(t testing.TB, s lake.Schema, r parquetout.Record) []map[string]any {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	w, err := parquetout.Create(path, s.FileColumns(), parquetout.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(r); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return testkit.ParquetRows(t, b)
}

// value is a member of an event or of _unmapped, by its path.
type value struct{ path, raw string }

// accountFor finds every value of an event in its row, and every value of the
// row in the event.
func accountFor(t testing.TB, tb *versions, e string, r map[string]any) {
	t.Helper()
	unmapped := map[value]int{}
	if text, ok := r["_unmapped"].(string); ok {
		for _, m := range membersIn(t, text) { // whose names are paths
			unmapped[m]++
		}
	}
	byName := map[string][]lake.SchemaColumn{}
	for _, c := range tb.schema[len(tb.shape.fixed):] {
		name := strings.TrimSuffix(strings.TrimSuffix(c.Name, lake.SuffixFloat), lake.SuffixStr)
		byName[name] = append(byName[name], c)
	}
	explained := map[string]bool{}
	inColumn := func(v value) (found bool) {
		for _, c := range byName[columnName(tb.rules.names, v.path, tb.shape.fixed)] {
			if has := r[c.Name]; has != nil && !explained[c.Name] && holds(c.Type, has, v.raw) {
				explained[c.Name], found = true, true
			}
		}
		return found
	}
	var both []value // may be in a column in part
	for _, v := range eventValues(t, e) {
		if unmapped[v] > 0 {
			unmapped[v]--
			both = append(both, v)
		} else if !inColumn(v) {
			t.Errorf("%s of %s is neither in a column nor in _unmapped:\n%s\n%v", v.path, v.raw, e, r)
		}
	}
	for _, v := range both {
		inColumn(v)
	}
	for v, n := range unmapped {
		if n > 0 {
			t.Errorf("_unmapped has %s of %s, which the event has not:\n%s", v.path, v.raw, e)
		}
	}
	for _, c := range tb.schema[len(tb.shape.fixed):] {
		if r[c.Name] != nil && !explained[c.Name] {
			t.Errorf("column %s has %v, which the event has not:\n%s", c.Name, r[c.Name], e)
		}
	}
}

// eventValues are the values that should be in a row, read by encoding/json.
func eventValues(t testing.TB, e string) (out []value) {
	t.Helper()
	flat := map[string]bool{}
	for _, v := range valuesOf(t, "", e, 1) {
		root := strings.TrimPrefix(v.path, ".")
		switch root {
		case "type", "event", "writeKey", "integrations", "_metadata", "messageId", "receivedAt":
			continue
		case "context", "properties", "traits":
			if v.raw[0] == '{' && !flat[root] {
				flat[root] = true
				out = append(out, valuesOf(t, root, v.raw, 5)...)
				continue
			}
		}
		out = append(out, value{root, v.raw})
	}
	return out
}

// valuesOf are the values of an object down to depth levels, without nulls and
// empty objects. Of those at the top of an event even the empty ones count.
func valuesOf(t testing.TB, path, object string, depth int) (out []value) {
	t.Helper()
	for _, m := range membersIn(t, object) {
		at := path + "." + strings.NewReplacer(`\`, `\\`, `.`, `\.`).Replace(m.path)
		switch {
		case m.raw == "null":
		case depth > 1 && m.raw[0] == '{':
			out = append(out, valuesOf(t, at, m.raw, depth-1)...)
		case path != "" && m.raw[0] == '{' && strings.TrimSpace(m.raw[1:len(m.raw)-1]) == "":
		default:
			out = append(out, value{at, m.raw})
		}
	}
	return out
}

// membersIn are the members of an object, each one of a name that comes twice.
func membersIn(t testing.TB, object string) (out []value) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatalf("%s: %v", object, err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatalf("%s: %v", object, err)
		}
		out = append(out, value{key.(string), string(bytes.TrimSpace(raw))})
	}
	return out
}

// holds says whether a column's value tells all of what was sent.
func holds(typ wire.LakeType, has any, raw string) bool {
	sent := raw
	if raw[0] == '"' {
		if json.Unmarshal([]byte(raw), &sent) != nil {
			return false
		}
	}
	switch has := has.(type) {
	case time.Time:
		if typ == wire.Date {
			return has.Format(time.DateOnly) == sent
		}
		at, err := time.Parse(time.RFC3339Nano, sent)
		return err == nil && at.Truncate(time.Microsecond).Equal(has)
	case string:
		if _, _, decimal := typ.Decimal(); !decimal {
			return has == sent || typ == wire.JSON && has == raw
		}
	case []byte:
		return base64.StdEncoding.EncodeToString(has) == sent
	case bool:
		return strconv.FormatBool(has) == sent
	}
	f, err := strconv.ParseFloat(sent, 64) // floats have what is nearest; the rest is in _unmapped
	if isFloat := typ == wire.Float64 || typ == wire.Float32; isFloat {
		return err == nil && (has == f || has == float32(f))
	}
	a, ok1 := new(big.Rat).SetString(fmt.Sprint(has))
	b, ok2 := new(big.Rat).SetString(sent)
	return ok1 && ok2 && a.Cmp(b) == 0
}

var eventNames = []string{"a", "b", "A", "aB", "a_b", "a.b", `back\slash`, "z", "q", "r", "y", "id", "timestamp", "partition", "日本", "", "e\u0301", `q"`, "n\n", "group", "3D"}

func randomEvent(rnd *rand.Rand) string {
	members := []string{`"event":"X"`}
	for _, root := range []string{"context", "properties", "properties", "traits", "extra", "a.b", "writeKey"} {
		switch rnd.IntN(4) {
		case 0:
		case 1:
			members = append(members, quote(root)+":"+eventValue(rnd, 2))
		default:
			members = append(members, quote(root)+":"+eventObject(rnd, 7))
		}
	}
	rnd.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, " ,\n") + "}"
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func eventObject(rnd *rand.Rand, depth int) string {
	var members []string
	for range rnd.IntN(6) {
		members = append(members, quote(eventNames[rnd.IntN(len(eventNames))])+": "+eventValue(rnd, depth-1))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func eventValue(rnd *rand.Rand, depth int) string {
	plain := []string{
		"true", "false", "null", "0", "1", "-1", "32768", "9007199254740993", "9223372036854775807", "9223372036854775808", "1.0", "1e3", "1.5", "0.1", "1e400", "1e-400",
		"0.30000000000000004441", "16777217", `"true"`, `"12"`, `"007"`, `"1.25"`, `"2026-11-21T06:15:02.123456Z"`, `"2026-11-21T06:15:02.1234567Z"`, `"AQI="`,
		`"2026-11-21T06:15:02+02:00"`, `"2026-11-21"`, `"text"`, `""`, `"\u00e9\n\"quoted\" \/"`, `"日本"`, `"\ud83d\ude00"`, "[]", `[1, {"a":null}]`, `"0001-01-01T00:00:00Z"`,
	}
	if n := rnd.IntN(len(plain) + 8); n < len(plain) || depth <= 0 {
		return plain[n%len(plain)]
	}
	return eventObject(rnd, depth)
}

func FuzzDecodeEvent(f *testing.F) {
	for _, s := range []string{
		`{"properties":{"a":1}}`, `{"a":"\u0000\ud800"}`, `[]`, `{`, `{"properties":{"s":"` + strings.Repeat("x", 70_000) + `"}}`,
		`{"properties":` + strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat("}", 201), `{"properties":{"a":1e400,"b":9223372036854775808}}`,
		"{\"properties\":{\"\xff\":\"\xff\"}}", `{"properties":{"":{"":1}},"context":{"\\":"."}}`, `{"properties":{"a":1,"a":2},"properties":{"a":3}}`,
		"\ufeff{}", `{} x`, `{"properties":{"a":[` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `]}}`, `{"properties":{"a":1E-999999,"b":-0}}`,
		`{"userId":1,"userId":"b","timestamp":"soon","properties":"text"}`, randomEvent(rand.New(rand.NewPCG(1, 1))),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := parsed{depth: 5}
		if p.parse(raw) != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatal("took what is no JSON")
		}
		tb := newTable(t, func(c *Config) { c.PromoteAfter = 1 })
		for range 2 { // the second time into registered columns
			rows := tb.rowsOf([]string{string(raw), string(raw)})
			for _, r := range rows {
				for name, v := range r {
					if s, ok := v.(string); ok && (!utf8.ValidString(s) || strings.Contains(s, "\x00") || len(s) > maxText) {
						t.Fatalf("column %s has %q", name, s)
					}
				}
				u, has := r["_unmapped"].(string)
				if has && !json.Valid([]byte(u)) {
					t.Fatalf("_unmapped is %s", u)
				}
			}
		}
	})
}

// What tracks_other leaves out is in tracks, or whole in its column properties.
func TestTracksOtherIsLosslessBesideTracks(t *testing.T) {
	t.Parallel()
	const a, b, c = `"text"`, `{"a":1}`, `{"b":{"c":[2]}}`
	for _, order := range [][]string{{a, b, c}, {b, a, c}, {b, c, a}, {b}, {a}, {`{}`}, {`null`, b}} {
		e := `{"event":"X","extra":1,"context":{"ip":"10.0.0.1"},"traits":{"t":1}`
		for _, p := range order {
			e += `,"properties":` + p
		}
		tb := newTable(t, nil)
		tb.shape = newShapes().other
		tb.chunk = newChunk(&tb.shape, tb.rules, nil, newValueCounts())
		r := tb.rowsOf([]string{e + "}"})[0]
		found := map[string]bool{}
		for _, m := range membersIn(t, fmt.Sprint(r["_unmapped"])) {
			found[m.path+m.raw] = true
		}
		if has, ok := r[memberProperties].(string); ok {
			found[memberProperties+has] = true
		}
		for _, p := range order {
			if p != "null" && !found[memberProperties+p] {
				t.Errorf("%s: properties %s is nowhere in %v", e, p, r)
			}
		}
		if !found["extra1"] || !found["traits.t1"] || len(tb.schema) != len(tb.shape.fixed) {
			t.Errorf("%s: row %v", e, r)
		}
	}
}
