package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/millstream-data/millstream/internal/event"
)

// PlanLine is what this server would make of an event, by a tracking plan.
type PlanLine struct {
	Line       int // of the file, from 1
	Type       event.Type
	Event      string // a track call's name
	Outcome    string // ok, allow, flag, reject, would_flag, would_reject, or unjudged where the plan says nothing
	Refused    bool   // it would become a dead letter, with or without a dry run
	Code       event.Code
	Violations []string // path, message and rule
}

// CheckPlan reads the tracking plan in the file plan and tells each what it makes of the events, which are one JSON
// object a line, as they were sent or as they are on the topic. Empty lines are passed over. An error is about the plan
// or about reading.
func CheckPlan(plan string, events io.Reader, each func(PlanLine)) error {
	p, err := newPlan(plan, newFiles(""))
	if err != nil {
		return err
	}
	c := planChecker{plan: p, limits: limitsOf(DefaultConfig().Limits, SourceLimits{})}
	in := bufio.NewReaderSize(events, 2*event.HardLimit)
	for line := 1; ; line++ {
		text, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			each(PlanLine{Line: line, Outcome: outcomeReject.String(), Refused: true, Code: event.CodeEventTooLarge, Violations: []string{"the line is too long for an event"}})
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
		case len(bytes.TrimSpace(text)) > 0:
			out := c.line(bytes.TrimSpace(text))
			out.Line = line
			each(out)
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

type planChecker struct {
	plan   *plan
	limits limits
	idx    index
	arena  arena
}

// line judges one event. Who sends to /v1/track writes no type: a name makes it a track call.
func (c *planChecker) line(text []byte) PlanLine {
	c.idx.reset()
	c.arena.reset()
	sc := scanner{b: text, idx: &c.idx, maxDepth: event.MaxDepth, maxEvents: 1}
	sc.single()
	ev := &c.idx.events[0]
	f, v := decide(text, &c.idx, ev, "", c.limits, &c.arena)
	if v.code == event.CodeMissingType && !isNull(f.val[fieldEvent].of(text)) {
		f, v = decide(text, &c.idx, ev, event.Track, c.limits, &c.arena)
	}
	out := PlanLine{Type: f.typ, Event: string(f.name)}
	if v.code != "" {
		if ev.problem != problemNone && ev.problem != problemNotObject {
			v.message = "byte " + strconv.Itoa(int(ev.at)) + ": " + v.message
		}
		out.Outcome, out.Refused, out.Code, out.Violations = outcomeReject.String(), true, v.code, []string{v.message}
		return out
	}
	left := planStepsRequest
	o, found := c.plan.judge(text, c.idx.top[ev.top.lo:ev.top.hi], &f, &left)
	out.Outcome, out.Refused = o.String(), o == outcomeReject || o == outcomeWouldReject
	if out.Refused {
		out.Code = refusalOf(found).code
	}
	for _, v := range found {
		out.Violations = append(out.Violations, v.String())
	}
	return out
}
