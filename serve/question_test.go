package serve

import (
	"encoding/json"
	"testing"
)

// FuzzQuestion: whatever a client sends as a view is refused or has a canonical form, which is its own canonical form
// and survives JSON, or resuming clients would ask for another view than they have.
func FuzzQuestion(f *testing.F) {
	for _, seed := range []string{
		`{"metric":"orders"}`, `{"metric":"orders","by":["plan","plan"],"where":{"plan":{"not":["a","a"]}},"range":"7d","grain":"day"}`,
		`{"metric":"orders","where":{"plan":"pro"},"range":"2026-03-01..2026-03-28","compare":"prev_week","limit":2}`,
		`{"metric":"orders","where":{"plan":{}}}`, `{"metric":"orders","where":{"plan":[]},"tz":"Local"}`, `{"metric":"orders","where":{"plan":null}}`,
		`{"range":"9999999999999999999d"}`, `{"range":"0001-01-01..9999-12-31"}`, `{"tz":"../../etc/passwd"}`,
	} {
		f.Add([]byte(seed))
	}
	m := subject{name: "orders", ver: 1, dims: []string{"country", "plan"}, zones: []string{"UTC"}, fine: true}
	f.Fuzz(func(t *testing.T, text []byte) {
		var q Question
		if json.Unmarshal(text, &q) != nil {
			return
		}
		c, err := q.canonical(m)
		if err != nil {
			return
		}
		var back Question
		if err := json.Unmarshal(mustJSON(c), &back); err != nil {
			t.Fatalf("%s: %v", mustJSON(c), err)
		}
		again, err := back.canonical(m)
		if err != nil || again.key() != c.key() {
			t.Errorf("%s became %s, %v", mustJSON(c), mustJSON(again), err)
		}
	})
}
