//go:build integration

package cdc

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// Each row of the table of types with its edge values, as topic and schema mark
// show them.
func TestMariaDBTypes(t *testing.T) {
	t.Parallel()
	cases := []struct{ typ, value, want, lake, adjusted string }{
		{"tinyint(1)", "1", "true", "bool", ""},
		{"bool", "0", "false", "bool", ""},
		{"tinyint", "-128", "-128", "int16", ""},
		{"tinyint unsigned", "255", "255", "int16", ""},
		{"smallint", "-32768", "-32768", "int16", ""},
		{"smallint unsigned", "65535", "65535", "int32", ""},
		{"mediumint", "-8388608", "-8388608", "int32", ""},
		{"mediumint unsigned", "16777215", "16777215", "int32", ""},
		{"int", "-2147483648", "-2147483648", "int32", ""},
		{"int unsigned", "4294967295", "4294967295", "int64", ""},
		{"int(6) zerofill", "42", "42", "int64", ""},
		{"bigint", "-9223372036854775808", "-9223372036854775808", "int64", ""},
		{"bigint unsigned", "18446744073709551615", `"18446744073709551615"`, "decimal(20,0)", ""},
		{"decimal(38,10)", "-9999999999999999999999999999.0000000001", `"-9999999999999999999999999999.0000000001"`, "decimal(38,10)", ""},
		{"decimal(10,2)", "0", `"0.00"`, "decimal(10,2)", ""},
		{"decimal(65,30)", "1e34", `"10000000000000000000000000000000000.000000000000000000000000000000"`, "string", ""},
		{"float", "1.1", "1.1", "float32", ""},
		{"float", "16777217", "1.6777216e+07", "float32", ""},
		{"float", "-3.402823466e38", "-3.4028235e+38", "float32", ""},
		{"double", "0.1", "0.1", "float64", ""},
		{"double", "1.7976931348623157e308", "1.7976931348623157e+308", "float64", ""},
		{"double", "5e-324", "5e-324", "float64", ""},
		{"real", "-1e-320", "-1e-320", "float64", ""},
		{"bit(1)", "b'1'", "true", "bool", ""},
		{"bit(12)", "b'101'", `"000000000101"`, "string", ""},
		{"bit(64)", "18446744073709551615", `"` + strings.Repeat("1", 64) + `"`, "string", ""},
		{"char(5)", "'ab  '", `"ab"`, "string", ""},
		{"varchar(10)", `'a"b\\\\c '`, `"a\"b\\\\c "`, "string", ""},
		{"varchar(10) character set latin1", "'Grüße'", `"Grüße"`, "string", ""},
		{"varchar(10)", "'a\\0b'", `"a�b"`, "string", "told"},
		{"tinytext", "''", `""`, "string", ""},
		{"text", "'🙂'", `"🙂"`, "string", ""},
		{"longtext", "repeat('x', 65535)", `"` + strings.Repeat("x", 65535) + `"`, "string", ""},
		{"longtext", "repeat('x', 65536)", "null", "string", "told"},
		{"binary(4)", "x'00ff'", `"AP8AAA=="`, "bytes", ""},
		{"varbinary(10)", "''", `""`, "bytes", ""},
		{"blob", "x'ff'", `"/w=="`, "bytes", ""},
		{"longblob", "repeat('x', 1000001)", "null", "bytes", "told"},
		{"date", "'2026-11-21'", "20778", "date", ""},
		{"date", "'0000-00-00'", "null", "date", `"0000-00-00"`},
		{"date", "'2026-02-31'", "null", "date", `"2026-02-31"`},
		{"date", "'2026-00-10'", "null", "date", `"2026-00-10"`},
		{"date", "'9999-12-31'", "2932896", "date", ""},
		{"datetime", "'2026-11-21 06:15:02'", "1795241702000000", "timestamp", ""},
		{"datetime(6)", "'1000-01-01 00:00:00.000001'", "-30610223999999999", "timestamp", ""},
		{"datetime(6)", "'9999-12-31 23:59:59.999999'", "253402300799999999", "timestamp", ""},
		{"datetime(3)", "'0000-00-00 00:00:00'", "null", "timestamp", `"0000-00-00 00:00:00.000"`},
		{"timestamp(6) null", "'2026-11-21 06:15:02.113402'", `"2026-11-21T06:15:02.113402Z"`, "timestamp", ""},
		{"timestamp null", "'2026-11-21 06:15:02'", `"2026-11-21T06:15:02Z"`, "timestamp", ""},
		{"timestamp null", "'0000-00-00 00:00:00'", "null", "timestamp", `"0000-00-00 00:00:00"`},
		{"time(6)", "'-838:59:59.999999'", `"-838:59:59.999999"`, "string", ""},
		{"time", "'24:00:00'", `"24:00:00"`, "string", ""},
		{"year", "0", "0", "int16", ""},
		{"year", "2155", "2155", "int16", ""},
		{"enum('a','b''c')", "'b''c'", `"b'c"`, "string", ""},
		{"enum('a')", "0", `""`, "string", ""},
		{"set('p','q')", "'q,p'", `"p,q"`, "string", ""},
		{"json", `'{"a": 1.10, "a": 2}'`, `"{\"a\": 1.10, \"a\": 2}"`, "json", ""},
		{"json", `'{"a":"\\u0000"}'`, `"{\"a\":\"\\ufffd\"}"`, "json", "told"},
		{"geometry", "ST_GeomFromText('POINT(1 2)', 4326)", `"E61000000101000000000000000000F03F0000000000000040"`, "string", ""},
		{"point", "POINT(0, 0)", `"00000000010100000000000000000000000000000000000000"`, "string", ""},
		{"uuid", "'51d0e3aa-90b1-c2d3-0000-000000000001'", `"51d0e3aa-90b1-c2d3-0000-000000000001"`, "string", ""},
		{"inet4", "'10.0.0.1'", `"10.0.0.1"`, "string", ""},
		{"inet6", "'2001:db8::1'", `"2001:db8::1"`, "string", ""},
		{"int as (6 * 7) persistent", "default", "42", "int32", ""},
	}
	ddl, values := "CREATE TABLE orders (id bigint PRIMARY KEY, note text, updated_at datetime(6) DEFAULT now(6)", ""
	for i, c := range cases {
		ddl += fmt.Sprintf(", c%d %s", i, c.typ)
		values += ", " + c.value
		if c.value != "default" {
			ddl += fmt.Sprintf(", n%d %s", i, c.typ)
			values += ", NULL"
		}
	}
	s := setupMaria(t, ddl+")")
	s.sql("SET sql_mode = 'ALLOW_INVALID_DATES'")
	s.sql("INSERT INTO orders VALUES (1, 'x', now(6)" + values + ")")
	s.run(nil)
	s.await(1, "x")
	after, adjusted, lake := s.lastChange()
	for i, c := range cases {
		name := fmt.Sprintf("c%d", i)
		told := string(adjusted[name])
		if c.adjusted == "told" && strings.Contains(told, "sha256") {
			told = "told"
		}
		if diff := cmp.Diff(decoded(t, []byte(c.want)), decoded(t, after[name])); diff != "" || lake[name] != c.lake || told != c.adjusted {
			t.Errorf("%s %.40s: got %.80s as %s adjusted %s, want %.80s as %s adjusted %s", c.typ, c.value, after[name], lake[name], told, c.want, c.lake, c.adjusted)
		}
		if n, has := after[fmt.Sprintf("n%d", i)]; has && string(n) != "null" {
			t.Errorf("%s NULL: got %s", c.typ, n)
		}
	}
}

