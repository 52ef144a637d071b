package warehouse

import (
	"context"
	"fmt"
	"time"
)

// Days are the received_at of a reload, From inclusive and To exclusive; zero
// times stand for all of them.
type Days struct{ From, To time.Time }

// All says that there is no bound.
func (d Days) All() bool { return d.From.IsZero() }

func (d Days) where() string {
	if d.All() {
		return ""
	}
	return fmt.Sprintf(" AND received_at >= %s AND received_at < %s", Time(d.From), Time(d.To))
}

// DeleteDays returns the statements that take the rows of some days, and what
// was said of their duplicates, out of a target.
func DeleteDays(n Name, d Days) []string {
	return []string{DeleteDuplicates(n, d), fmt.Sprintf("DELETE FROM %s WHERE TRUE%s", n.SQL(), d.where())}
}

// DeleteDuplicates returns the statement that forgets the duplicates of a
// target.
func DeleteDuplicates(n Name, d Days) string {
	return fmt.Sprintf("DELETE FROM millstream.duplicates WHERE target = %s%s", Literal(n.String()), d.where())
}

// RenameDuplicates returns the statement that gives the duplicates of one
// target to another.
func RenameDuplicates(from, to Name) string {
	return fmt.Sprintf("UPDATE millstream.duplicates SET target = %s WHERE target = %s", Literal(to.String()), Literal(from.String()))
}

// ReleaseBelow returns the statement that lets go of a target that is held as a
// whole below an offset of a chain.
func ReleaseBelow(target string, id Chain, next int64) string {
	return fmt.Sprintf("DELETE FROM millstream.held WHERE target = %s AND file_key = '*' AND topic = %s AND part = %d AND first_offset < %d",
		Literal(target), Literal(id.Topic), id.Part, next)
}

// CountRows returns how many rows of some days a target and the duplicates of it
// hold together.
func (c *Conn) CountRows(ctx context.Context, n Name, d Days) (int64, error) {
	res, err := c.Exec(ctx, fmt.Sprintf("SELECT (SELECT COUNT(*) FROM %s WHERE TRUE%s) + (SELECT COUNT(*) FROM millstream.duplicates WHERE target = %s%s)", n.SQL(), d.where(), Literal(n.String()), d.where()))
	if err != nil {
		return 0, err
	}
	counts, err := numbers(res.Rows[0][0])
	if err != nil {
		return 0, fmt.Errorf("rows of %s: %w", n, err)
	}
	return counts[0], nil
}
