package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/millstream-data/millstream/internal/wire"
)

// record is a Kafka record as golden files and FORMAT.md show it: a line for
// each of key, headers and value. Bytes that are a JSON object stand there as
// they are, others as a JSON string; no bytes at all are null.
type record struct {
	key     []byte
	headers []wire.Header
	value   []byte
}

func (r record) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"key\": %s,\n\"headers\": [", shown(r.key))
	for i, h := range r.headers {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "[%q, %s]", h.Key, shown(h.Value))
	}
	fmt.Fprintf(&b, "],\n\"value\": %s\n}\n", shown(r.value))
	return b.Bytes()
}

func shown(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case bytes.HasPrefix(b, []byte("{")) && json.Valid(b):
		return string(b)
	}
	text, err := json.Marshal(string(b))
	if err != nil {
		panic("BUG: a string is always JSON: " + err.Error())
	}
	return string(text)
}

func parseRecord(tb testing.TB, text []byte) record {
	tb.Helper()
	var raw struct {
		Key     json.RawMessage
		Headers [][2]json.RawMessage
		Value   json.RawMessage
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	meant := func(b json.RawMessage) []byte {
		var s *string
		if len(b) > 0 && b[0] == '{' {
			return b
		}
		if err := json.Unmarshal(b, &s); err != nil {
			tb.Fatalf("%v in %s", err, b)
		}
		if s == nil {
			return nil
		}
		return []byte(*s)
	}
	out := record{key: meant(raw.Key), value: meant(raw.Value)}
	for _, h := range raw.Headers {
		out.headers = append(out.headers, wire.Header{Key: string(meant(h[0])), Value: meant(h[1])})
	}
	return out
}

func goldenFile(name string) string { return filepath.Join("testdata", "golden", name) }

// documented returns the worked examples of FORMAT.md by the name of their
// golden file.
func documented(tb testing.TB) map[string][]byte {
	tb.Helper()
	doc, err := os.ReadFile("FORMAT.md")
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string][]byte{}
	for _, m := range regexp.MustCompile("(?s)`([a-z0-9_]+\\.json)`:\n\n```json\n(.*?)```\n").FindAllSubmatch(doc, -1) {
		out[string(m[1])] = m[2]
	}
	return out
}
