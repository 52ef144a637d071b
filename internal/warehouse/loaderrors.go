package warehouse

import (
	"context"
	"fmt"
	"strings"
)

// LoadError is what Redshift notes of a file that COPY refused.
type LoadError struct {
	File       string // its URL, cut after 256 bytes
	Column     string
	ColumnType string
	Words      string
}

// Names says whether the error is about the object at url.
func (e LoadError) Names(url string) bool {
	const noted = 256 // CHAR(256), of which blanks at the end are cut
	return e.File == url || len(e.File) >= noted-1 && strings.HasPrefix(url, e.File) || e.File == "" && strings.Contains(e.Words, url)
}

// loadErrorQueries ask for the newest errors of this session's COPYs. All are
// CHAR columns, padded with blanks. The first is there on every kind of
// cluster, the others on provisioned ones.
var loadErrorQueries = []string{
	"SELECT TRIM(file_name), TRIM(column_name), TRIM(column_type), TRIM(error_message) FROM sys_load_error_detail WHERE session_id = pg_backend_pid() ORDER BY start_time DESC LIMIT 20",
	"SELECT TRIM(filename), TRIM(colname), TRIM(type), TRIM(err_reason) FROM stl_load_errors WHERE session = pg_backend_pid() ORDER BY starttime DESC LIMIT 20",
	"SELECT '', '', '', TRIM(message) FROM svl_s3log WHERE pid = pg_backend_pid() ORDER BY eventtime DESC LIMIT 20",
}

// LoadErrors reads what Redshift notes of this session's failed COPYs, newest
// first, from the first of its views that answers with any. Views that are not
// there or not to be read are passed over; an error is the session's. It must
// not be called inside a transaction, which such a view would end.
func (c *Conn) LoadErrors(ctx context.Context) ([]LoadError, error) {
	for _, q := range loadErrorQueries {
		res, err := c.Exec(ctx, q)
		if err != nil {
			if class := Classify(err); class != ClassTarget {
				return nil, err
			}
			continue
		}
		if len(res.Rows) == 0 {
			continue
		}
		out := make([]LoadError, len(res.Rows))
		for i, row := range res.Rows {
			out[i] = LoadError{File: row[0], Column: row[1], ColumnType: row[2], Words: row[3]}
		}
		return out, nil
	}
	return nil, nil
}

// WriteLock returns the statement that waits for the lock of a transaction that
// writes into a table, and writes nothing. LOCK would keep readers out too.
func WriteLock(n Name) string { return "DELETE FROM " + n.SQL() + " WHERE FALSE" }

// Blocker returns, for people, which session keeps a table from being altered;
// empty if the server does not tell.
func (c *Conn) Blocker(ctx context.Context, n Name) (string, error) {
	res, err := c.Exec(ctx, "SELECT t.pid, TRIM(t.txn_owner), t.txn_start FROM svv_transactions t JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace"+
		" WHERE n.nspname = "+Literal(n.Schema)+" AND c.relname = "+Literal(n.Table)+" AND t.granted AND t.pid <> pg_backend_pid() ORDER BY t.txn_start LIMIT 1")
	if err != nil {
		if Classify(err) == ClassTarget {
			return "", nil // svv_transactions is not for everybody to read
		}
		return "", err
	}
	if len(res.Rows) == 0 {
		return "", nil
	}
	row := res.Rows[0]
	return fmt.Sprintf("session %s of %s has held %s since %s UTC; SELECT pg_terminate_backend(%s) ends it", row[0], row[1], n, row[2], row[0]), nil
}
