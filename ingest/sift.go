package ingest

import "slices"

// made says what a record was made of.
type made struct {
	event    int32 // its place in the batch; −1: the whole body
	typ      uint8 // its place in event.Types
	dead     bool  // a dead letter
	fresh    bool  // its id was drawn, and no other event has it
	repeated bool  // its id is durable already
	listed   bool  // nothing of it may be kept, and its sender may not know
	given    bool  // its id is the sender's
	flags    flags
}

// sift takes out the records whose events were durable already, or stand in the batch twice, and counts the others.
// It goes over all ids at once, for each is a look into memory that no cache holds, and looks that do not wait for each
// other take little longer than one.
func (rq *request) sift() {
	if rq.srv.recent.window > 0 {
		rq.look()
	}
	kept, k, n := 0, 0, 0
	for i := range rq.records {
		m := &rq.made[i]
		if rq.named(m) {
			id := rq.ids[n]
			n++
			if m.repeated || rq.inBatch(k, id) {
				rq.repeats++
				continue
			}
			rq.ids[k] = id
			rq.enter(k)
			k++
		}
		switch {
		case m.listed:
			rq.hide(i)
		case !m.dead:
			rq.tally(m, len(rq.records[i].Value))
		}
		if kept < i {
			rq.records[kept], rq.made[kept] = rq.records[i], rq.made[i]
		}
		kept++
	}
	clear(rq.records[kept:]) // they point to what others get
	rq.records, rq.made, rq.ids = rq.records[:kept], rq.made[:kept], rq.ids[:k]
}

// named says whether a record has an id that another may have.
func (rq *request) named(m *made) bool { return !m.dead && !m.fresh && rq.srv.recent.window > 0 }

// look finds the ids of all records, and which of them were durable already.
func (rq *request) look() {
	r := rq.srv.recent
	for i := range rq.records {
		if rq.named(&rq.made[i]) {
			var id mark
			id, rq.scratch = r.markOf(rq.scratch, rq.access.source.name, rq.records[i].Headers[4].Value)
			rq.ids = append(rq.ids, id)
		}
	}
	n := 0
	for i := range rq.made {
		if m := &rq.made[i]; rq.named(m) {
			m.repeated = r.has(rq.ids[n], rq.tick)
			n++
		}
	}
	if len(rq.ids) > few {
		size := 2 * few
		for size < 2*len(rq.ids) {
			size *= 2
		}
		rq.places = slices.Grow(rq.places[:0], size)[:size]
		clear(rq.places)
	}
}

// few ids are compared one by one.
const few = 16

// inBatch says whether id is among the first n.
func (rq *request) inBatch(n int, id mark) bool {
	if len(rq.places) == 0 {
		return slices.Contains(rq.ids[:n], id)
	}
	for at := int(id[0]); ; at++ { //nolint:gosec // of a hash any bits will do
		place := rq.places[at&(len(rq.places)-1)]
		if place == 0 || rq.ids[place-1] == id {
			return place != 0
		}
	}
}

// enter makes inBatch find the id n.
func (rq *request) enter(n int) {
	if len(rq.places) == 0 {
		return
	}
	at := int(rq.ids[n][0]) //nolint:gosec // of a hash any bits will do
	for rq.places[at&(len(rq.places)-1)] != 0 {
		at++
	}
	rq.places[at&(len(rq.places)-1)] = int32(n + 1) //nolint:gosec // a batch is bounded
}

func (rq *request) tally(m *made, size int) {
	t := &rq.accepted[m.typ]
	t.events++
	t.bytes += size
	for bit := 0; m.flags>>bit != 0; bit++ {
		if m.flags&(1<<bit) != 0 {
			rq.flagged[bit]++
		}
	}
}
