package ingest

import (
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/millstream-data/millstream/internal/config"
)

// gate bounds the bytes that requests hold. It never waits: half-read requests that wait for each other would stand
// still.
type gate struct {
	held  atomic.Int64
	limit int64
}

func (g *gate) try(n int64) bool {
	if g.held.Add(n) > g.limit {
		g.held.Add(-n)
		return false
	}
	return true
}

// What an event takes besides the bytes of body and value, about: its place in the slabs of the request and in Kafka's
// client, and the headers of a dead letter. An event of two bytes takes three hundred times as much.
const (
	recordCost = 640
	deadCost   = 1 << 10
)

// hold takes n bytes at the gate for rq, until release or the end of rq.
func (rq *request) hold(n int64) bool {
	if !rq.srv.gate.try(n) {
		rq.wanted = rq.held + n
		return false
	}
	rq.held += n
	return true
}

func (rq *request) release(n int64) {
	rq.held -= n
	rq.srv.gate.held.Add(-n)
}

// noRoom is the answer when hold has refused. What would not fit if it were alone is too large: it would be repeated
// for ever.
func (rq *request) noRoom() *refusal {
	if limit := rq.srv.gate.limit; rq.wanted > limit {
		return refuse(codeBodyTooLarge, "its "+strconv.Itoa(len(rq.idx.events))+" events, each with what the batch adds to it, take more than "+
			config.Bytes(limit).String()+"; send smaller batches")
	}
	return refuse(codeOverloaded, "too many bytes are in flight; repeat the request")
}

// reserve makes room for the records of n events at once: slabs that double as they fill are held twice while they do.
func (rq *request) reserve(n int) {
	rq.records = slices.Grow(rq.records, n)
	rq.made = slices.Grow(rq.made, n)
	if n > 1 {
		rq.headers = slices.Grow(rq.headers, eventHeaders*n)
	}
}

// eventHeaders is how many headers the record of an event has.
const eventHeaders = 6
