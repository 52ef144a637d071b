package cdc

import (
	"context"
	"fmt"
)

// Finding is something about a source that somebody should know.
type Finding struct {
	Source  string `json:"source"`
	Table   string `json:"table,omitempty"` // empty: of the source as a whole
	Code    string `json:"code"`            // stable; see docs/cdc.md
	Refused bool   `json:"refused"`         // the source or table will not be read; else a warning
	Text    string `json:"text"`
	Mend    string `json:"mend,omitempty"`
}

func (f Finding) String() string {
	where := f.Source
	if f.Table != "" {
		where += " " + f.Table
	}
	if f.Mend == "" {
		return fmt.Sprintf("%s: %s", where, f.Text)
	}
	return fmt.Sprintf("%s: %s; %s", where, f.Text, f.Mend)
}

// Check connects to each source of a valid cfg, read only, and returns what is
// wrong with it and how to mend it: connection, horizon, then each table.
func Check(ctx context.Context, cfg Config) []Finding {
	plans, err := Plan(ctx, cfg)
	if err != nil {
		return []Finding{{Code: "unsupported", Refused: true, Text: err.Error()}}
	}
	var out []Finding
	for _, p := range plans {
		out = append(out, p.Findings...)
		for _, t := range p.Tables {
			out = append(out, t.Findings...)
		}
	}
	return out
}
