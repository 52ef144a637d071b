package ingest

import (
	"net/http"
	"sync/atomic"
	"time"
)

// quota is what a write key may send.
type quota struct {
	events, bytes float64 // a second; 0: unlimited
	burst         time.Duration
}

// quotaOf returns nil for who may send everything.
func quotaOf(r Rate) *quota {
	if r.Events == 0 && r.Bytes == 0 {
		return nil
	}
	return &quota{events: r.Events, bytes: float64(r.Bytes), burst: r.Burst}
}

// bucket is a token bucket as one number: when it will be full, by Server.clock. It fills in the burst's time, so it
// holds something if it is full in less than that. What is taken moves that time, beyond the burst if need be.
type bucket struct{ full atomic.Int64 }

// wait is how long the bucket will hold nothing; 0: it holds something.
func (b *bucket) wait(now, burst time.Duration) time.Duration {
	if left := time.Duration(b.full.Load()) - now; left >= burst {
		return left - burst + 1
	}
	return 0
}

// maxDebt keeps times in range, whatever is taken: 36 years.
const maxDebt = time.Duration(1 << 60)

// take takes n at perSecond.
func (b *bucket) take(now time.Duration, n, perSecond float64) {
	if perSecond == 0 {
		return
	}
	cost := maxDebt
	if t := n / perSecond * float64(time.Second); t < float64(maxDebt) {
		cost = time.Duration(t)
	}
	for {
		was := b.full.Load()
		if b.full.CompareAndSwap(was, int64(min(max(time.Duration(was), now)+cost, now+maxDebt))) {
			return
		}
	}
}

// rescale keeps what is owed when the rate changes.
func (b *bucket) rescale(now time.Duration, before, after float64) {
	was := b.full.Load()
	owed := time.Duration(was) - now
	if owed <= 0 || before == after || before == 0 || after == 0 {
		return
	}
	if b.full.CompareAndSwap(was, int64(now)) { // else a request took something meanwhile, and its key owes as before
		b.take(now, owed.Seconds()*before, after)
	}
}

// limited says whether a is in debt and for how long.
func (s *Server) limited(a *access) *refusal {
	if a.quota == nil {
		return nil
	}
	var events, bytes time.Duration
	now := s.clock()
	if a.quota.events > 0 {
		events = a.state.events.wait(now, a.quota.burst)
	}
	if a.quota.bytes > 0 {
		bytes = a.state.bytes.wait(now, a.quota.burst)
	}
	what := "events"
	switch {
	case events == 0 && bytes == 0:
		return nil
	case bytes > events:
		what = "bytes"
	}
	s.metrics.limited.WithLabelValues(a.source.name, what).Inc()
	return &refusal{code: codeRateLimited, message: "this write key has sent more " + what + " than it may; repeat the request later", wait: max(events, bytes)}
}

// comeIn looks up key for a request that sends events.
func (rq *request) comeIn(r *http.Request, snap *snapshot, key string) (ref *refusal) {
	if rq.access, ref = rq.srv.admit(r, snap, key, rq.kind == routePixel); ref != nil {
		return ref
	}
	return rq.srv.limited(rq.access)
}

// charge takes what rq has cost from the buckets of its key, unless its sender is told to come back with it. What was
// announced and not read costs nothing.
func (rq *request) charge(ref *refusal) {
	a := rq.access
	if a == nil || a.quota == nil {
		return
	}
	if ref != nil && (ref.status() == http.StatusTooManyRequests || ref.status() == http.StatusServiceUnavailable) {
		return
	}
	now := rq.srv.clock()
	a.state.events.take(now, float64(max(1, len(rq.idx.events))), a.quota.events)
	a.state.bytes.take(now, float64(len(rq.whole())), a.quota.bytes)
}