// decoded is JSON with its numbers as they are written.
func decoded(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.80s: %v", text, err)
	}
	return v
}

// lastChange is the newest row that reached the topic, what was adjusted in it,
// and the lake types that were announced.
func (s *myShop) lastChange() (after, adjusted map[string]json.RawMessage, lake map[string]string) {
	s.Helper()
	got := s.changes()
	lake = map[string]string{}
	for i, h := range got.headers {
		var err error
		switch h.Kind {
		case wire.KindSchema:
			var mark event.TableSchema
			mark, err = wire.DecodeTableSchema(h.Body)
			for _, c := range mark.Columns {
				lake[c.Name] = c.Lake
			}
		case wire.KindChange:
			after, adjusted = nil, nil
			err = json.Unmarshal(got.changes[i].After, &after)
			if len(got.changes[i].Source.Adjusted) > 0 {
				err = errors.Join(err, json.Unmarshal(got.changes[i].Source.Adjusted, &adjusted))
			}
		default:
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	return after, adjusted, lake
}

// randomTypes are columns with random values, and what a form says of the
// server's own text.
var randomTypes = []struct {
	typ   string
	value func(r *rand.Rand) string
	want  func(text string) string
}{
	{"bigint", func(r *rand.Rand) string { return strconv.FormatInt(int64(r.Uint64()), 10) }, plainText}, //nolint:gosec // any bits
	{"bigint unsigned", func(r *rand.Rand) string { return strconv.FormatUint(r.Uint64(), 10) }, quotedText},
	{"decimal(38,12)", func(r *rand.Rand) string { return fmt.Sprintf("%d.%012d", r.Int64(), r.Int64N(1e12)) }, quotedText},
	{"double", randomDouble, func(text string) string { return floatText(text, 64) }},
	{"float", func(r *rand.Rand) string { return strconv.FormatFloat(float64(r.Float32()*1e6), 'e', -1, 32) }, func(text string) string { return floatText(text, 32) }},
	{"bit(33)", func(r *rand.Rand) string { return strconv.FormatUint(r.Uint64()>>31, 10) }, func(text string) string {
		n, _ := strconv.ParseUint(text, 10, 64)
		return fmt.Sprintf(`"%033b"`, n)
	}},
	{"varchar(40)", func(r *rand.Rand) string { return "'" + randomRunes(r) + "'" }, quotedText},
	{"varbinary(20)", func(r *rand.Rand) string { return fmt.Sprintf("x'%016x'", r.Uint64()) }, func(text string) string {
		return `"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"`
	}},
	{"date", func(r *rand.Rand) string { return "'" + randomMoment(r).Format(time.DateOnly) + "'" }, func(text string) string {
		t, _ := time.Parse(time.DateOnly, text)
		return strconv.FormatInt(floorDiv(t.Unix(), 86400), 10)
	}},
	{"datetime(6)", func(r *rand.Rand) string { return "'" + randomMoment(r).Format("2006-01-02 15:04:05.000000") + "'" }, func(text string) string {
		t, _ := time.Parse(time.DateTime, text)
		return strconv.FormatInt(t.UnixMicro(), 10)
	}},
	{"timestamp(3) null", func(r *rand.Rand) string {
		return fmt.Sprintf("from_unixtime(%d.%03d)", 1+r.IntN(1<<31-2), r.IntN(1000))
	}, func(text string) string {
		t, _ := time.Parse(time.DateTime, text)
		return `"` + t.Format("2006-01-02T15:04:05.999999Z") + `"`
	}},
	{"time(6)", func(r *rand.Rand) string {
		return fmt.Sprintf("'%d:%02d:%02d.%06d'", r.IntN(1677)-838, r.IntN(60), r.IntN(60), r.IntN(1e6))
	}, quotedText},
}

func plainText(text string) string  { return text }
func quotedText(text string) string { return string(appendString(nil, text)) }

func floatText(text string, bits int) string {
	f, err := strconv.ParseFloat(text, bits)
	if err != nil {
		return err.Error()
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}

func randomDouble(r *rand.Rand) string {
	for {
		if f := math.Float64frombits(r.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return strconv.FormatFloat(f, 'e', -1, 64)
		}
	}
}

func randomRunes(r *rand.Rand) string {
	const letters = "abcäöü€🙂 ÿ%_,"
	runes := []rune(letters)
	out := make([]rune, 1+r.IntN(20))
	for i := range out {
		out[i] = runes[r.IntN(len(runes))]
	}
	return string(append(out, 'x')) // blanks at the end would be another test
}

func randomMoment(r *rand.Rand) time.Time {
	return time.Date(1000, 1, 1, 0, 0, 0, r.IntN(1e6)*1000, time.UTC).Add(time.Duration(r.IntN(80_000))*24*time.Hour).AddDate(r.IntN(8700), 0, 0)
}

// Random values against the server's own text.
func TestMariaDBRandomValues(t *testing.T) {
	t.Parallel()
	const rows = 150
	ddl := "CREATE TABLE orders (id bigint PRIMARY KEY, note text, updated_at datetime(6) DEFAULT now(6)"
	texts := "id"
	for i, c := range randomTypes {
		ddl += fmt.Sprintf(", c%d %s", i, c.typ)
		switch {
		case strings.HasPrefix(c.typ, "bit"), c.typ == "float":
			texts += fmt.Sprintf(", CAST(c%d * 1e0 AS CHAR)", i)
		case strings.HasPrefix(c.typ, "varbinary"):
			texts += fmt.Sprintf(", c%d", i)
		default:
			texts += fmt.Sprintf(", CAST(c%d AS CHAR)", i)
		}
	}
	s := setupMaria(t, ddl+") CHARACTER SET utf8mb4")
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1)) //nolint:gosec // any seed
	for id := range rows {
		insert := fmt.Sprintf("INSERT INTO orders VALUES (%d, 'x', now(6)", id)
		for _, c := range randomTypes {
			insert += ", " + c.value(r)
		}
		s.sql(insert + ")")
	}
	s.run(nil)
	testkit.Eventually(t, "all rows arrive", func() error {
		if n := len(s.changes().mirror()); n != rows {
			return fmt.Errorf("%d of %d rows", n, rows)
		}
		return nil
	})
	mirror := s.changes().mirror()
	q, err := s.conn.QueryContext(t.Context(), "SELECT "+texts+" FROM orders")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	for q.Next() {
		raw := make([]sql.RawBytes, len(randomTypes)+1)
		into := make([]any, len(raw))
		for i := range raw {
			into[i] = &raw[i]
		}
		if err := q.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var after map[string]json.RawMessage
		if err := json.Unmarshal([]byte(mirror[`{"id":`+string(raw[0])+`}`]), &after); err != nil {
			t.Fatal(err)
		}
		for i, c := range randomTypes {
			if got, want := string(after[fmt.Sprintf("c%d", i)]), c.want(string(raw[i+1])); got != want {
				t.Errorf("%s of row %s: got %s, want %s (the server's text is %q)", c.typ, raw[0], got, want, raw[i+1])
			}
		}
	}
	if err := q.Err(); err != nil {
		t.Fatal(err)
	}
}
