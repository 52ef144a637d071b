package batcher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// fate is what the rules alone say of a record of the topic of events, told as
// plainly as can be from the log.
type fate struct {
	rec         *kgo.Record
	what        string // row, duplicate or rejected
	source, day string // where it is counted
	head        wire.EventHeader
}

// log reads what a topic has, without control records and what was aborted.
func (w *world) log(topic string) (recs map[int32][]*kgo.Record, about kafka.Log) {
	w.t.Helper()
	about, err := kafka.DescribeLog(w.t.Context(), w.client, topic, true)
	if err != nil {
		w.t.Fatal(err)
	}
	left := map[int32]int64{}
	for p, end := range about.End {
		if end > about.Start[p] {
			left[p] = end
		}
	}
	recs = map[int32][]*kgo.Record{}
	cl := testkit.KafkaClient(w.t, w.kafka, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for len(left) > 0 {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				recs[r.Partition] = append(recs[r.Partition], r)
			}
		})
		if err := ctx.Err(); err != nil {
			w.t.Fatalf("read %s: %v to come: %v", topic, left, err)
		}
	}
	return recs, about
}

// fates applies the rules to a partition of the topic of events.
func fates(recs []*kgo.Record, cfg dedup.Config) []fate {
	type seen struct{ offset, clock int64 }
	type identity struct{ source, id string }
	names, newest, clock := lake.NewNamer(), map[identity]seen{}, int64(0)
	out := make([]fate, 0, len(recs))
	for _, r := range recs {
		clock = max(clock, r.Timestamp.UnixMilli())
		h, err := wire.ParseEventHeaders(r.Headers)
		if err != nil {
			source, _ := wire.Find(r.Headers, wire.HeaderSource)
			if len(source) == 0 {
				source = []byte("unknown")
			}
			out = append(out, fate{r, "rejected", names.Origin(string(source)), r.Timestamp.UTC().Format(time.DateOnly), h})
			continue
		}
		f := fate{r, "row", names.Origin(h.Source), h.ReceivedAt.Format(time.DateOnly), h}
		k := identity{h.Source, h.MessageID}
		before, known := newest[k]
		newest[k] = seen{r.Offset, clock}
		switch {
		case known && r.Offset-before.offset <= cfg.MaxRecords && clock-before.clock <= cfg.Window.Milliseconds():
			f.what = "duplicate"
		case !json.Valid(bytes.ToValidUTF8(r.Value, []byte("?"))) || bytes.TrimSpace(r.Value)[0] != '{' || h.Type == event.Track && h.Event == "":
			f.what = "rejected"
		}
		out = append(out, f)
	}
	return out
}

