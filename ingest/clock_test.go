package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

// stampOne runs one event through scanner, decider and stamper, as the only one of a batch with the members rest.
func stampOne(t testing.TB, ev, rest string, change ...func(*stamper)) (string, facts) {
	t.Helper()
	body := []byte(`{"batch":[` + ev + `]` + rest + `}`)
	var idx index
	sc := scanner{b: body, idx: &idx, maxDepth: event.MaxDepth, maxEvents: 10}
	if !sc.whole() || len(idx.events) != 1 {
		t.Fatalf("%s: %v at %d", body, sc.problem, sc.at)
	}
	st := testStamper(body, &idx)
	for _, f := range change {
		f(st)
	}
	f, v := decide(body, &idx, &idx.events[0], "", testLimits, st.arena)
	if v.code != "" {
		t.Fatalf("%s: %s %s", body, v.code, v.message)
	}
	return string(st.stamp(&idx.events[0], &f, 0)), f
}

func TestH07Time(t *testing.T) {
	t.Parallel()
	day := func(s string) string {
		if s == "" || strings.HasPrefix(s, "20") || strings.HasPrefix(s, "19") {
			return s
		}
		return "2026-03-01T" + s
	}
	for _, c := range []struct{ timestamp, own, sent, received, want, flag string }{
		{`"10:00:00Z"`, ``, "10:05:00Z", "10:02:00.000Z", "09:57:00.000Z", ""},
		{`"10:00:00Z"`, ``, "10:00:01Z", "10:00:01.200Z", "10:00:00.200Z", ""},
		{`"12:00:00+02:00"`, ``, "10:00:01Z", "10:00:01.200Z", "10:00:00.200Z", ""},
		{`"10:00:00.123456789Z"`, ``, "", "10:00:03.000Z", "10:00:00.123456Z", ""},
		{``, ``, "10:00:01Z", "10:00:01.200Z", "10:00:01.200Z", ""},
		{`"10:00:00Z"`, `10:05:00Z`, "10:09:00Z", "10:02:00.000Z", "09:57:00.000Z", ""},
		{`"2026-03-03T10:00:00Z"`, ``, "2026-03-03T10:00:01Z", "10:00:01.200Z", "10:00:00.200Z", ""},
		{`"2030-01-01T00:00:00Z"`, ``, "", "10:00:00.000Z", "10:00:00.000Z", "clock_skew"},
		{`"10:00:00Z"`, ``, "1970-01-01T00:00:00Z", "10:00:01.000Z", "10:00:01.000Z", "clock_skew"},
		{`"yesterday"`, ``, "10:00:01Z", "10:00:01.200Z", "10:00:01.200Z", "bad_timestamp"},
		{`1772359200000`, ``, "", "10:00:01.000Z", "10:00:00.000Z", ""},
		{`1772359200`, ``, "", "10:00:01.000Z", "10:00:00.000Z", ""},
		{`"1772359200"`, ``, "", "10:00:01.000Z", "10:00:00.000Z", ""},
		{`"1999-12-31T23:59:59Z"`, ``, "", "10:00:01.000Z", "10:00:01.000Z", "clock_skew"},
		{`{"no":"time"}`, ``, "", "10:00:01.000Z", "10:00:01.000Z", "bad_timestamp"},
		{`null`, ``, "", "10:00:01.000Z", "10:00:01.000Z", ""},
		{`"10:00:00Z"`, ``, "never", "10:00:01.000Z", "10:00:00.000Z", ""},
	} {
		ev, original := `{"type":"page","userId":"u"`, `"`+day(c.received)+`"`
		if c.timestamp != "" && c.timestamp != "null" {
			original = c.timestamp
			if strings.HasSuffix(original, `Z"`) || strings.HasSuffix(original, `+02:00"`) {
				original = `"` + day(strings.Trim(original, `"`)) + `"`
			}
			ev += `,"timestamp":` + original
		} else if c.timestamp == "null" {
			ev += `,"timestamp":null`
		}
		if c.own != "" {
			ev += `,"sentAt":"` + day(c.own) + `"`
		}
		rest := ""
		if c.sent != "" {
			rest = `,"sentAt":"` + day(c.sent) + `"`
			if c.sent == "never" {
				rest = `,"sentAt":"never"`
			}
		}
		received, err := time.Parse(time.RFC3339, day(c.received))
		if err != nil {
			t.Fatal(err)
		}
		value, f := stampOne(t, ev+"}", rest, func(s *stamper) { s.received = received })
		want := `{"receivedAt":"` + day(c.received) + `","timestamp":"` + day(c.want) + `","originalTimestamp":` + original + `,`
		if !strings.HasPrefix(value, want) {
			t.Errorf("%s sent %s\n got %s\nwant %s…", ev, c.sent, value, want)
		}
		flag := ""
		if f.flags != 0 {
			flag = f.flags.name()
		}
		if flag != c.flag {
			t.Errorf("%s sent %s: flag %q, want %q", ev, c.sent, flag, c.flag)
		}
	}
}

