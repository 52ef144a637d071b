package cdc

import (
	"fmt"
	"io"
	"time"
)

// WriteText writes the status for people.
func (s SourceStatus) WriteText(w io.Writer) error {
	t := &textWriter{w: w}
	t.line("%s", s.Source)
	for _, slot := range s.Slots {
		owner := slot.Owner
		if owner == "" {
			owner = "nobody yet"
		}
		t.line("  slot %d: fence %d, last written by %s", slot.Slot, slot.Fence, owner)
		if slot.T0 != "" {
			held := parseStamp(slot.T0).Sub(parseStamp(slot.Raw))
			line := fmt.Sprintf("  origin %s: sampled at %s", slot.Server, slot.T0)
			if held > 0 && slot.Holder != "" {
				line += fmt.Sprintf("; %s holds the horizon back by %s", slot.Holder, shortDuration(held.Round(time.Millisecond)))
			}
			t.line("%s", line)
		}
	}
	for _, table := range s.Tables {
		t.status(table)
	}
	return t.err
}

func (t *textWriter) status(s TableStatus) {
	through := "not complete yet"
	if s.CompleteThrough != "" {
		through = fmt.Sprintf("complete through %s (%s ago, by %s)", s.CompleteThrough, age(s.AgeSeconds), s.Basis)
	}
	t.line("\n  %s: %s, %s", s.Table, s.State, through)
	if s.DeletesThrough != "" {
		t.line("    deletes through %s", s.DeletesThrough)
	}
	if s.Stopped != nil {
		t.line("    STOPPED %s since %s: %s", s.Stopped.Code, s.Stopped.Since, s.Stopped.Text)
		if s.Stopped.Mend != "" {
			t.line("      mend: %s", s.Stopped.Mend)
		}
	}
	if s.Order != "" {
		t.line("    order: %s, not obeyed yet", s.Order)
	}
	if s.State == "orphaned" {
		t.line("    not in the configuration any more; its state stays until millstream cdc forget")
	}
	if s.Planned != "" {
		t.line("    planned: %s", s.Planned)
	}
	if l := s.Load; l != nil {
		t.line("    %s: %s rows since %s, %s rows/s, %d of %d ranges done", l.Kind, thousands(l.Rows), l.Started, thousands(int64(l.Rate)), l.Done, l.Ranges)
	}
	for _, st := range s.Strategies {
		line := fmt.Sprintf("    %s: complete to %s", st.Name, st.H)
		if st.H == "" {
			line = fmt.Sprintf("    %s: no poll is complete yet", st.Name)
		}
		if st.Cursor != "" {
			line += ", ids to " + st.Cursor
		}
		if st.Polling {
			line += fmt.Sprintf(", polling (%s rows so far)", thousands(st.Rows))
		} else if st.Next != "" {
			line += ", next poll at " + st.Next
		}
		if st.Remembers > 0 {
			line += fmt.Sprintf(", remembers %s rows", thousands(int64(st.Remembers)))
		}
		t.line("%s", line)
	}
}

func age(seconds float64) string {
	return shortDuration(time.Duration(seconds * float64(time.Second)).Round(time.Second))
}
