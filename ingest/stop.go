package ingest

import (
	"context"
	"net/http"
	"time"
)

// drain is the graceful stop. A second signal skips to its end: what waits is answered 503 and repeated elsewhere.
func (s *Server) drain(ctx context.Context, srv *http.Server, stopDrains func()) {
	s.draining.Store(true)
	s.log.Info("ingest drains", "delay", s.cfg.Timeouts.DrainDelay.String())
	delay := time.NewTimer(s.cfg.Timeouts.DrainDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-s.hurry:
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.DrainTimeout)
	defer cancel()
	requests, cut := context.WithCancel(limit)
	defer cut()
	go func() { // ends with requests
		select {
		case <-s.hurry:
			pause(requests, nil, time.Second) // for the answers
			cut()
		case <-requests.Done():
		}
	}()
	s.tails.close()
	if err := srv.Shutdown(requests); err != nil {
		s.log.Warn("requests were cut off", "err", err)
		_ = srv.Close() // they were not acknowledged, and their senders repeat them
	}
	stopDrains()
	if s.producer.spool != nil || isClosed(s.hurry) {
		var less context.CancelFunc // who waits for an answer no more has one, and the rest is on disk
		limit, less = context.WithTimeout(limit, s.cfg.Timeouts.AckTimeout)
		defer less()
	}
	if err := s.producer.client.Load().Flush(limit); err != nil && s.producer.spool == nil {
		s.log.Warn("records were not acknowledged", "records", s.producer.unacked(), "err", err)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func hurried() *refusal { return refuse(codeDraining, "this process is stopping; repeat the request") }
