package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/testkit/golden"
)

// client is the five lines of the protocol: what a page does with frames.
type client struct {
	have    have
	keys    int
	rows    map[string][]*string
	meta    map[string]any
	resyncs int
}

type message struct {
	Op   string         `json:"op"`
	S    string         `json:"s"`
	ID   int64          `json:"id"`
	E    string         `json:"e"`
	P    uint64         `json:"p"`
	Q    uint64         `json:"q"`
	H    string         `json:"h"`
	Keys int            `json:"keys"`
	Cols []string       `json:"cols"`
	Rows [][]*string    `json:"rows"`
	Set  [][]*string    `json:"set"`
	Del  [][]*string    `json:"del"`
	Meta map[string]any `json:"meta"`
	View Question       `json:"view"`
	Code code           `json:"code"`
	WM   *int64         `json:"wm"`
	Lag  *int64         `json:"lag"`
	Src  string         `json:"src"`

	RetryMS []int64 `json:"retry_ms"`
}

func decodeFrame(t testing.TB, data []byte) message {
	t.Helper()
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatalf("frame %s: %v", data, err)
	}
	return m
}

func keyOf(cells []*string, keys int) string { return string(mustJSON(cells[:keys])) }

// take applies a frame and says whether it could.
func (c *client) take(m message) bool {
	switch m.Op {
	case "snap":
		c.keys, c.rows, c.meta = m.Keys, map[string][]*string{}, m.Meta
		for _, r := range m.Rows {
			c.rows[keyOf(r, m.Keys)] = r
		}
		c.have = have{m.E, m.Q, m.H}
	case "d":
		if m.P != c.have.Q {
			c.resyncs++
			return false
		}
		for _, r := range m.Set {
			c.rows[keyOf(r, c.keys)] = r
		}
		for _, k := range m.Del {
			delete(c.rows, keyOf(k, len(k)))
		}
		for name, v := range m.Meta {
			if c.meta[name] = v; v == nil {
				delete(c.meta, name)
			}
		}
		c.have.Q, c.have.H = m.Q, m.H
	case "ok":
		c.have = have{m.E, m.Q, m.H}
	}
	return true
}

// table is what a view should have brought its clients to.
func (c *client) differs(v *view) string {
	want := &client{}
	var m message
	if err := json.Unmarshal(v.encodeSnap(), &m); err != nil {
		return err.Error()
	}
	want.take(m)
	return cmp.Diff([]any{want.rows, want.meta, want.have.H}, []any{c.rows, c.meta, c.have.H})
}

// TestProtocolModel lets clients lose frames, come back with old, foreign and false states, and change nodes. After
// each frame the client's table is the server's.
func TestProtocolModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		if err := runProtocolModel(t, rng); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func runProtocolModel(t *testing.T, rng *rand.Rand) error {
	now := time.Unix(1_700_000_000, 0)
	q := Question{Metric: "m", By: []string{"k"}}
	truth := map[string]string{"DE": "1"}
	meta := map[string]any{"state": "open", "late": 0}
	nodes := []*view{newView(q, "k", "s1", "n1.1"), newView(q, "k", "s9", "n2.1")}
	compute := func(v *view) { v.take(answerOf(truth, meta), now) }
	for _, v := range nodes {
		compute(v)
	}
	type session struct {
		client client
		view   *view // of the node that it is connected to
		state  have  // what the server thinks of it
		resume bool
		past   []have
	}
	sessions := make([]*session, 4)
	for i := range sessions {
		sessions[i] = &session{view: nodes[0], resume: true}
	}
	send := func(s *session) error {
		f, _ := s.view.frame(s.state, s.resume)
		if f == nil {
			return nil
		}
		s.state, s.resume = have{E: f.e, Q: f.q}, false
		if !s.client.take(decodeFrame(t, f.data)) {
			return fmt.Errorf("%s does not fit client at %+v", f.data, s.client.have)
		}
		s.past = append(s.past, s.client.have)
		if d := s.client.differs(s.view); d != "" {
			return fmt.Errorf("after %s:\n%s", f.data, d)
		}
		return nil
	}
	for range 120 {
		s := sessions[rng.IntN(len(sessions))]
		switch rng.IntN(12) {
		case 0, 1, 2:
			mutate(rng, truth, meta)
		case 3, 4:
			compute(nodes[rng.IntN(2)])
		case 5: // cut: it comes back to any node with what it has
			s.view = nodes[rng.IntN(2)]
			s.state, s.resume = s.client.have, true
		case 6: // power cut: it comes back with nothing
			s.client = client{}
			s.state, s.resume = have{}, true
		case 7: // it lies about itself, but does not hold an etag that it never had
			if len(s.past) > 0 {
				s.client = client{}
				s.state, s.resume = have{E: "n7.1", Q: rng.Uint64N(20), H: "00"}, true
			}
		case 8:
			now = now.Add(time.Duration(rng.IntN(50)) * time.Second) // deletions are forgotten
		default:
			if err := send(s); err != nil {
				return err
			}
		}
	}
	for _, s := range sessions {
		compute(s.view)
		if err := send(s); err != nil {
			return err
		}
		if d := s.client.differs(s.view); d != "" {
			return fmt.Errorf("at rest:\n%s", d)
		}
	}
	compute(nodes[0])
	compute(nodes[1])
	if a, b := nodes[0].table.etagText(), nodes[1].table.etagText(); a != b {
		return fmt.Errorf("nodes with one content have etags %s and %s", a, b)
	}
	return nil
}