// sound checks every chain as an operator would, and then that each offset which
// it has claimed became what the rules say, in the accounts and value for value
// in the rows.
func (w *world) sound() {
	w.t.Helper()
	w.verified()
	ids, err := w.lake.Chains(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	o := oracle{w: w, letters: map[string]bool{}, schemas: map[string]lake.Schema{}}
	chains := map[lake.ChainID][]lake.Commit{}
	for _, id := range ids {
		if chains[id], err = w.chain(id.Topic, id.Partition); err != nil {
			w.t.Fatal(err)
		}
	}
	letters, _ := w.log(w.names.Rejected()) // read after the commits that count them
	for _, recs := range letters {
		for _, r := range recs {
			l := wire.ParseRejected(r.Headers, r.Value)
			o.letters[l.ID] = o.letters[l.ID] || l.Code != event.CodeValueTooLarge
		}
	}
	logs := map[string]map[int32][]*kgo.Record{}
	for _, id := range ids {
		if logs[id.Topic] == nil {
			logs[id.Topic], _ = w.log(id.Topic)
		}
		o.chain(id, chains[id], logs[id.Topic][id.Partition])
	}
}

// oracle compares chains with logs.
type oracle struct {
	w       *world
	letters map[string]bool // by id: false for a mere copy of what was too large
	schemas map[string]lake.Schema
}

// placed is a row with the table that it was found in.
type placed struct {
	table string
	row   map[string]any
}

func (o *oracle) chain(id lake.ChainID, commits []lake.Commit, log []*kgo.Record) {
	t := o.w.t
	t.Helper()
	rows := map[int64][]placed{}
	for _, c := range commits {
		o.files(id, c, rows)
	}
	if id.Topic != o.w.names.Events() {
		o.changes(id, commits, log, rows)
		return
	}
	told := fates(log, o.w.dedup)
	for _, c := range commits {
		if c.Kind == lake.KindLoss || len(log) == 0 || c.First < log[0].Offset {
			continue // the log no longer has it
		}
		o.accounts(id, c, told)
	}
	next := commits[len(commits)-1].Next
	for _, f := range told {
		if f.rec.Offset >= next || f.rec.Offset < commits[0].First {
			continue
		}
		if rejected := o.letters[recordID(id, f.rec.Offset)]; rejected != (f.what == "rejected") {
			t.Errorf("%s/%d is a %s, dead letter: %v", id, f.rec.Offset, f.what, rejected)
		}
		o.event(id, f, rows[f.rec.Offset])
		delete(rows, f.rec.Offset)
	}
	for offset := range rows {
		if len(log) > 0 && offset >= log[0].Offset {
			t.Errorf("%s/%d has rows and is no record", id, offset)
		}
	}
}

func recordID(id lake.ChainID, offset int64) string { return fmt.Sprintf("%s/%d", id, offset) }

// files reads what a commit names.
func (o *oracle) files(id lake.ChainID, c lake.Commit, rows map[int64][]placed) {
	t := o.w.t
	t.Helper()
	for _, f := range c.Files {
		b, err := o.w.lake.Store.Get(t.Context(), f.Key)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(b)) != f.Bytes || objstore.SumSHA256(b) != f.SHA256 {
			t.Errorf("%s is not what the commit says: %d bytes of %d", f.Key, len(b), f.Bytes)
		}
		before := f.First - 1
		found := testkit.ParquetRows(t, b)
		for _, r := range found {
			offset := r["_offset"].(int64)
			if r["_partition"] != int64(id.Partition) || offset <= before || offset >= f.Next {
				t.Errorf("%s has the row %v/%d after %d", f.Key, r["_partition"], offset, before)
			}
			before = offset
			rows[offset] = append(rows[offset], placed{f.Table, r})
		}
		if int64(len(found)) != f.Rows || before != f.Next-1 {
			t.Errorf("%s has %d rows of %d, the last at %d of %d", f.Key, len(found), f.Rows, before, f.Next-1)
		}
	}
}

// accounts compares a commit's accounts with the records of its range.
func (o *oracle) accounts(id lake.ChainID, c lake.Commit, told []fate) {
	o.w.t.Helper()
	type cell struct{ source, day string }
	want, records := map[cell]lake.Accounting{}, int64(0)
	for _, f := range told {
		if f.rec.Offset < c.First || f.rec.Offset >= c.Next {
			continue
		}
		records++
		k := cell{f.source, f.day}
		a := want[k]
		a.Source, a.DT, a.Records = f.source, f.day, a.Records+1
		switch f.what {
		case "row":
			a.Primary++
		case "duplicate":
			a.Duplicates++
		case "rejected":
			a.Rejected++
		}
		want[k] = a
	}
	got := map[cell]lake.Accounting{}
	for _, a := range c.Accounting {
		got[cell{a.Source, a.DT}] = a
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(cell{})); diff != "" {
		o.w.t.Errorf("%s/%d accounts (-want +got):\n%s", id, c.First, diff)
	}
	if c.Holes != c.Next-c.First-records {
		o.w.t.Errorf("%s/%d has %d holes among %d offsets with %d records", id, c.First, c.Holes, c.Next-c.First, records)
	}
}

