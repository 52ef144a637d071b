package cdc

import (
	"fmt"
	"time"
)

// processList is what MySQL and MariaDB tell of who may still commit. The
// running statements were listed before the transactions.
type processList struct {
	running []runningStatement
	open    []openTrx
}

// runningStatement is a thread that is not asleep.
type runningStatement struct {
	thread int64
	age    time.Duration // whole seconds, rounded down
	who    string        // for people
}

// openTrx is a transaction of InnoDB. Its begin is in whole seconds of the
// server's own zone, and later than the clock of the statement that began it: a
// name, never a time.
type openTrx struct {
	id      string
	thread  int64 // 0: it belongs to no session; XA, prepared
	started string
}

// trxName is by what a transaction is known again: its id changes with its first
// write, so the id names only what has no thread.
type trxName struct {
	thread  int64
	started string
	id      string
}

func (t openTrx) name() trxName {
	if t.thread == 0 {
		return trxName{id: t.id}
	}
	return trxName{thread: t.thread, started: t.started}
}

// processMemory is what the last sample saw, none before the first.
type processMemory struct {
	seen  bool
	start map[int64]time.Time   // of each running statement: its NOW() is no older
	bound map[trxName]time.Time // of each transaction: no statement of it has an older NOW()
}

// back follows a clock that was set back.
func (m *processMemory) back(step time.Duration) {
	for k, t := range m.start {
		m.start[k] = t.Add(-step)
	}
	for k, t := range m.bound {
		m.bound[k] = t.Add(-step)
	}
}

// observeProcesses bounds every NOW() that may still be committed. It is fixed
// for each statement, which may wait for a metadata lock or compute long before
// InnoDB sees a transaction, and whose session may be asleep when the transaction
// is listed for the first time: hence the memory of what ran at the sample before.
func (h *horizon) observeProcesses(r reading, lower func(time.Time, string)) {
	since, unknown := h.t0, h.raw
	if !h.procs.seen { // the samples before, if any, listed nothing
		since = h.oldest(r)
		unknown = since
	}
	next := processMemory{seen: true, start: make(map[int64]time.Time, len(r.procs.running)), bound: make(map[trxName]time.Time, len(r.procs.open))}
	for _, s := range r.procs.running {
		next.start[s.thread] = r.t0.Add(-s.age - time.Second)
		lower(next.start[s.thread], s.who)
	}
	for _, t := range r.procs.open {
		name := t.name()
		began, ran := h.procs.start[t.thread]
		bound, known := h.procs.bound[name]
		who := fmt.Sprintf("thread %d", t.thread)
		switch {
		case t.thread == 0:
			who = "detached transaction " + t.id
			if !known {
				bound = unknown
			}
		case known:
		case ran && !h.faults.noProcessMemory:
			bound = began
		default:
			bound = since
		}
		next.bound[name] = bound
		lower(bound, who)
	}
	h.procs = next
}
