package redshift

import (
	"context"
	"sync"
)

// lockMode is how a transaction holds a table.
type lockMode uint8

const (
	lockShare     lockMode = iota + 1 // readers; only exclusive keeps them out
	lockWrite                         // one writer a table
	lockExclusive                     // LOCK, ALTER, DROP, TRUNCATE
)

func (m lockMode) conflicts(o lockMode) bool {
	return m == lockExclusive || o == lockExclusive || m == lockWrite && o == lockWrite
}

// lockTable gives out table locks; they are held to the end of the transaction. Conflicting waiters are served in
// order, so that readers queue behind an ALTER that waits for older readers.
type lockTable struct {
	mu     sync.Mutex
	tables map[string]*tableLock
	held   map[int32]map[string]bool // tables by owner
}

type tableLock struct {
	holders map[int32]lockMode
	queue   []*lockWaiter
}

type lockWaiter struct {
	owner int32
	mode  lockMode
	ready chan struct{} // closed when granted
}

func newLockTable() *lockTable {
	return &lockTable{tables: map[string]*tableLock{}, held: map[int32]map[string]bool{}}
}

// acquire blocks until owner holds table in mode. A cycle of waiters gives 40P01 to the one that would close it.
func (l *lockTable) acquire(ctx context.Context, owner int32, table string, mode lockMode) error {
	l.mu.Lock()
	t := l.tables[table]
	if t == nil {
		t = &tableLock{holders: map[int32]lockMode{}}
		l.tables[table] = t
	}
	have := t.holders[owner]
	if have >= mode {
		l.mu.Unlock()
		return nil
	}
	w := &lockWaiter{owner: owner, mode: mode, ready: make(chan struct{})}
	if have != 0 { // an upgrade goes first: those who wait, wait for it too
		t.queue = append([]*lockWaiter{w}, t.queue...)
	} else {
		t.queue = append(t.queue, w)
	}
	l.grant(table, t)
	if t.holders[owner] < mode && l.cyclic(owner) {
		l.drop(table, t, w)
		l.mu.Unlock()
		return errDeadlock()
	}
	l.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(table, t, w)
	return context.Cause(ctx)
}

// releaseAll ends every lock of owner.
func (l *lockTable) releaseAll(owner int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for table := range l.held[owner] {
		t := l.tables[table]
		delete(t.holders, owner)
		l.grant(table, t)
	}
	delete(l.held, owner)
}

// grant serves everyone in the queue who conflicts neither with a holder nor with somebody ahead; callers hold mu.
func (l *lockTable) grant(table string, t *tableLock) {
	var left []*lockWaiter
	for _, w := range t.queue {
		if t.blocked(w, left) {
			left = append(left, w)
			continue
		}
		t.holders[w.owner] = max(t.holders[w.owner], w.mode)
		if l.held[w.owner] == nil {
			l.held[w.owner] = map[string]bool{}
		}
		l.held[w.owner][table] = true
		close(w.ready)
	}
	t.queue = left
	if len(t.queue) == 0 && len(t.holders) == 0 {
		delete(l.tables, table)
	}
}

func (t *tableLock) blocked(w *lockWaiter, ahead []*lockWaiter) bool {
	for _, other := range ahead {
		if other.mode.conflicts(w.mode) {
			return true
		}
	}
	for owner, mode := range t.holders {
		if owner != w.owner && mode.conflicts(w.mode) {
			return true
		}
	}
	return false
}

// drop takes a waiter out of the queue, if it still waits.
func (l *lockTable) drop(table string, t *tableLock, w *lockWaiter) {
	for i, q := range t.queue {
		if q == w {
			t.queue = append(t.queue[:i:i], t.queue[i+1:]...)
			break
		}
	}
	l.grant(table, t)
}

// cyclic reports whether owner waits, directly or not, for itself; callers hold mu.
func (l *lockTable) cyclic(owner int32) bool {
	seen := map[int32]bool{}
	var waitsFor func(o int32) bool
	waitsFor = func(o int32) bool {
		for _, t := range l.tables {
			for i, w := range t.queue {
				if w.owner != o {
					continue
				}
				for _, other := range t.ahead(i) {
					if other == owner {
						return true
					}
					if !seen[other] {
						seen[other] = true
						if waitsFor(other) {
							return true
						}
					}
				}
			}
		}
		return false
	}
	return waitsFor(owner)
}

// ahead lists the owners that the i-th waiter waits for.
func (t *tableLock) ahead(i int) []int32 {
	var out []int32
	for owner, mode := range t.holders {
		if owner != t.queue[i].owner && mode.conflicts(t.queue[i].mode) {
			out = append(out, owner)
		}
	}
	for _, w := range t.queue[:i] {
		if w.owner != t.queue[i].owner && w.mode.conflicts(t.queue[i].mode) {
			out = append(out, w.owner)
		}
	}
	return out
}
