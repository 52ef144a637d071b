package serve

import (
	"math"
	"sync"

	"github.com/millstream-data/millstream/internal/metric"
)

// endless is the upper bound of a range that has none.
const endless = math.MaxInt64

// held are the cells of one version of a metric, as far back as somebody has asked.
type held struct {
	version metric.Version
	load    sync.Mutex // one load at a time; taken before mu

	mu    sync.Mutex // guards all below; cells' states are merged under it, for Merge sorts what it reads
	zones map[string]*shelf
	gen   uint64 // raised when days or bases change, for other partials may be visible then
}

// shelf holds the cells of one grain: "" is the fine one, any other a zone's days.
type shelf struct {
	taking  int64 // cells of buckets from here on are taken from the topic
	ready   int64 // from here on the store has been read
	buckets map[int64]map[uint64]*cell
}

// cell is a tuple of a bucket with its partials.
type cell struct {
	vals   []string
	parts  map[partKey]*part
	merged *metric.State // of the visible partials, nil if it must be made
	events int64
	gen    uint64
}

type partKey struct{ src, rev int }

type part struct {
	off   int64
	n     int64
	state *metric.State
}

func newHeld(v metric.Version) *held { return &held{version: v, zones: map[string]*shelf{}} }

func (h *held) shelf(zone string) *shelf {
	s := h.zones[zone]
	if s == nil {
		s = &shelf{taking: endless, ready: endless, buckets: map[int64]map[uint64]*cell{}}
		h.zones[zone] = s
	}
	return s
}

// missing says what must be read so that buckets from on are held, and has the follower take them from now on.
func (h *held) missing(zone string, from int64) (metric.Range, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shelf(zone)
	s.taking = min(s.taking, from)
	if from >= s.ready {
		return metric.Range{}, false
	}
	return metric.Range{VersionID: h.version.VersionID, Zone: zone, From: from, To: s.ready}, true
}

func (h *held) loaded(zone string, from int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shelf(zone)
	s.ready = min(s.ready, from)
}

// ranges returns what is held, from the bucket that since gives for a zone on.
func (h *held) ranges(since func(zone string) int64) []metric.Range {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []metric.Range
	for zone, s := range h.zones {
		if s.ready < endless {
			out = append(out, metric.Range{VersionID: h.version.VersionID, Zone: zone, From: max(s.ready, since(zone)), To: endless})
		}
	}
	return out
}

// take puts a partial in if it is newer than what is held, and says whether it was. An unreadable state is an error.
func (h *held) take(r metric.Row) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shelf(r.Zone)
	if r.Bucket < s.taking {
		return false, nil
	}
	if have := s.part(r.Key); have != nil && have.off >= r.LastOff {
		return false, nil
	}
	state, err := h.version.Def.DecodeState(r.State)
	if err != nil {
		return false, err
	}
	bucket := s.buckets[r.Bucket]
	if bucket == nil {
		bucket = map[uint64]*cell{}
		s.buckets[r.Bucket] = bucket
	}
	c := bucket[r.Dim]
	if c == nil {
		c = &cell{vals: r.Vals, parts: map[partKey]*part{}}
		bucket[r.Dim] = c
	}
	c.parts[partKey{r.Src, r.Rev}] = &part{off: r.LastOff, n: r.N, state: state}
	c.merged = nil
	return true, nil
}

// behind says whether the store's row is newer than what is held.
func (h *held) behind(r metric.Row) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shelf(r.Zone)
	if r.Bucket < s.taking {
		return false
	}
	have := s.part(r.Key)
	return have == nil || have.off < r.LastOff
}

func (s *shelf) part(k metric.Key) *part {
	if c := s.buckets[k.Bucket][k.Dim]; c != nil {
		return c.parts[partKey{k.Src, k.Rev}]
	}
	return nil
}

func (h *held) changeDays() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gen++
}

func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, s := range h.zones {
		for _, b := range s.buckets {
			n += len(b)
		}
	}
	return n
}

// calendar is what is known about days; it is copied on change and so can be read without a lock.
type calendar struct {
	days  map[metric.DayID]metric.Day
	bases map[metric.DayVersion]int
	late  map[metric.DayID]int64
}

func newCalendar() *calendar {
	return &calendar{days: map[metric.DayID]metric.Day{}, bases: map[metric.DayVersion]int{}, late: map[metric.DayID]int64{}}
}

// visible returns the merge of the cell's visible partials; h.mu is held.
func (h *held) visible(c *cell, zone string, bucket int64, cal *calendar) (*metric.State, error) {
	if c.merged != nil && c.gen == h.gen {
		return c.merged, nil
	}
	day := metric.DayID{Zone: zone, Day: bucket}
	if zone == "" { // fine cells follow their UTC day under the zone that is never sealed
		day.Day = metric.FineStart(bucket) / 86400
	}
	state := h.version.Def.NewState()
	c.events = 0
	for k, p := range c.parts {
		if metric.Visible(k.src, k.rev, cal.days[day], cal.bases[metric.DayVersion{VersionID: h.version.VersionID, DayID: day}]) {
			if err := state.Merge(p.state); err != nil {
				return nil, err
			}
			c.events += p.n
		}
	}
	c.merged, c.gen = state, h.gen
	return state, nil
}
