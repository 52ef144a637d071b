package warehouse

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// WorkSchema is where the keys that bounded polls collect lie.
const WorkSchema = "millstream_work"

// PollState says how far the loader is with a poll.
type PollState string

// The states of a poll.
const (
	PollRunning PollState = "running" // started, and not complete in every partition
	PollDue     PollState = "due"     // complete; its swap or deletion is still to be done
	PollDone    PollState = "done"
	// PollCounts is a complete poll of which other rows came than cdc counted.
	// Nothing is deleted by it; the next one may do better.
	PollCounts PollState = "counts"
)

// Poll is what marks said of a poll of cdc in one partition, and what the
// loader has done for it.
type Poll struct {
	Target, ID, Strategy, Kind, Publish string
	Part, Parts                         int32
	Started, Completed                  int64 // offsets of the marks; -1: none seen
	Range                               string
	Rows                                int64 // the poll's changes in all partitions, by cdc's count
	CompleteThrough, DeletesThrough     time.Time
	Basis                               string
	State                               PollState
	Counted                             int64  // the poll's changes that came in this partition
	Work                                string // schema.table that gathers for it; empty: none yet
}

// Replaces says that rows which the poll did not bring go when it is complete.
func (p Poll) Replaces() bool { return p.Publish == "replace" }

// Counts says that the poll's changes are counted from its start to its end.
func (p Poll) Counts() bool { return p.Started >= 0 }

const pollColumns = "target, poll, strategy, kind, publish, part, parts, started_offset, completed_offset, range_json, rows, complete_through, deletes_through, basis, state, counted, work"

// Polls reads the polls of targets, or all of them, in the order of target,
// strategy, poll and partition.
func (c *Conn) Polls(ctx context.Context, targets ...string) ([]Poll, error) {
	s := "SELECT " + pollColumns + " FROM millstream.polls"
	if len(targets) > 0 {
		s += " WHERE target IN (" + literals(targets) + ")"
	}
	res, err := c.Exec(ctx, s+" ORDER BY 1, 3, 2, 6")
	if err != nil {
		return nil, err
	}
	out := make([]Poll, len(res.Rows))
	for i, row := range res.Rows {
		if out[i], err = readPoll(row); err != nil {
			return nil, fmt.Errorf("poll %s of %s: %w", row[1], row[0], err)
		}
	}
	return out, nil
}

func readPoll(row []string) (Poll, error) {
	p := Poll{
		Target: row[0], ID: row[1], Strategy: row[2], Kind: row[3], Publish: row[4], Started: -1, Completed: -1, Range: row[9],
		Basis: row[13], State: PollState(row[14]), Work: row[16],
	}
	part, parts := int64(0), int64(0)
	for _, f := range []struct {
		text string
		into *int64
	}{{row[5], &part}, {row[6], &parts}, {row[7], &p.Started}, {row[8], &p.Completed}, {row[10], &p.Rows}, {row[15], &p.Counted}} {
		if f.text == "" {
			continue
		}
		n, err := strconv.ParseInt(f.text, 10, 64)
		if err != nil {
			return p, err
		}
		*f.into = n
	}
	p.Part, p.Parts = int32(part), int32(parts) //nolint:gosec // the columns are INT
	for i, into := range []*time.Time{&p.CompleteThrough, &p.DeletesThrough} {
		text := row[11+i]
		if text == "" {
			continue
		}
		at, err := time.Parse("2006-01-02 15:04:05.999999", text)
		if err != nil {
			return p, err
		}
		*into = at
	}
	return p, nil
}

// Same says that the ledger would have p and q as one row.
func (p Poll) Same(q Poll) bool { return p.values() == q.values() }

func (p Poll) values() string {
	return fmt.Sprintf("(%s, %s, %s, %s, %s, %d, %d, %s, %s, %s, %d, %s, %s, %s, %s, %d, %s)", Literal(p.Target), Literal(p.ID), Literal(p.Strategy), Literal(p.Kind), Literal(p.Publish),
		p.Part, p.Parts, offsetOrNull(p.Started), offsetOrNull(p.Completed), Literal(cut(p.Range, 4096)), p.Rows, microsOrNull(p.CompleteThrough), microsOrNull(p.DeletesThrough),
		Literal(p.Basis), Literal(string(p.State)), p.Counted, Literal(p.Work))
}

// ReplacePolls returns the statements that make polls all that there are of a
// target.
func ReplacePolls(target string, polls []Poll) []string {
	out := []string{"DELETE FROM millstream.polls WHERE target = " + Literal(target)}
	if len(polls) == 0 {
		return out
	}
	return append(out, "INSERT INTO millstream.polls ("+pollColumns+") VALUES "+join(polls, ", ", Poll.values))
}

func offsetOrNull(n int64) string {
	if n < 0 {
		return "NULL"
	}
	return strconv.FormatInt(n, 10)
}

// microsOrNull keeps the microseconds: a watermark must not be rounded up.
func microsOrNull(t time.Time) string {
	if t.IsZero() {
		return "NULL"
	}
	return t.UTC().Format(`'2006-01-02 15:04:05.000000'`)
}