func TestImportAndUncorrectedSourcesKeepTheOriginal(t *testing.T) {
	t.Parallel()
	const sent = `,"sentAt":"2026-03-01T10:05:00Z"`
	received := time.Date(2026, 3, 1, 10, 2, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*stamper)
		in     string
		want   string
	}{
		"import":               {func(s *stamper) { s.importing = true }, "2026-03-01T10:00:00Z", "2026-03-01T10:00:00.000Z"},
		"import of history":    {func(s *stamper) { s.importing = true }, "1987-03-01T10:00:00Z", "1987-03-01T10:00:00.000Z"},
		"skew_correction off":  {func(s *stamper) { s.skew = false }, "2026-03-01T10:00:00Z", "2026-03-01T10:00:00.000Z"},
		"off, but still clamp": {func(s *stamper) { s.skew = false }, "1987-03-01T10:00:00Z", "2026-03-01T10:02:00.000Z"},
	} {
		value, _ := stampOne(t, `{"type":"page","userId":"u","timestamp":"`+c.in+`"}`, sent, func(s *stamper) { s.received = received }, c.change)
		if !strings.Contains(value, `"timestamp":"`+c.want+`"`) {
			t.Errorf("%s: %s", name, value)
		}
	}
}

func TestOriginalTimestampStandsInForTimestamp(t *testing.T) {
	t.Parallel()
	value, _ := stampOne(t, `{"type":"page","userId":"u","originalTimestamp":"2026-03-01T10:00:00Z"}`, ``)
	if !strings.Contains(value, `"timestamp":"2026-03-01T10:00:00.000Z","originalTimestamp":"2026-03-01T10:00:00Z"`) {
		t.Error(value)
	}
	value, _ = stampOne(t, `{"type":"page","userId":"u","originalTimestamp":"2001-01-01","timestamp":"2026-03-01T10:00:00Z"}`, ``)
	if strings.Contains(value, "2001") || strings.Count(value, "originalTimestamp") != 1 {
		t.Error(value)
	}
}

func TestTimesAreReadInEveryUsualForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"2026-03-01T10:00:00Z"`:            "2026-03-01T10:00:00Z",
		`"2026-03-01t10:00:00z"`:            "2026-03-01T10:00:00Z",
		`"2026-03-01 10:00:00"`:             "2026-03-01T10:00:00Z",
		`"2026-03-01"`:                      "2026-03-01T00:00:00Z",
		`"2026-03-01T10:00:00+0530"`:        "2026-03-01T04:30:00Z",
		`"2026-03-01T10:00:00-05:30"`:       "2026-03-01T15:30:00Z",
		`"2026-03-01T10:00:00.1Z"`:          "2026-03-01T10:00:00.1Z",
		`"2026-03-01T10:00:00.1234567891Z"`: "2026-03-01T10:00:00.123456789Z",
		`"2024-02-29"`:                      "2024-02-29T00:00:00Z",
		`"2026\u002d03-01"`:                 "2026-03-01T00:00:00Z",
		`"2016-12-31T23:59:60Z"`:            "2017-01-01T00:00:00Z",
		`1772359200.25`:                     "2026-03-01T10:00:00.25Z",
		`1772359200250`:                     "2026-03-01T10:00:00.25Z",
		`1.7723592e9`:                       "2026-03-01T10:00:00Z",
		`-1`:                                "1969-12-31T23:59:59Z",
		`"2025-02-29"`:                      "", `"2026-13-01"`: "", `"2026-00-01"`: "", `"2026-01-32"`: "", `"2026-3-1"`: "",
		`"2026-03-01T24:00:00Z"`: "", `"2026-03-01T10:00Z"`: "", `"2026-03-01T10:00:00."`: "", `"2026-03-01T10:00:00+5"`: "",
		`"2026-03-01T10:00:00+05:3"`: "", `"2026-03-01T10:00:00Zx"`: "", `"2026-03-01x"`: "", `""`: "", `true`: "", `[]`: "", `"1e9"`: "",
		`99999999999999999`: "", `1e300`: "", `"20260301"`: "1970-08-23T11:51:41Z",
	} {
		got, ok := parseTime([]byte(in))
		text := ""
		if ok {
			text = got.Format(time.RFC3339Nano)
		}
		if text != want {
			t.Errorf("%s: %q, want %q", in, text, want)
		}
	}
}
