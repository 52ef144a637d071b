package warehouse

import (
	"context"
	"fmt"
	"time"
)

// WholeTarget is the file key under which a target is held as a whole.
const WholeTarget = "*"

// NothingHeld is the file key of a row that holds nothing and tells people of a
// target whose loads are put off.
const NothingHeld = ""

// Skipped is the reason of a file that somebody gave up for good.
const Skipped = "skipped"

// Held is work that waits for somebody to mend something: a file, with FileKey
// "*" all of a target's commits of a chain from First on, or with FileKey "" no
// work at all: then Error says whom the target's loads wait for.
type Held struct {
	Target   string
	Chain    Chain
	First    int64
	FileKey  string
	Reason   string
	Error    string
	Since    time.Time
	Attempts int
	Age      time.Duration // since the last attempt's entry, by the server's clock
}

// Held reads what is held.
func (c *Conn) Held(ctx context.Context) ([]Held, error) {
	res, err := c.Exec(ctx, "SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held")
	if err != nil {
		return nil, err
	}
	out := make([]Held, len(res.Rows))
	for i, row := range res.Rows {
		n, err := numbers(row[2], row[3], row[7], row[8])
		if err != nil {
			return nil, fmt.Errorf("held %s: %w", row[0], err)
		}
		out[i] = Held{
			Target: row[0], Chain: Chain{row[1], int32(n[0])}, First: n[1], FileKey: row[4], Reason: row[5], Error: row[6], //nolint:gosec // a partition is an int32
			Attempts: int(n[2]), Age: time.Duration(n[3]) * time.Second,
		}
	}
	return out, nil
}

// InsertHeld returns the statement that adds to what is held.
func InsertHeld(held []Held) string {
	return "INSERT INTO millstream.held (target, topic, part, first_offset, file_key, reason, error, since, attempts) VALUES " + join(held, ", ", func(h Held) string {
		return fmt.Sprintf("(%s, %s, %d, %d, %s, %s, %s, GETDATE(), %d)", Literal(h.Target), Literal(h.Chain.Topic), h.Chain.Part, h.First,
			Literal(h.FileKey), Literal(cut(h.Reason, 64)), Literal(cut(h.Error, 4096)), h.Attempts)
	})
}

// ReleaseTarget returns the statement that lets go of a target held as a whole.
func ReleaseTarget(target string) string {
	return fmt.Sprintf("DELETE FROM millstream.held WHERE target = %s AND file_key = '*'", Literal(target))
}

// ReleaseFile returns the statement that lets go of a file.
func ReleaseFile(target, key string) string {
	return fmt.Sprintf("DELETE FROM millstream.held WHERE target = %s AND file_key = %s", Literal(target), Literal(key))
}

// RetriedTarget returns the statement that notes another failure of a target
// that is held.
func RetriedTarget(target, reason, words string) string {
	return fmt.Sprintf("UPDATE millstream.held SET attempts = attempts + 1, reason = %s, error = %s WHERE target = %s AND file_key = '*'",
		Literal(cut(reason, 64)), Literal(cut(words, 4096)), Literal(target))
}

// RetriedFile returns the statement that notes another failure of a held file.
func RetriedFile(target, key, words string) string {
	return fmt.Sprintf("UPDATE millstream.held SET attempts = attempts + 1, error = %s WHERE target = %s AND file_key = %s AND reason <> %s",
		Literal(cut(words, 4096)), Literal(target), Literal(key), Literal(Skipped))
}

// NotTried returns the statement that notes that what is held under key could
// not even be tried; what was said of it stays.
func NotTried(target, key string) string {
	return fmt.Sprintf("UPDATE millstream.held SET attempts = attempts + 1 WHERE target = %s AND file_key = %s AND reason <> %s",
		Literal(target), Literal(key), Literal(Skipped))
}

// Blocked returns the statements that tell people whom a target's loads wait
// for.
func Blocked(target, reason, words string) []string {
	return []string{Unblocked(target), InsertHeld([]Held{{Target: target, FileKey: NothingHeld, Reason: reason, Error: words}})}
}

// Unblocked returns the statement that takes back what Blocked said.
func Unblocked(target string) string { return ReleaseFile(target, NothingHeld) }

// RetryHeld returns the statement that has what is held of a target tried in
// the next wave.
func RetryHeld(target string) string {
	return fmt.Sprintf("UPDATE millstream.held SET attempts = 0 WHERE target = %s AND file_key <> %s AND reason <> %s", Literal(target), Literal(NothingHeld), Literal(Skipped))
}

// SkipFile returns the statement that gives up on a held file for good. What
// Redshift said of it stays behind the reason why.
func SkipFile(h Held, why string) string {
	return fmt.Sprintf("UPDATE millstream.held SET reason = %s, error = %s WHERE target = %s AND file_key = %s",
		Literal(Skipped), Literal(cut(why+" | "+h.Error, 4096)), Literal(h.Target), Literal(h.FileKey))
}
