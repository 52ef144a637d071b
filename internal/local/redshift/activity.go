//go:build cgo

package redshift

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// queriesKept is how many finished statements the catalogue remembers; queryTextKept how many bytes of each, as in
// sys_query_history.
const (
	queriesKept   = 1000
	queryTextKept = 4000
)

// queryRecord is a statement that runs, or has run.
type queryRecord struct {
	id      int64
	xid     int64
	pid     int32
	label   string // query_group
	kind    string
	text    string
	started time.Time
	ended   time.Time // zero while it runs
	failure string
	state   string
	rows    int64
}

// history remembers the newest statements of all sessions.
type history struct {
	mu      sync.Mutex
	started int64         // statements so far
	records []queryRecord // oldest first
}

func (h *history) next() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started++
	return h.started
}

func (h *history) add(r queryRecord) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.records) == queriesKept {
		h.records = append(h.records[:0], h.records[1:]...)
	}
	h.records = append(h.records, r)
}

func (h *history) all() []queryRecord {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.records)
}

// queryType is what sys_query_history calls a statement of this kind.
func queryType(k kind) string {
	switch k {
	case kindSelect, kindFetch, kindDeclare:
		return "SELECT"
	case kindInsert:
		return "INSERT"
	case kindUpdate:
		return "UPDATE"
	case kindDelete:
		return "DELETE"
	case kindMerge:
		return "MERGE"
	case kindCopy:
		return "COPY"
	case kindCreateTable:
		return "CTAS"
	case kindCreateView, kindCreateSchema, kindDropTable, kindDropView, kindDropSchema, kindAlterTable, kindTruncate:
		return "DDL"
	default:
		return "UTILITY"
	}
}

// recorded runs f and notes it as the session's statement.
func (s *session) recorded(st statement, f func() (*result, error)) (*result, error) {
	r := &queryRecord{
		id: s.srv.history.next(), xid: s.xid(), pid: s.pid, kind: queryType(st.kind), started: time.Now().UTC(), state: "running",
		text: strings.ToValidUTF8(st.text[:min(len(st.text), queryTextKept)], ""),
	}
	r.label, _ = s.parameter("query_group")
	s.running.Store(r)
	res, err := f()
	done := *r
	done.ended, done.state = time.Now().UTC(), "success"
	if err != nil {
		e := translate(err)
		done.failure, done.state = e.msg, "failed"
		if e.code == "57014" {
			done.state = "canceled"
		}
	} else {
		done.rows = res.count
	}
	s.running.Store(nil)
	s.srv.history.add(done)
	return res, err
}

// transaction is an open transaction as others see it.
type transaction struct {
	xid     int64
	started time.Time
}

// xid is the open transaction's number, 0 if there is none.
func (s *session) xid() int64 {
	if tx := s.transaction.Load(); tx != nil {
		return tx.xid
	}
	return 0
}

// heldLock is a lock that a transaction has or waits for.
type heldLock struct {
	table   string
	owner   int32
	mode    lockMode
	granted bool
}

// all lists the locks by table and owner.
func (l *lockTable) all() []heldLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []heldLock
	for name, t := range l.tables {
		for owner, mode := range t.holders {
			out = append(out, heldLock{name, owner, mode, true})
		}
		for _, w := range t.queue {
			out = append(out, heldLock{name, w.owner, w.mode, false})
		}
	}
	slices.SortFunc(out, func(a, b heldLock) int {
		return strings.Compare(fmt.Sprint(a.table, a.owner, !a.granted), fmt.Sprint(b.table, b.owner, !b.granted))
	})
	return out
}

// lockName is PostgreSQL's word for a mode.
func (m lockMode) lockName() string {
	switch m {
	case lockShare:
		return "AccessShareLock"
	case lockWrite:
		return "ShareRowExclusiveLock"
	default:
		return "AccessExclusiveLock"
	}
}

// everySession lists the sessions by process id.
func (s *Server) everySession() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*session, 0, len(s.sessions))
	for _, sess := range s.sessions {
		out = append(out, sess)
	}
	slices.SortFunc(out, func(a, b *session) int { return int(a.pid - b.pid) })
	return out
}