// event compares an event with its rows.
func (o *oracle) event(id lake.ChainID, f fate, rows []placed) {
	t := o.w.t
	t.Helper()
	at := recordID(id, f.rec.Offset)
	names := lake.NewNamer()
	want := []string{}
	if f.what == "row" {
		want = append(want, f.source+"."+primaryTable(f.head.Type))
		if f.head.Type == event.Track {
			want = append(want, f.source+"."+names.EventTable(f.head.Event))
			if other := f.source + "." + lake.TableTracksOther; o.w.flooded && slices.ContainsFunc(rows, func(r placed) bool { return r.table == other }) {
				want[1] = other
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b placed) int { return slices.Index(want, a.table) - slices.Index(want, b.table) })
	var have []string
	for _, r := range rows {
		have = append(have, r.table)
		if r.row["id"] != f.head.MessageID || r.row["received_at"] != f.head.ReceivedAt {
			t.Errorf("%s: id %v, received %v; want %s, %s", at, r.row["id"], r.row["received_at"], f.head.MessageID, f.head.ReceivedAt)
		}
	}
	if !slices.Equal(want, have) && len(want)+len(have) > 0 {
		t.Errorf("%s is a %s with rows in %v, want %v", at, f.what, have, want)
		return
	}
	if len(rows) == 0 {
		return
	}
	var value map[string]json.RawMessage
	if err := json.Unmarshal(f.rec.Value, &value); err != nil {
		t.Fatal(err)
	}
	r := rows[len(rows)-1] // of a track call the table of its event, which has all
	for _, root := range []string{"properties", "traits", "context"} {
		leaves := map[string]json.RawMessage{}
		flatten(leaves, root, value[root], 0)
		of := r
		if other := strings.HasSuffix(r.table, "."+lake.TableTracksOther); other && root == "context" {
			of = rows[0] // tracks alone has it
		} else if other && root == "properties" {
			if r.row[root] != string(value[root]) {
				t.Errorf("%s: properties %v, want %s", at, r.row[root], value[root])
			}
			continue
		}
		for path, raw := range leaves {
			if problem := o.lost(of, path, raw); problem != "" {
				t.Errorf("%s: %s", at, problem)
			}
		}
	}
}

func primaryTable(typ event.Type) string {
	return map[event.Type]string{
		event.Track: lake.TableTracks, event.Identify: lake.TableIdentifies, event.Page: lake.TablePages,
		event.Screen: lake.TableScreens, event.Group: lake.TableGroups, event.Alias: lake.TableAliases,
	}[typ]
}

// flatten finds the values of an object that should be in columns: those of
// objects down to limits.flatten_depth, and without null.
func flatten(leaves map[string]json.RawMessage, path string, raw json.RawMessage, depth int) {
	raw = bytes.TrimSpace(raw)
	var members map[string]json.RawMessage
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	if depth >= 5 || raw[0] != '{' || json.Unmarshal(raw, &members) != nil {
		leaves[path] = raw
		return
	}
	for name, v := range members {
		flatten(leaves, path+"."+strings.ReplaceAll(name, ".", `\.`), v, depth+1)
	}
}

// lost says how a value cannot be told from its row: it is in a column that is
// registered for its path, or in _unmapped as it was sent.
func (o *oracle) lost(r placed, path string, raw json.RawMessage) string {
	o.w.t.Helper()
	if len(raw) > 60_000 || bytes.Contains(raw, []byte(`\u0000`)) || bytes.Contains(raw, []byte(`\ud`)) || !bytes.Equal(raw, bytes.ToValidUTF8(raw, nil)) {
		return "" // no column can have it as it is; TestPoisonRecords says what becomes of such
	}
	s, known := o.schemas[r.table]
	if !known {
		var err error
		if s, err = o.w.lake.LatestSchema(o.w.t.Context(), r.table); err != nil {
			o.w.t.Fatal(err)
		}
		o.schemas[r.table] = s
	}
	return lost(s, r.row, path, raw)
}

func lost(s lake.Schema, r map[string]any, path string, raw json.RawMessage) string {
	unmapped := map[string]json.RawMessage{}
	if text, ok := r["_unmapped"].(string); ok {
		if err := json.Unmarshal([]byte(text), &unmapped); err != nil {
			return fmt.Sprintf("_unmapped: %v: %s", err, text)
		}
	}
	if left, ok := unmapped[path]; ok {
		if string(left) == string(raw) {
			return ""
		}
		return fmt.Sprintf("%s: _unmapped has %s of %s", path, left, raw)
	}
	tried := []string{}
	for _, c := range s.Columns {
		if c.Path != path || r[c.Name] == nil {
			continue
		}
		got := asJSON(c.Type, r[c.Name])
		if sameJSON(got, string(raw)) {
			return ""
		}
		tried = append(tried, fmt.Sprintf("the %s column %s has %s", c.Type, c.Name, got))
	}
	return fmt.Sprintf("%s: %s is nowhere in the row: %v; _unmapped: %v", path, raw, tried, slices.Collect(maps.Keys(unmapped)))
}

func asJSON(typ wire.LakeType, v any) string {
	switch v := v.(type) {
	case string:
		if typ == wire.JSON {
			return v
		}
		b, _ := json.Marshal(v)
		return string(b)
	case time.Time:
		return `"` + v.Format(time.RFC3339Nano) + `"`
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// sameJSON compares a column's value with what was sent: a number or boolean may
// have become its text, or the other way round, and a time its UTC form.
func sameJSON(got, sent string) bool {
	bare := func(s string) string {
		var text string
		if json.Unmarshal([]byte(s), &text) == nil {
			s = text
		}
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t.UTC().String()
		}
		if r, ok := new(big.Rat).SetString(s); ok && len(s) < 40 && s != "1e400" {
			return r.String()
		}
		return s
	}
	if bare(got) == bare(sent) {
		return true
	}
	f, err := strconv.ParseFloat(got, 64) // the shortest text of a double may have fewer digits than its exact value
	return err == nil && new(big.Rat).SetFloat64(f).String() == bare(sent)
}

// changes compares a topic of changes: what is no mark has a row or a dead
// letter, and never both.
func (o *oracle) changes(id lake.ChainID, commits []lake.Commit, log []*kgo.Record, rows map[int64][]placed) {
	t := o.w.t
	t.Helper()
	for _, c := range commits {
		var want totals
		for _, r := range log {
			if r.Offset < c.First || r.Offset >= c.Next {
				continue
			}
			want.records++
			kind, _ := wire.Find(r.Headers, wire.HeaderKind)
			row, rejected := len(rows[r.Offset]), o.letters[recordID(id, r.Offset)]
			switch {
			case row > 1 || row == 1 && rejected:
				t.Errorf("%s/%d has %d rows, dead letter: %v", id, r.Offset, row, rejected)
			case row == 1:
				want.primary, want.rows = want.primary+1, want.rows+1
			case rejected:
				want.rejected++
			case string(kind) != string(wire.KindChange) || len(r.Value) == 0:
				want.marks++
			default:
				t.Errorf("%s/%d is nowhere: %s", id, r.Offset, r.Value)
			}
		}
		want.holes = c.Next - c.First - want.records
		got := sum([]lake.Commit{c})
		got.rows = want.rows // counts the tables of events
		if got != want {
			t.Errorf("%s/%d accounts %+v, want %+v", id, c.First, got, want)
		}
	}
}

// oddValue is a JSON value that some type of column does not take as it is.
func oddValue(rnd *rand.Rand) string {
	values := []string{
		"true", "false", "0", "1", "-1", "9007199254740993", "9223372036854775807", "9223372036854775808", "1.0", "1e3", "1.5", "0.1", "1e400",
		"0.30000000000000004441", "-0", `"true"`, `"12"`, `"007"`, `"1.25"`, `"2026-11-21T06:15:02.123456Z"`, `"2026-11-21T06:15:02.1234567Z"`,
		`"2026-11-21T06:15:02+02:00"`, `"2026-11-21"`, `"text"`, `""`, `"\u00e9\n\"quoted\""`, `"日本"`, "[]", `[1,"a",null]`, `{"deep":{"er":1}}`, `"0001-01-01T00:00:00Z"`,
	}
	return values[rnd.IntN(len(values))]
}
