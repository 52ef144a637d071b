package loader

import (
	"maps"
	"sync"
	"time"
)

// blockedAfter is how long a target's DDL is put off before somebody is told
// whom it waits for.
const blockedAfter = 10 * time.Minute

// patience is what a loader remembers of targets that kept it waiting. A
// restart forgets it, which costs one time-out each.
type patience struct {
	mu       sync.Mutex
	portions map[string]int       // files that a load takes at most, since a longer one timed out
	putOff   map[string]time.Time // since when a target's DDL waits for its readers
}

// halve has the next loads of target take half of what timed out.
func (p *patience) halve(target string, files int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.portions == nil {
		p.portions = map[string]int{}
	}
	p.portions[target] = max(1, files/2)
}

// blocked notes that readers put target's DDL off at now, and returns for how
// long they have done so.
func (p *patience) blocked(target string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.putOff == nil {
		p.putOff = map[string]time.Time{}
	}
	since, ok := p.putOff[target]
	if !ok {
		since, p.putOff[target] = now, now
	}
	return now.Sub(since)
}

// done forgets what a load of target that went well has settled. Portions grow
// again, up to most files.
func (p *patience) done(target string, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.putOff, target)
	if n, ok := p.portions[target]; ok && 2*n < most {
		p.portions[target] = 2 * n
	} else {
		delete(p.portions, target)
	}
}

// limits returns the portions of targets.
func (p *patience) limits() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.portions)
}
