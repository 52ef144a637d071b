package loader

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

func pollOf(id warehouse.Chain, m lake.Mark) warehouse.Poll {
	p := warehouse.Poll{
		Target: m.Target, ID: m.Poll.Poll, Strategy: m.Strategy, Kind: string(m.Kind), Publish: m.Publish,
		Part: id.Part, Parts: int32(min(m.Parts, 1<<20)), Started: -1, Completed: -1, Rows: m.Rows, Basis: m.Basis, //nolint:gosec // bounded
	}
	if m.State == "started" {
		p.Started = m.Offset
	} else {
		p.Completed = m.Offset
	}
	if m.Range != nil {
		b, _ := json.Marshal(m.Range) // three texts
		p.Range = string(b)
	}
	if m.CompleteThrough != nil {
		p.CompleteThrough = *m.CompleteThrough
	}
	if m.DeletesThrough != nil {
		p.DeletesThrough = *m.DeletesThrough
	}
	return p
}

// lastPolls returns what marks come to: of each strategy and partition the poll
// that was last heard of. A backlog may hold thousands, and each costs two
// statements behind the gate.
func lastPolls(marks []warehouse.Poll) []warehouse.Poll {
	var out []warehouse.Poll
	at := map[string]int{}
	for _, m := range marks {
		key := fmt.Sprintf("%d/%s", m.Part, m.Strategy)
		i, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, m)
			continue
		}
		if out[i].ID == m.ID && m.Completed >= 0 {
			m.Started = out[i].Started
		}
		out[i] = m
	}
	return out
}

// polls notes what a load's marks say.
func (s *session) polls(ctx context.Context, w *work) error {
	for _, p := range lastPolls(w.marks) {
		if err := s.conn.WritePoll(ctx, p); err != nil {
			return err
		}
	}
	return nil
}
