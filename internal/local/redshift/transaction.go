//go:build cgo

package redshift

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// open begins a transaction of the front; DuckDB's follows when data is touched.
func (s *session) open(state txState) {
	s.state = state
	s.transaction.Store(&transaction{xid: s.srv.xids.Add(1), started: time.Now().UTC()})
	s.wrote, s.read = map[string]bool{}, map[string]bool{}
	s.tempsThen = make(map[string]*tableMeta, len(s.temps))
	maps.Copy(s.tempsThen, s.temps)
}

// touch opens DuckDB's transaction if it is not open yet: this takes the snapshot.
func (s *session) touch(ctx context.Context) error {
	if s.began {
		return nil
	}
	s.snapshot = s.srv.commits.now()
	// An interrupt could come when DuckDB has begun and we are told that it has not.
	if _, err := s.duck.ExecContext(context.WithoutCancel(ctx), "BEGIN TRANSACTION"); err != nil {
		return err
	}
	s.began, s.dirty = true, false
	return ctx.Err()
}

// commit makes the transaction durable and ends it; after an error it is rolled back.
func (s *session) commit() error {
	if s.state == txFailed {
		return s.rollback()
	}
	if s.began {
		if err := s.srv.commits.check(s); err != nil {
			_ = s.rollback()
			return err
		}
		if err := s.commitEngine(); err != nil {
			_ = s.rollback()
			return err
		}
		s.srv.commits.add(s.wrote)
		s.began = false
	}
	return s.over(true)
}

// rollback undoes the transaction and ends it.
func (s *session) rollback() error {
	var err error
	if s.began {
		_, err = s.duck.ExecContext(context.Background(), "ROLLBACK")
		s.began = false
	}
	if s.state != txIdle && s.tempsThen != nil {
		s.temps = s.tempsThen
	}
	return errors.Join(err, s.over(false))
}

// over frees what lives as long as a transaction.
func (s *session) over(committed bool) error {
	if s.state == txBlock || s.state == txFailed {
		s.closeResults()
	}
	s.state = txIdle
	s.transaction.Store(nil)
	s.tempsThen = nil
	s.closeCursors()
	s.sweep()
	s.srv.locks.releaseAll(s.pid)
	return s.restoreSettings(committed)
}

// fail is what an error does to the transaction.
func (s *session) fail() {
	switch s.state {
	case txIdle:
	case txImplicit:
		s.closeResults()
		_ = s.rollback()
	case txBlock, txFailed:
		s.closeResults()
		_ = s.rollback()
		s.state = txFailed
	}
}

// finish ends an implicit transaction: at the end of a query string, or at Sync.
func (s *session) finish(failed bool) error {
	if s.state != txImplicit {
		return nil
	}
	if failed {
		return s.rollback()
	}
	return s.commit()
}

// commitLog tells which tables were committed when, for the serializable level.
type commitLog struct {
	mu   sync.Mutex
	seq  int64
	last map[string]int64 // guarded by mu, as is seq
}

func (c *commitLog) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq
}

func (c *commitLog) add(tables map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	for t := range tables {
		c.last[t] = c.seq
	}
}

// check refuses, at the serializable level, a transaction that wrote and whose reads or writes another has overtaken.
func (c *commitLog) check(s *session) error {
	if s.srv.cfg.Isolation != IsolationSerializable || len(s.wrote) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, set := range []map[string]bool{s.read, s.wrote} {
		for t := range set {
			if c.last[t] > s.snapshot {
				return errSerialisation(t)
			}
		}
	}
	return nil
}
