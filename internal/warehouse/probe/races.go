package probe

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// loadErrorDetail reads what the loader asks after a COPY that failed, to find the file at fault.
func loadErrorDetail(ctx context.Context, _ *run, c *warehouse.Conn) (string, error) {
	found, err := c.LoadErrors(ctx)
	if err != nil || len(found) == 0 {
		return "nothing", err
	}
	e := found[0]
	var has []string
	for _, part := range []struct {
		is   bool
		name string
	}{{strings.HasSuffix(e.File, ".parquet"), "file"}, {e.Column != "", "column"}, {e.Words != "", "words"}} {
		if part.is {
			has = append(has, part.name)
		}
	}
	return strings.Join(has, ", "), nil
}

// lostInCommit sends COMMIT and goes away without its answer: the rows are there as a whole or not at all.
func lostInCommit(ctx context.Context, r *run) (string, error) {
	return r.sessions(ctx, 2, func(c []*warehouse.Conn) (string, error) {
		if err := r.exec(ctx, c[0], "CREATE TABLE {s}.gate4 (n INT)", "CREATE TABLE {s}.lost1 (n INT)", "BEGIN", "LOCK TABLE {s}.gate4", "INSERT INTO {s}.lost1 VALUES (1), (2)"); err != nil {
			return "", err
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_ = r.exec(short, c[0], "COMMIT") // its outcome is what is asked below
		c[0].Close()
		if err := r.exec(ctx, c[1], "SET statement_timeout TO 300000", "BEGIN", "LOCK TABLE {s}.gate4"); err != nil {
			return "", err
		}
		res, err := c[1].Exec(ctx, r.fill("SELECT CASE COUNT(*) WHEN 0 THEN 'all or nothing' WHEN 2 THEN 'all or nothing' ELSE 'a part' END FROM {s}.lost1", ""))
		return answer(res), err
	})
}

// swapUnderReader renames a table that another session's open transaction has read.
func swapUnderReader(ctx context.Context, r *run) (string, error) {
	return r.sessions(ctx, 2, func(c []*warehouse.Conn) (string, error) {
		if err := r.exec(ctx, c[0], "CREATE TABLE {s}.read1 (n INT)", "INSERT INTO {s}.read1 VALUES (1)", "BEGIN", "SELECT n FROM {s}.read1"); err != nil {
			return "", err
		}
		err := r.exec(ctx, c[1], "SET statement_timeout TO 2000", "BEGIN", "ALTER TABLE {s}.read1 RENAME TO read1__old")
		if err == nil {
			return "does not wait", nil
		}
		if warehouse.Classify(err) != warehouse.ClassSlow {
			return "", err
		}
		if err := r.exec(ctx, c[0], "COMMIT"); err != nil {
			return "", err
		}
		if err := r.exec(ctx, c[1], "ROLLBACK", "SET statement_timeout TO 60000", "ALTER TABLE {s}.read1 RENAME TO read1__old"); err != nil {
			return "", err
		}
		return "waits for the reader's transaction", nil
	})
}

// writeSkew has two sessions each read what the other one writes: the serializable level refuses one of them, with what
// the loader takes for a conflict.
func writeSkew(ctx context.Context, r *run) (string, error) {
	return r.sessions(ctx, 2, func(c []*warehouse.Conn) (string, error) {
		if err := r.exec(ctx, c[0], "CREATE TABLE {s}.skew1 (n INT)", "CREATE TABLE {s}.skew2 (n INT)"); err != nil {
			return "", err
		}
		level, err := c[0].Exec(ctx, "SELECT isolation_level FROM stv_db_isolation_level WHERE db_name = current_database()")
		if err != nil {
			return "", err
		}
		for i, read := range []string{"skew1", "skew2"} {
			if err := r.exec(ctx, c[i], "BEGIN", "SELECT COUNT(*) FROM {s}."+read); err != nil {
				return "", err
			}
		}
		errs := []error{r.exec(ctx, c[0], "INSERT INTO {s}.skew2 VALUES (1)", "COMMIT"), r.exec(ctx, c[1], "INSERT INTO {s}.skew1 VALUES (1)", "COMMIT")}
		serializable := strings.Contains(strings.ToLower(answer(level)), "serializable")
		switch err := errors.Join(errs...); {
		case err == nil && serializable:
			return "both commit, although serializable", nil
		case err != nil && !serializable:
			return "", err
		case err != nil && warehouse.Classify(err) != warehouse.ClassConflict:
			return "", err
		}
		return "as the level says", nil
	})
}
