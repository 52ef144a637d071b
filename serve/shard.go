package serve

import (
	"sync"
	"time"
)

// writersPerShard bounds the goroutines that write at once. writerPatience is how long one may block before it no
// longer counts: it goes on alone, and a healthy connection gets its place.
const (
	writersPerShard = 1024
	writerPatience  = 50 * time.Millisecond
)

// shard lends writer goroutines to its connections. A connection has one only while it has something to write.
type shard struct {
	limit int

	mu    sync.Mutex // guards all below
	ready []*conn    // each connection stands here at most once
	busy  int
}

// wake queues c, whose flag says that nobody writes to it, and starts a writer if there is room.
func (s *shard) wake(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = append(s.ready, c)
	if s.busy < s.limit {
		s.busy++
		go s.work()
	}
}

// work serves connections until none is ready, or until it has lost its place to patience.
func (s *shard) work() {
	for {
		s.mu.Lock()
		if len(s.ready) == 0 {
			s.busy--
			s.ready = nil
			s.mu.Unlock()
			return
		}
		c := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		s.mu.Unlock()
		if !s.serve(c) {
			return
		}
	}
}

// serve lets c write all it has and says whether the place was kept meanwhile.
func (s *shard) serve(c *conn) bool {
	late := time.AfterFunc(writerPatience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.ready) > 0 {
			go s.work() // takes over the place
		} else {
			s.busy--
		}
	})
	c.write()
	return late.Stop()
}
