package redshift

import (
	"strings"
	"sync"
	"time"
)

// FaultAction is what a Fault does when it strikes.
type FaultAction string

// The actions of a Fault.
const (
	CutBefore FaultAction = "cut_before" // close the connection, do not run the statement
	CutAfter  FaultAction = "cut_after"  // run the statement (a COMMIT is done), close before the answer
	CutDuring FaultAction = "cut_during" // close the connection first, then run the statement to its end
	FailWith  FaultAction = "fail"       // answer Code and Text instead of running the statement
	DelayBy   FaultAction = "delay"      // wait Delay, then run the statement
)

// Fault is one way to break statements. It strikes the statements whose text contains Match, blanks collapsed and
// without regard to case; COMMIT is such a statement, END and an implicit commit are not.
type Fault struct {
	Match  string        `json:"match"`
	Action FaultAction   `json:"action"`
	Skip   int           `json:"skip"`  // let so many matching statements pass first
	Times  int           `json:"times"` // strike so often; 0 means once
	Code   string        `json:"code"`  // SQLSTATE of FailWith
	Text   string        `json:"text"`
	Delay  time.Duration `json:"delay"` // nanoseconds in JSON
}

// Faults breaks a server on purpose. All methods are safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	faults []*Fault
	struck int
	refuse int
}

// Inject adds f; faults are tried in the order in which they were added.
func (f *Faults) Inject(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault.Times == 0 {
		fault.Times = 1
	}
	fault.Match = strings.ToLower(strings.Join(strings.Fields(fault.Match), " "))
	f.faults = append(f.faults, &fault)
}

// RefuseConnections refuses the next n connections with 53300; n below zero refuses all of them until called again.
func (f *Faults) RefuseConnections(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = n
}

// Clear takes every fault away.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.refuse = nil, 0
}

// Struck tells how often faults have struck since the start.
func (f *Faults) Struck() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.struck
}

// strike returns the fault for a statement, if there is one.
func (f *Faults) strike(text string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text = strings.ToLower(text)
	for i, fault := range f.faults {
		if !strings.Contains(text, fault.Match) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Times--; fault.Times <= 0 {
			f.faults = append(f.faults[:i:i], f.faults[i+1:]...)
		}
		f.struck++
		return *fault, true
	}
	return Fault{}, false
}

// refuses reports whether this connection is to be refused.
func (f *Faults) refuses() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == 0 {
		return false
	}
	f.refuse--
	return true
}
