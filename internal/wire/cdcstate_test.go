package wire_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/testkit/golden"
	"github.com/millstream-data/millstream/internal/wire"
)

const cdcStateFile = "testdata/cdcstate_v1.txt"

// cdcState is a state with every member set, a line a record: key, blank, value.
func cdcState(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	line := func(k wire.CDCKey, value []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		out.Write(k.Append(nil))
		out.WriteString(" ")
		out.Write(value)
		out.WriteString("\n")
	}
	const table, at, poll = "public.or%de/rs", "2026-11-21T06:15:02.113402Z", "01jd3x9k2m7q8r5t6v0w1y2z3a"
	b, err := wire.EncodeCDCRecord(wire.CDCSource{V: 1, System: "7710521025465389635", Timeline: "00000001", Server: "150018", Fence: 7, T0: at, Raw: at, Holder: "pid 10584, user app, worker", Owner: "host-1, pid 7"})
	line(wire.CDCKey{Part: wire.CDCPartSource}, b, err)
	b, err = wire.EncodeCDCRecord(wire.CDCTable{
		V: 1, Page: 4512, Relation: "7710521025465389635/16419", Rewrite: "16482", Loaded: true, CompleteThrough: at, Basis: "activity",
		Schema:  wire.CDCTableSchema{Version: 3, Fingerprint: "sha256:51d0e3aa90b1c2d3", Origin: "6a944094cd020c8e", Numbers: map[string]int{"id": 1}},
		Planned: &wire.CDCPlanned{For: "c1f07a55", Strategies: []wire.CDCPlannedStrategy{{Kind: "incremental", Timestamp: "updated_at", Every: "10s"}, {Kind: "full", Publish: "diff", Every: "24h0m0s"}}},
		Stopped: &wire.CDCStopped{Code: "no_key", Text: "public.orders has no key", Mend: "add a primary key", Since: at}, Paused: true,
	})
	line(wire.CDCKey{Part: wire.CDCPartTable, Table: table}, b, err)
	b, err = wire.EncodeCDCRecord(wire.CDCStrategy{
		V: 1, Meaning: "c1f07a55", H: at, Cursor: "18800", Pending: []wire.CDCPending{{Max: "18822", T0: at}}, Last: poll, Marked: at,
		Poll: &wire.CDCPoll{
			ID: poll, Phase: "stamp", H: at, T0: at, Cursor: "18822", Max: "18830", Basis: "activity", Lo: at, Keep: at, Until: at,
			After: []string{"2026-11-21 06:15:02.113402+00", "42"}, Rows: 1200, Pages: 2, Started: at,
		},
	})
	line(wire.CDCKey{Part: wire.CDCPartStrategy, Table: table, Strategy: "incremental"}, b, err)
	b, err = wire.EncodeCDCRecord(wire.CDCLoad{
		V: 1, Poll: poll, Kind: "load", Rows: 120000, Begun: true, Since: at, H: at, Basis: "activity",
		Ranges: []wire.CDCRange{{Hi: []string{"500000"}, Last: []string{"120000"}}}, Again: &wire.CDCAgain{T0: at, Must: true},
	})
	line(wire.CDCKey{Part: wire.CDCPartLoad, Table: table}, b, err)
	b, err = wire.EncodeCDCRecord(wire.CDCOverlap{V: 1, Set: []wire.CDCHash{{1, 2, 3}, {15: 255}}})
	line(wire.CDCKey{Part: wire.CDCPartOverlap, Table: table, Strategy: "incremental", Poll: poll, Number: 17}, b, err)
	b, err = wire.EncodeCDCRecord(wire.CDCOrder{V: 1, Order: wire.CDCReload, At: at, By: "ops@host-1"})
	line(wire.CDCKey{Part: wire.CDCPartOrder, Table: table}, b, err)
	return out.Bytes()
}

func TestCDCStateGolden(t *testing.T) {
	t.Parallel()
	golden.Equal(t, cdcStateFile, cdcState(t))
}

// The golden bytes decode and encode to themselves, and so do their keys.
func TestCDCStateDecodes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(cdcStateFile)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		k, err := wire.ParseCDCKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(k.Append(nil)); got != key {
			t.Errorf("key: got %s, want %s", got, key)
		}
		again, err := recode(k.Part, []byte(value))
		if diff := cmp.Diff(value, string(again)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", key, err, diff)
		}
	}
}

func recode(part string, value []byte) ([]byte, error) {
	switch part {
	case wire.CDCPartSource:
		return recodeAs[wire.CDCSource](value)
	case wire.CDCPartTable:
		return recodeAs[wire.CDCTable](value)
	case wire.CDCPartStrategy:
		return recodeAs[wire.CDCStrategy](value)
	case wire.CDCPartLoad:
		return recodeAs[wire.CDCLoad](value)
	case wire.CDCPartOrder:
		return recodeAs[wire.CDCOrder](value)
	}
	return recodeAs[wire.CDCOverlap](value)
}

func recodeAs[T wire.CDCRecord](value []byte) ([]byte, error) {
	v, err := wire.DecodeCDCRecord[T](value)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCDCRecord(v)
}

// Whatever a key or a value holds, decoding ends with an answer; what decodes
// encodes, and that decodes to the same.
func FuzzCDCState(f *testing.F) {
	f.Add("source", []byte(`{"v":1}`))
	f.Add("overlap/public.orders/incremental/p/1", []byte(`{"v":1,"set":"AQID"}`))
	f.Add("schema/a/2", []byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		k, err := wire.ParseCDCKey(key)
		if err != nil {
			return
		}
		if back, err := wire.ParseCDCKey(string(k.Append(nil))); err != nil || back != k {
			t.Errorf("key %q: got %+v and %v, want %+v", key, back, err, k)
		}
		once, err := recode(k.Part, value)
		if err != nil {
			return
		}
		if twice, err := recode(k.Part, once); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s: got %s and %v, want %s", key, twice, err, once)
		}
	})
}
