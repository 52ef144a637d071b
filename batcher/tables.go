package batcher

import (
	"context"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
)

// sourceTables knows which tables of events a source has.
type sourceTables struct {
	mu     sync.Mutex      // guards what follows; held during calls to the store
	known  map[string]bool // event tables that are in the lake, or were admitted by this process
	listed time.Time
}

// listAgain is how long a listing of a source's tables holds.
const listAgain = time.Minute

// admit says whether a track event may have the table called name: if it is
// there, or if the source has fewer than its limit. Batchers that ask at once
// may pass the limit by a few.
func (r *registry) admit(ctx context.Context, source, name string) (bool, error) {
	r.mu.Lock()
	s := r.sources[source]
	if s == nil {
		s = &sourceTables{known: map[string]bool{}}
		r.sources[source] = s
	}
	r.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[name] {
		return true, nil
	}
	if time.Since(s.listed) >= listAgain {
		folders, err := r.lake.TablesOf(ctx, source)
		if err != nil {
			return false, err
		}
		for _, f := range folders {
			if !lake.IsFixedTable(f) {
				s.known[f] = true
			}
		}
		s.listed = time.Now()
	}
	if !s.known[name] {
		if len(s.known) >= r.limits.EventTables {
			return false, nil
		}
		s.known[name] = true
		r.expectNew(source + "." + name)
	}
	return true, nil
}

// expectNew saves the look-up of a table that was not among its source's. If
// another batcher makes it now, the first version of ours meets the other's.
func (r *registry) expectNew(name string) {
	t := r.table(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loaded = true
}
