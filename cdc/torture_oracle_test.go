package cdc

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// tortureTopic is a source's topic as its mirror takes it, record by record.
type tortureTopic struct {
	ids      []int64 // 0 for what is no change
	counters []int64 // -1 for a delete
	marks    []event.Poll
}

func (w *torture) read(source string) tortureTopic {
	w.Helper()
	var out tortureTopic
	schema, table, _ := splitTable(w.cfg.Sources[source].Kind, sortedKeys(w.cfg.Sources[source].Tables)[0])
	for _, r := range w.records(w.kafka.Names().Changes(source, schema, table)) {
		h, err := wire.ParseChangeHeaders(r.Headers)
		if err != nil {
			w.Fatal(err)
		}
		var mark event.Poll
		id, counter := int64(0), int64(-1)
		switch h.Kind {
		case wire.KindPoll:
			if mark, err = wire.DecodePoll(h.Body); err != nil {
				w.Fatal(err)
			}
		case wire.KindChange:
			id, counter = w.decode(r.Key, r.Value)
		case wire.KindSchema:
		}
		out.ids, out.counters, out.marks = append(out.ids, id), append(out.counters, counter), append(out.marks, mark)
	}
	return out
}

func (w *torture) decode(key, value []byte) (id, counter int64) {
	w.Helper()
	var k struct{ ID int64 }
	if err := json.Unmarshal(key, &k); err != nil {
		w.Fatal(err)
	}
	if value == nil {
		return k.ID, -1
	}
	c, err := wire.DecodeChange(value)
	if err != nil {
		w.Fatal(err)
	}
	if c.Op == event.OpDelete {
		return k.ID, -1
	}
	var row struct{ Counter int64 }
	if err := json.Unmarshal(c.After, &row); err != nil {
		w.Fatal(err)
	}
	return k.ID, row.Counter
}

func (tt tortureTopic) mirror() map[int64]int64 {
	out := map[int64]int64{}
	for i, id := range tt.ids {
		switch {
		case id == 0:
		case tt.counters[i] < 0:
			delete(out, id)
		default:
			out[id] = tt.counters[i]
		}
	}
	return out
}

// drained is oracle (a): what the source's strategies promise is in its mirror,
// and nothing that the table never had. A watermark says so.
func (w *torture) drained(source string, want map[int64]int64) error {
	topic := w.read(source)
	if !slices.ContainsFunc(topic.marks, func(m event.Poll) bool { return m.CompleteThrough != nil }) {
		return errors.New("there is no watermark yet")
	}
	p, got := w.sources[source], topic.mirror()
	w.mu.Lock()
	defer w.mu.Unlock()
	promised := map[int64]int64{}
	for _, tx := range w.log {
		for _, c := range tx.changes {
			if p.covers(c) {
				promised[c.id] = max(promised[c.id], c.counter)
			}
		}
	}
	for id, counter := range want {
		switch {
		case got[id] < promised[id]:
			return fmt.Errorf("row %d: mirror has counter %d, promised is %d, the table has %d", id, got[id], promised[id], counter)
		case got[id] > counter:
			return fmt.Errorf("row %d: mirror has counter %d, which was never committed; the table has %d", id, got[id], counter)
		}
	}
	for id := range got {
		if _, there := want[id]; !there && (p.deletes || !w.deleted[id]) {
			return fmt.Errorf("row %d: the mirror has it, the table does not", id)
		}
	}
	return nil
}

// judge is oracle (b): at every published watermark the mirror has what each
// transaction left that began before it; and oracle (c): along offsets the
// counter of a row never falls.
func (w *torture) judge(source string) {
	w.Helper()
	p, topic := w.sources[source], w.read(source)
	log := slices.SortedFunc(slices.Values(w.log), func(a, b tortureTx) int { return a.begin.Compare(b.begin) })
	mirror, highest, done, gone := map[int64]int64{}, map[int64]int64{}, 0, 0
	var last time.Time
	for i, id := range topic.ids {
		if through := topic.marks[i].CompleteThrough; through != nil {
			h := parseStamp(*through)
			if h.Before(last) {
				w.Errorf("source %s: watermark %s follows %s", source, h, last)
			}
			last = h
			w.marked[source]++
			for ; done < len(log) && log[done].begin.Before(h); done++ {
				w.compare(source, p, h, mirror, log[done])
			}
		}
		if through := topic.marks[i].DeletesThrough; through != nil {
			for h := parseStamp(*through); gone < len(log) && log[gone].begin.Before(h); gone++ {
				for _, id := range log[gone].deleted {
					if mirror[id] > 0 {
						w.Errorf("source %s: deletes are complete through %s, but row %d is there: a transaction that began at %s deleted it", source, h, id, log[gone].begin)
					}
				}
			}
		}
		if id == 0 {
			continue
		}
		counter := topic.counters[i]
		if counter >= 0 && counter < highest[id] {
			w.Errorf("source %s: row %d goes from counter %d to %d", source, id, highest[id], counter)
		}
		highest[id] = max(highest[id], counter)
		mirror[id] = counter
	}
	if w.marked[source] == 0 {
		w.Errorf("source %s published no watermark", source)
	}
}

// compare checks a transaction that began before h. Rows that are deleted one
// day may have gone before the poll, so of these nothing is known.
func (w *torture) compare(source string, p guarantee, h time.Time, mirror map[int64]int64, tx tortureTx) {
	w.Helper()
	for _, c := range tx.changes {
		if p.covers(c) && !w.deleted[c.id] && mirror[c.id] < c.counter {
			w.Errorf("source %s is complete through %s, but row %d has counter %d: a transaction that began at %s (%s before) left %d (stamped %t, insert %t)",
				source, h, c.id, mirror[c.id], tx.begin, h.Sub(tx.begin), c.counter, c.stamped, c.insert)
		}
	}
}
