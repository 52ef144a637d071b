package batcher

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/lake"
)

// A chain rests when most of its records are rejected: a wrong version, of a
// sender or of this program, must not empty a topic into the dead letters.
const (
	stormRecords = 1000        // that it looks back on
	stormRest    = time.Minute // unless Deps.Rest says otherwise
)

// storm looks back on what became of a chain's records. It has no clock.
type storm struct {
	recent   [stormRecords]bool // a ring; true: rejected
	next     int
	rejected int
	until    time.Time     // the chain rests until then; zero: it does not
	rest     time.Duration // 0: stormRest
}

// note takes a record and says whether it is the one too many: the chain rests
// from now on, and begins to count anew after that.
func (s *storm) note(rejected bool, now time.Time) (begins bool) {
	if s.recent[s.next] {
		s.rejected--
	}
	if rejected {
		s.rejected++
	}
	s.recent[s.next] = rejected
	s.next = (s.next + 1) % stormRecords
	if s.rejected <= stormRecords/2 {
		return false
	}
	*s = storm{until: now.Add(cmp.Or(s.rest, stormRest)), rest: s.rest}
	return true
}

// rests says whether the chain rests, and whether the rest has ended just now.
func (s *storm) rests(now time.Time) (resting, ended bool) {
	if s.until.IsZero() || now.Before(s.until) {
		return !s.until.IsZero(), false
	}
	s.until = time.Time{}
	return false, true
}

// rests knows which chains rest, for metrics and health, and has the client
// leave their partitions alone.
type rests struct {
	metrics *metrics
	log     *slog.Logger

	mu sync.Mutex // guards m
	m  map[lake.ChainID]rest
}

type rest struct {
	since time.Time
	why   string // the last rejection
}

func (r *rests) begin(client *kgo.Client, id lake.ChainID, why string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[lake.ChainID]rest{}
	}
	r.m[id] = rest{now, why}
	client.PauseFetchPartitions(map[string][]int32{id.Topic: {id.Partition}})
	r.metrics.paused.WithLabelValues(string(pauseRejects)).Set(float64(len(r.m)))
	r.log.Error("more than half of a partition's last records were rejected, it rests", "chain", id.String(), "records", stormRecords, "rest", stormRest, "last", why)
}

// end does nothing for a chain that does not rest.
func (r *rests) end(client *kgo.Client, id lake.ChainID, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest, ok := r.m[id]
	if !ok {
		return
	}
	delete(r.m, id)
	client.ResumeFetchPartitions(map[string][]int32{id.Topic: {id.Partition}})
	r.metrics.paused.WithLabelValues(string(pauseRejects)).Set(float64(len(r.m)))
	r.metrics.pauseSeconds.WithLabelValues(string(pauseRejects)).Add(now.Sub(rest.since).Seconds())
	r.log.Info("partition has rested and goes on", "chain", id.String())
}

// has says whether a chain rests.
func (r *rests) has(id lake.ChainID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.m[id]
	return ok
}

// message says who rests and why; "" if nobody does.
func (r *rests) message() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, rest := range r.m {
		return fmt.Sprintf("%d partitions rest, for more than half of their last %d records were rejected: %s since %s, the last because %s. "+
			"Look into the dead letters; each rest lasts %s.", len(r.m), stormRecords, id, rest.since.UTC().Format(time.TimeOnly), rest.why, stormRest)
	}
	return ""
}
