//go:build cgo

package loader

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// origin is a database table and the topic on which cdc tells of it: rows by
// key, and per partition what no commit has taken yet. A key's partition is its
// remainder.
type origin struct {
	*kit
	target  string
	columns wire.Columns
	parts   int64
	rows    map[int64]int64
	logs    [][]published
	next    []int64
	page    int64
	polls   int
}

// published is a record of a topic: a change or a mark.
type published struct {
	row  row
	mark *event.Poll
	at   int64
}

var stockColumns = changeColumns(col("id", wire.Int64), col("v", wire.Int64))

func (k *kit) origin(parts int) *origin {
	o := &origin{kit: k, target: "shop_public.stock", columns: stockColumns, parts: int64(parts), rows: map[int64]int64{}, logs: make([][]published, parts), next: make([]int64, parts)}
	k.mirrorSchema(o.target, []string{"id"}, o.columns)
	return o
}

func (o *origin) say(part int64, r published) {
	r.at = o.next[part]
	o.next[part]++
	o.logs[part] = append(o.logs[part], r)
}

// tell publishes a row as it is now.
func (o *origin) tell(op string, key int64, poll string) {
	o.page++
	r := row{"id": key, "_op": op, "_poll": poll, "_pass": int64(1), "_page": o.page}
	if op != "d" {
		r["v"] = o.rows[key]
	}
	o.say(key%o.parts, published{row: r})
}

// put writes a row, and an incremental poll tells of it.
func (o *origin) put(key, v int64) {
	o.rows[key] = v
	o.tell("r", key, "fresh")
}

// remove deletes a row, of which no incremental poll tells.
func (o *origin) remove(key int64) { delete(o.rows, key) }

// mark tells of a poll in every partition.
func (o *origin) mark(p event.Poll) {
	p.V, p.Parts = 1, int(o.parts)
	for part := range o.parts {
		o.say(part, published{mark: &p})
	}
}

// refresh is a poll that is running.
type refresh struct {
	*origin
	poll  event.Poll
	pages []int64 // keys that it has yet to read
}

// begin starts a poll that reads the keys for which in says so.
func (o *origin) begin(kind event.PollKind, in func(v int64) bool) *refresh {
	o.polls++
	r := &refresh{origin: o, poll: event.Poll{Poll: fmt.Sprintf("01jd3x9k2m7q8r5t6v0w1y%04d", o.polls), Strategy: string(kind), Kind: kind, Publish: "replace", State: "started"}}
	o.mark(r.poll)
	for _, key := range slices.Sorted(maps.Keys(o.rows)) {
		if in(o.rows[key]) {
			r.pages = append(r.pages, key)
		}
	}
	return r
}

func all(int64) bool { return true }

// read publishes up to n rows that are still there.
func (r *refresh) read(n int) *refresh {
	for ; n > 0 && len(r.pages) > 0; n-- {
		key := r.pages[0]
		r.pages = r.pages[1:]
		if _, ok := r.rows[key]; ok {
			r.tell("r", key, r.poll.Poll)
			r.poll.Rows++
		}
	}
	return r
}

// end reads the rest and marks the poll completed.
func (r *refresh) end() {
	r.read(len(r.pages))
	r.poll.State = "completed"
	through := r.now.UTC().Format(time.RFC3339)
	r.poll.CompleteThrough, r.poll.DeletesThrough = &through, &through
	r.mark(r.poll)
}

// batch commits up to n records of a partition.
func (o *origin) batch(part int64, n int) {
	o.t.Helper()
	n = min(n, len(o.logs[part]))
	if n == 0 {
		return
	}
	tb := table{name: o.target, columns: o.columns}
	var marks [][]byte
	for _, r := range o.logs[part][:n] {
		if r.mark == nil {
			r.row["_offset"] = r.at
			tb.rows = append(tb.rows, r.row)
			continue
		}
		b, err := json.Marshal(lake.Mark{Offset: r.at, Target: o.target, Poll: *r.mark})
		if err != nil {
			o.t.Fatal(err)
		}
		marks = append(marks, b)
	}
	id := lake.ChainID{Topic: "millstream.changes.shop.public.stock", Partition: int32(part)} //nolint:gosec // a few
	var tables []table
	if len(tb.rows) > 0 {
		tables = []table{tb}
	}
	o.logs[part] = o.logs[part][n:]
	o.commitTo(id, marks, tables...)
}

// flush commits everything.
func (o *origin) flush() {
	o.t.Helper()
	for part := range o.parts {
		o.batch(part, len(o.logs[part]))
	}
}

// same wants the mirror to be what the origin is.
func (o *origin) same(when string) {
	o.t.Helper()
	o.has(when, o.rows)
}

func (o *origin) has(when string, rows map[int64]int64) {
	o.t.Helper()
	want := []string{}
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		want = append(want, fmt.Sprintf("%d|%d", key, rows[key]))
	}
	if diff := cmp.Diff(want, o.query("SELECT id, v FROM "+o.target+" ORDER BY 1")); diff != "" {
		o.t.Fatalf("%s (-origin +mirror):\n%s", when, diff)
	}
}

// state wants the polls to stand like this: strategy, state.
func (o *origin) state(want ...string) {
	o.t.Helper()
	got := o.query("SELECT DISTINCT strategy, state FROM millstream.polls ORDER BY 1, 2")
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		o.t.Fatalf("polls (-want +got):\n%s", diff)
	}
}

// tidy wants nothing of a refresh to be left over.
func (o *origin) tidy() {
	o.t.Helper()
	if got := o.query("SELECT table_schema, table_name FROM svv_tables WHERE table_name LIKE '%__refresh%' OR table_name LIKE '%__old%' OR table_schema = 'millstream_work'"); len(got) > 0 {
		o.t.Fatalf("left over: %v", got)
	}
	if got := o.query("SELECT target, reason, error FROM millstream.held"); len(got) > 0 {
		o.t.Fatalf("held: %v", got)
	}
}
