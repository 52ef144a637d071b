//go:build cgo

package redshift

import (
	"context"
	"errors"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// A commit that DuckDB could not write, for want of disk, leaves its memory wrong: the texts that it took back are glued
// to the next ones that come into their columns, in this process and, by the log, for ever. What is on disk is right.
// So nothing is written after such a commit until the file is opened anew.

// reopenEvery is how long to wait before the file is tried again: opening it writes, too.
const reopenEvery = time.Second

// durable runs commit, one that writes. They run one at a time, as DuckDB has them do anyway, so that none comes behind
// one that failed; failed then runs before the connections are cut.
func (s *Server) durable(commit func() error, failed func(error)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.spoiled {
		return pgError("57P01", "the local Redshift opens its database anew")
	}
	err := commit()
	if err == nil {
		return nil
	}
	s.spoiled = true
	s.entry.Lock()
	s.away = true
	s.entry.Unlock()
	failed(err)
	s.reopening.Go(func() { s.reopen(err) })
	return err
}

// invalidated reports whether DuckDB has given itself up.
func invalidated(err error) bool {
	e, ok := errors.AsType[*duckdb.Error](err)
	return ok && e.Type == duckdb.ErrorTypeFatal
}

// reopen ends all sessions and opens the file and its log anew, once there is room for that.
func (s *Server) reopen(cause error) {
	s.log.Error("a commit was not written; the database is opened anew", "err", cause)
	s.cutConns()
	s.cleanup.Wait()
	for told := false; ; told = true {
		_ = s.db.Close() // whatever it says, it is done with
		err := s.open()
		if err == nil {
			break
		}
		if !told {
			s.log.Error("the database does not open; it is tried every second", "err", err)
		}
		select {
		case <-s.quit:
			return
		case <-time.After(reopenEvery):
		}
	}
	s.log.Info("the database is open again")
	s.writing.Lock()
	s.spoiled = false
	s.writing.Unlock()
	s.entry.Lock()
	s.away = false
	s.entry.Unlock()
}

// commitEngine has DuckDB commit. A session whose commit fails is told why before all connections are cut.
func (s *session) commitEngine() error {
	commit := func() error {
		_, err := s.duck.ExecContext(context.Background(), "COMMIT")
		return err
	}
	if !s.dirty {
		return commit()
	}
	return s.srv.durable(commit, s.farewell)
}

// farewell tells the client why its connection is cut.
func (s *session) farewell(err error) {
	e := translate(err)
	_, _ = s.conn.Write(message('E', "SFATAL\x00C"+e.code+"\x00M"+e.msg+"\x00\x00"))
}