func mutate(rng *rand.Rand, truth map[string]string, meta map[string]any) {
	key := []string{"DE", "FR", "AT", "a\"b", ""}[rng.IntN(5)]
	switch rng.IntN(4) {
	case 0:
		delete(truth, key)
	case 1:
		meta["late"] = rng.IntN(3)
		if rng.IntN(2) == 0 {
			meta["compare"] = map[string]any{"at": "14:03"}
		} else {
			delete(meta, "compare")
		}
	default:
		truth[key] = fmt.Sprint(rng.IntN(5))
	}
}

func answerOf(truth map[string]string, meta map[string]any) answer {
	a := answer{keys: 1, cols: []string{"k", "value"}, meta: maps.Clone(meta)}
	for _, k := range slices.Sorted(maps.Keys(truth)) {
		v := new(truth[k])
		if *v == "0" {
			v = nil
		}
		a.rows = append(a.rows, []*string{new(k), v})
	}
	return a
}

// TestOtherColumnsAreAnotherEpoch: a delta could not say that the columns have changed.
func TestOtherColumnsAreAnotherEpoch(t *testing.T) {
	t.Parallel()
	v := newView(Question{Metric: "m"}, "k", "s1", "n1.1")
	v.take(answer{keys: 0, cols: []string{"value"}, rows: [][]*string{{new("1")}}}, time.Now())
	f, _ := v.frame(have{}, true)
	at := have{E: f.e, Q: f.q}
	v.take(answer{keys: 0, cols: []string{"value", "base"}, rows: [][]*string{{new("1"), nil}}}, time.Now())
	if f, _ = v.frame(at, false); f.kind != frameSnap || f.e == at.E {
		t.Errorf("got %s of epoch %s after %s; want a snap of another epoch", f.kind, f.e, at.E)
	}
}

// TestGoldenFrames pins the bytes of version 1; docs/api.md shows the same file.
func TestGoldenFrames(t *testing.T) {
	t.Parallel()
	now := time.Unix(1774785780, 0)
	q := Question{Metric: "revenue", Version: 3, By: []string{"country"}, Range: "today", Grain: "total", TZ: "Europe/Berlin", Compare: "prev_week", Order: "value_desc", Limit: 2}
	v := newView(q, q.key(), "s1", "n7.1")
	row := func(cells ...string) []*string {
		out := []*string{}
		for _, c := range cells {
			out = append(out, new(c))
		}
		return out
	}
	a := answer{keys: 1, cols: []string{"country", "value", "base"}, meta: map[string]any{"kind": "sum", "unit": "EUR", "late": 0}}
	a.rows = [][]*string{row("DE", "61203.40", "58110.00"), row("FR", "8121.15", "9004.30")}
	var got bytes.Buffer
	add := func(h have, resuming bool) have {
		f, _ := v.frame(h, resuming)
		got.Write(f.data)
		got.WriteByte('\n')
		return have{E: f.e, Q: f.q, H: v.table.etagText()}
	}
	v.take(a, now)
	first := add(have{}, true)
	a.rows = [][]*string{row("DE", "61240.90", "58110.00")}
	a.meta["late"] = 1
	v.take(a, now)
	second := add(first, false)
	add(have{E: "n2.1", Q: 5, H: second.H}, true)
	golden.Equal(t, filepath.Join("testdata", "protocol", "frames_v1.ndjson"), got.Bytes())
}
