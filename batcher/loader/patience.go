package loader

import (
	"maps"
	"sync"
	"time"
)

const (
	// blockedAfter is how long a target is put off before somebody is told whom it
	// waits for.
	blockedAfter = 10 * time.Minute
	// What is put off is left alone for putOffMin, then twice that, up to putOffMax:
	// each try keeps the gate shut for DDLTimeout.
	putOffMin = 30 * time.Second
	putOffMax = 4 * time.Minute
	// rowsPatience bounds statements that write rows, as they may wait for
	// somebody's lock behind the gate. A target that needs longer is asked for its
	// lock first, and then has the whole time.
	rowsPatience = 30 * time.Second
)

// patience is what a loader remembers of targets that kept it waiting. A
// restart forgets it, which costs one time-out each.
type patience struct {
	mu       sync.Mutex
	portions map[string]int      // files that a load takes at most, since a longer one timed out
	putOff   map[string]*waiting // targets whose load waits for other sessions
	slow     map[string]bool     // targets whose rows needed longer than rowsPatience
	lost     int                 // waits of this wave that were in vain
	troubles map[string]*trouble // loads that ended without a word of whose fault it was
	copied   time.Time           // when a COPY last went well
}

// waiting is since when a target is put off, and until when it is left alone.
type waiting struct {
	since, until time.Time
	pause        time.Duration
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

// blocked notes that other sessions put target off at now, and returns for how
// long they have done so.
func (p *patience) blocked(target string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.putOff == nil {
		p.putOff = map[string]*waiting{}
	}
	wait := p.putOff[target]
	if wait == nil {
		wait = &waiting{since: now, pause: putOffMin / 2}
		p.putOff[target] = wait
	}
	wait.pause = min(2*wait.pause, putOffMax)
	wait.until = now.Add(wait.pause)
	return now.Sub(wait.since)
}

// waits says that target is left alone at now.
func (p *patience) waits(target string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := p.putOff[target]
	return wait != nil && now.Before(wait.until)
}

// forget has the next wave try target again.
func (p *patience) forget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.putOff, target)
}

// tooSlow notes that target's rows needed longer than rowsPatience.
func (p *patience) tooSlow(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow == nil {
		p.slow = map[string]bool{}
	}
	p.slow[target] = true
}

// asks says that target is asked for its lock first: tooSlow was called for it, or
// a wait of this wave was in vain, and others may be.
func (p *patience) asks(target string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slow[target] || p.lost > 0
}

// least is how long the last of many waits in a wave is.
const least = 100 * time.Millisecond

// share is what is left of a wait behind the gate: half as much after each that
// was in vain in this wave. All of them together last no longer than two.
func (p *patience) share(wait time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(wait>>min(p.lost, 30), min(wait, least))
}

// inVain notes a wait that came to nothing.
func (p *patience) inVain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost++
}

// anew begins a wave: waits have their whole length again.
func (p *patience) anew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = 0
}

// done forgets what a load that went well has settled. Portions grow again, up
// to most files, unless what a search is after is yet to come.
func (p *patience) done(ld *load, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.putOff, ld.target())
	key := ld.portion()
	if t := p.troubles[key]; t != nil && t.well == 0 && ld.lost == nil && len(ld.remain) > 0 && p.portions[key] > 0 {
		t.well++ // what it is after is then in the next
		return
	}
	delete(p.troubles, key)
	if n, ok := p.portions[key]; ok && 2*n < most {
		p.portions[key] = 2 * n
	} else {
		delete(p.portions, key)
	}
}

// limits returns the portions of targets.
func (p *patience) limits() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.portions)
}
