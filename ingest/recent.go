package ingest

import (
	"hash/maphash"
	"sync"
	"time"
)

// recent remembers the message ids that became durable lately, so that a repeated request costs Kafka nothing. It only
// saves traffic: which of two records counts is decided downstream, and everybody there decides alike. It is empty
// after a start.
type recent struct {
	window time.Duration
	most   int // ids in a shard
	seeds  [2]maphash.Seed
	shards [16]recentShard
	start  time.Time // of a clock that never steps
}

// mark is the keyed hash of a source and a message id. 128 bits make two ids with one mark a matter of belief, and the
// key keeps senders from making such a pair.
type mark [2]uint64

type recentShard struct {
	mu  sync.Mutex // guards what follows; never held together with another
	ids map[mark]struct{}
	// The ids in the order of their arrival: a ring that grows up to most.
	ring []aged
	head int
	len  int
}

type aged struct {
	id mark
	at time.Duration // since start
}

func newRecent(d Dedup) *recent {
	r := &recent{window: d.Window, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, start: time.Now()}
	r.most = max(1, d.MaxIDs/len(r.shards))
	for i := range r.shards {
		r.shards[i].ids = map[mark]struct{}{}
	}
	return r
}

// markOf hashes an id of a source. scratch is for the bytes that are hashed, and is returned for the next call.
func (r *recent) markOf(scratch []byte, source string, id []byte) (mark, []byte) {
	scratch = append(append(append(scratch[:0], source...), 0), id...)
	return mark{maphash.Bytes(r.seeds[0], scratch), maphash.Bytes(r.seeds[1], scratch)}, scratch
}

func (r *recent) shard(id mark) *recentShard { return &r.shards[id[0]%uint64(len(r.shards))] }

// has says whether id became durable within the window.
func (r *recent) has(id mark) bool {
	if r.window == 0 {
		return false
	}
	s, now := r.shard(id), time.Since(r.start)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now - r.window)
	_, ok := s.ids[id]
	return ok
}

// add remembers ids whose records are durable now.
func (r *recent) add(ids []mark) {
	if r.window == 0 {
		return
	}
	now := time.Since(r.start)
	for _, id := range ids {
		s := r.shard(id)
		s.mu.Lock()
		s.add(id, now, r.most)
		s.mu.Unlock()
	}
}

func (s *recentShard) add(id mark, now time.Duration, most int) {
	if _, ok := s.ids[id]; ok {
		return
	}
	if s.len == most {
		s.pop()
	}
	if s.len == len(s.ring) {
		bigger := make([]aged, min(most, max(64, 2*len(s.ring))))
		n := copy(bigger, s.ring[s.head:])
		copy(bigger[n:], s.ring[:s.head])
		s.ring, s.head = bigger, 0
	}
	s.ring[(s.head+s.len)%len(s.ring)] = aged{id, now}
	s.len++
	s.ids[id] = struct{}{}
}

// expire forgets what is older than before.
func (s *recentShard) expire(before time.Duration) {
	for s.len > 0 && s.ring[s.head].at < before {
		s.pop()
	}
}

func (s *recentShard) pop() {
	delete(s.ids, s.ring[s.head].id)
	s.head = (s.head + 1) % len(s.ring)
	s.len--
}

// size is the number of ids that are remembered.
func (r *recent) size() float64 {
	n := 0
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += s.len
		s.mu.Unlock()
	}
	return float64(n)
}
