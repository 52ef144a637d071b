package conformance

import (
	"fmt"
	"slices"
)

// judgeTotals looks at what holds for every run.
func (o *outcome) judgeTotals(e expect) {
	o.equal("requests at another host", len(o.stolen), 0)
	o.equal("preflights", o.preflight, 0)
	if most := max(e.AtOnce, 1); o.most > most {
		o.errorf("%d requests at once, want at most %d", o.most, most)
	}
	o.equal("leaks", o.out.Leaks, 0)
	told := o.told()
	if e.Sums != nil && !*e.Sums || len(o.out.Stats) == 0 {
		return
	}
	o.judgeSums()
	if !o.has("crash") {
		o.judgeTold(told)
	}
}

// told returns the fate of each event, and wants no event to have two.
func (o *outcome) told() map[string]string {
	told := map[string]string{}
	for _, r := range o.tellings() {
		if r.MessageID == "" {
			continue // a line of a spool that is no event
		}
		if told[r.MessageID] != "" {
			o.errorf("%s was told two fates", r.MessageID)
		}
		told[r.MessageID] = r.Fate
	}
	return told
}

// tellings are all fates but those that calls told.
func (o *outcome) tellings() []result {
	return slices.Concat(o.out.Results, o.out.Sends)
}

func (o *outcome) judgeSums() {
	sum := 0.0
	for _, name := range []string{"delivered", "rejected", "dropped", "handedOver", "queued", "inFlight", "spooled"} {
		sum += o.stat(name)
	}
	enqueued := o.stat("enqueued")
	if sum != enqueued {
		o.errorf("stats: enqueued is %v, and its parts are %v: %v", enqueued, sum, o.out.Stats)
	}
	reasons := 0
	for _, n := range o.droppedByReason() {
		reasons += n
	}
	o.equal("stats.dropped, by its reasons", reasons, o.stat("dropped"))
	if calls := float64(o.made()); enqueued < calls || enqueued > calls && !o.hasOthers() {
		o.errorf("stats.enqueued is %v after %v calls", enqueued, calls)
	}
}

// hasOthers says whether the run may have events of no step: what somebody left, page views, a script's calls.
func (o *outcome) hasOthers() bool {
	config := o.in.Config
	return config["spoolDir"] != nil || config["localStorage"] != nil || config["autoPage"] != nil || o.has("eval")
}

// judgeTold wants every event that is in the figures after the close to have been told of, and every event that the
// server took to be one that the SDK knows the fate of.
func (o *outcome) judgeTold(told map[string]string) {
	o.equal("stats.queued and inFlight after close", o.stat("queued")+o.stat("inFlight"), 0)
	counted := map[string]int{}
	for reason, n := range o.droppedByReason() {
		counted["dropped:"+reason] = n
	}
	counts := map[string]string{"delivered": "delivered", "rejected": "rejected", "handed_over": "handedOver"}
	for fate, name := range counts {
		counted[fate] = int(o.stat(name))
	}
	heard := map[string]int{}
	for reason, n := range o.out.Refused {
		heard["dropped:"+reason] += n
	}
	for _, r := range o.tellings() {
		fate := r.Fate
		if fate == "dropped" {
			fate += ":" + r.Code
		}
		heard[fate]++
	}
	if o.sdk != "browser" { // of lines that are no events, or that another took from the disk, nobody knows the ids
		delete(counted, "handed_over")
		delete(counted, "dropped:spool_error")
		delete(heard, "dropped:spool_error")
	}
	for _, fates := range []map[string]int{counted, heard} {
		for fate, n := range fates {
			if n == 0 {
				delete(fates, fate)
			}
		}
	}
	o.equal("fates that calls and callback told", heard, counted)
	o.judgeAnswered(told)
}

// judgeAnswered compares what was told with what the server has answered with success.
func (o *outcome) judgeAnswered(told map[string]string) {
	answered, untold := map[string]bool{}, 0
	for _, r := range o.requests {
		for _, id := range r.ids() {
			if r.status/100 != 2 {
				continue
			}
			if told[id] == "" && !answered[id] && !o.has("fork") {
				if untold++; float64(untold) > o.stat("spooled") { // or its answer came after the close, and it lies in the spool
					o.errorf("%s was taken by the server, and no fate was told", id)
				}
			}
			answered[id] = true
		}
	}
	for id, fate := range told {
		if len(o.requests) > 0 && !answered[id] && (fate == "delivered" || fate == "rejected") {
			o.errorf("%s was told to be %s, and no request that was taken holds it", id, fate)
		}
	}
}

// has says whether the input has a step of this name.
func (o *outcome) has(name string) bool {
	for _, s := range o.in.Sequences {
		if step, ok := s.(map[string]any); ok && step[name] != nil {
			return true
		}
	}
	return false
}

// made is how many events the calls of the input make, those of a fork's child apart.
func (o *outcome) made() int {
	total := 0
	for _, s := range o.in.Sequences {
		step, ok := s.(map[string]any)
		if !ok {
			continue
		}
		if step["send"] != nil {
			total++
		}
		events, _ := step["events"].([]any)
		total += len(events) * count(step["repeat"]) * count(step["threads"])
	}
	return total
}

// count is a number of the input; absent, it is 1.
func count(v any) int {
	n := 1
	if v != nil {
		_, _ = fmt.Sscan(plainNumber(v), &n)
	}
	return n
}
