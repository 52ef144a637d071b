package cdc

import (
	"time"
)

// basis is the method by which a horizon was found; marks carry it.
type basis string

const (
	basisActivity basis = "activity" // postgres, with pg_read_all_stats
	basisLocks    basis = "locks"    // postgres, with SELECT only
	basisLock     basis = "lock"     // sqlite: the write lock was free
	basisProcess  basis = "process"  // mysql, mariadb, with PROCESS
	basisLookback basis = "lookback" // a guess, and said to be one
)

// txID names an open transaction: PostgreSQL's virtual transaction, a backend
// and a number that grows with each transaction of it.
type txID struct {
	backend string
	number  int64
}

// openTx is a transaction that a look at the origin found open.
type openTx struct {
	id    txID
	start time.Time // zero if this role may not see it
	query time.Time // of the running statement; zero if none or not seen
	who   string    // for people
}

// reading is what one look at the origin found.
type reading struct {
	t0        time.Time     // the origin's clock, read before everything else
	mono      time.Duration // this process's monotonic clock at that moment
	open      []openTx
	statement time.Time // begin of the oldest running statement; zero if unknown
	prepared  []string  // prepared transactions
	basis     basis
	lag       time.Duration // of a standby that pages are read from
	system    string
	server    string

	// PostgreSQL only. xid is the least transaction id that may still be
	// running, 64 bits in decimal; lsn is the insert position of the WAL after
	// everything else, and timeline its first digits, "" on a standby.
	xid, lsn, timeline string
	standby            bool

	// MySQL and MariaDB only.
	procs   processList
	threads int // that run a statement
}

// sample is what a reading means.
type sample struct {
	t0     time.Time
	raw    time.Time // every transaction that can still commit began at or after it
	h      time.Time // raw less the slack
	basis  basis
	holder string // who holds raw back; "" for nobody
	lag    time.Duration
	steps  time.Duration // how far the origin's clock was set back since the first sample, in all
	began  time.Time     // by this process's clock
	open   int           // transactions at the origin
	system string
	server string

	xid, lsn, timeline string // as in reading
}

// clockTolerance is what two clocks may drift apart between samples before the
// origin's counts as set back.
const clockTolerance = 200 * time.Millisecond

// horizon turns readings into samples. It remembers when it first saw each
// transaction, since a role with SELECT only is not told when they began.
type horizon struct {
	slack, initial, lookback time.Duration
	stored                   time.Time // raw of the last sample of an earlier process, or zero
	storedT0                 time.Time // its t0, or zero
	faults                   faults

	seen     bool
	t0, raw  time.Time
	mono     time.Duration
	steps    time.Duration
	own      map[txID]time.Time // the sample before the one that saw it first
	bound    map[txID]time.Time // it began at or after this
	prepared map[string]time.Time
	procs    processMemory
}

// observe is the arithmetic of cdc.md section 3. Readings must come in the
// order in which they were taken.
func (h *horizon) observe(r reading) sample {
	s := sample{
		t0: r.t0, basis: r.basis, open: max(len(r.open), r.threads), system: r.system, server: r.server,
		xid: r.xid, lsn: r.lsn, timeline: r.timeline, lag: r.lag,
	}
	switch {
	case !h.seen:
		h.first(r)
	case !h.faults.noClockStep:
		h.steps += h.clockStep(r)
	}
	s.steps = h.steps
	if r.basis == basisLookback {
		h.t0, h.mono, h.seen = r.t0, r.mono, true
		h.raw = r.t0.Add(-h.lookback)
		h.procs = processMemory{}
		s.raw, s.h = h.raw, h.raw.Add(-h.slack)
		return s
	}
	raw := r.t0
	lower := func(t time.Time, who string) {
		if !t.IsZero() && t.Before(raw) {
			raw, s.holder = t, who
		}
	}
	lower(r.statement, "a running statement")
	own, bound := make(map[txID]time.Time, len(r.open)), make(map[txID]time.Time, len(r.open))
	for _, tx := range r.open {
		own[tx.id] = h.t0
		if was, known := h.own[tx.id]; known {
			own[tx.id] = was
		}
		bound[tx.id] = h.boundOf(tx, own[tx.id])
		lower(bound[tx.id], tx.who)
	}
	prepared, oldest := make(map[string]time.Time, len(r.prepared)), h.gone(own)
	for _, gid := range r.prepared {
		prepared[gid] = oldest
		if was, known := h.prepared[gid]; known {
			prepared[gid] = was
		}
		lower(prepared[gid], "prepared transaction "+gid)
	}
	if r.basis == basisProcess {
		h.observeProcesses(r, lower)
	}
	h.seen, h.t0, h.raw, h.mono = true, r.t0, raw, r.mono
	h.own, h.bound, h.prepared = own, bound, prepared
	s.raw, s.h = raw, raw.Add(-h.slack)
	if h.faults.noSlack {
		s.h = raw
	}
	return s
}

// gone bounds a transaction that was prepared since the last sample: it began
// after that one's clock, or was open then and is not in the list of now. The
// last raw would bound it too, but where transactions are prepared all the time
// that would never rise: each would take over what holds its predecessor back.
func (h *horizon) gone(now map[txID]time.Time) time.Time {
	oldest := h.t0
	for id, bound := range h.bound {
		if _, open := now[id]; !open && bound.Before(oldest) {
			oldest = bound
		}
	}
	return oldest
}

// boundOf says when tx began at the earliest. A transaction chained to another
// keeps the time of the message as its now(), which is older than its own
// begin: hence the bound of its predecessor's first sight.
func (h *horizon) boundOf(tx openTx, own time.Time) time.Time {
	if !tx.start.IsZero() {
		if !tx.query.IsZero() && tx.query.Before(tx.start) {
			return tx.query
		}
		return tx.start
	}
	if b, known := h.bound[tx.id]; known {
		return b
	}
	if b, known := h.own[txID{tx.id.backend, tx.id.number - 1}]; known && !h.faults.noPredecessor {
		return b
	}
	return own
}

// first bounds what the first sample of a process finds open and cannot date.
// A clock that runs behind the last one of an earlier process was set back
// between the two, by at least the difference.
func (h *horizon) first(r reading) {
	if back := h.storedT0.Sub(r.t0); !h.storedT0.IsZero() && back > 0 && !h.faults.noClockStep {
		h.steps, h.stored = back, h.stored.Add(-back)
	}
	h.raw = h.oldest(r)
	h.t0 = h.raw
}

// oldest is when a transaction began at the earliest of which no sample knows.
func (h *horizon) oldest(r reading) time.Time {
	t := h.stored
	if t.IsZero() {
		t = r.t0.Add(-h.initial)
	}
	if t.After(r.t0) || h.faults.firstAtT0 {
		t = r.t0
	}
	return t
}

// clockStep says how far the origin's clock was set back, and moves what is
// remembered back with it.
func (h *horizon) clockStep(r reading) time.Duration {
	step := (r.mono - h.mono) - r.t0.Sub(h.t0)
	if step <= clockTolerance {
		return 0
	}
	h.t0, h.raw = h.t0.Add(-step), h.raw.Add(-step)
	if !h.stored.IsZero() {
		h.stored = h.stored.Add(-step)
	}
	for id, t := range h.own {
		h.own[id] = t.Add(-step)
	}
	for id, t := range h.bound {
		h.bound[id] = t.Add(-step)
	}
	for gid, t := range h.prepared {
		h.prepared[gid] = t.Add(-step)
	}
	h.procs.back(step)
	return step
}
