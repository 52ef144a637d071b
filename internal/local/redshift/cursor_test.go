//go:build cgo

package redshift

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

func TestCursors(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.n (i INT)", "INSERT INTO n SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
	c.fails("25P01", "DECLARE c CURSOR FOR SELECT i FROM n")
	c.do("BEGIN", "DECLARE c CURSOR FOR SELECT i FROM n ORDER BY i")
	if got := c.rows("FETCH FORWARD 2 FROM c"); len(got) != 2 || got[1] != "2" {
		t.Errorf("fetch 2: got %v", got)
	}
	if got := c.one("SELECT count(*) FROM n"); got != "3" {
		t.Errorf("beside the cursor: got %s", got)
	}
	if got := c.rows("FETCH ALL FROM c"); len(got) != 1 || got[0] != "3" {
		t.Errorf("fetch the rest: got %v", got)
	}
	if got := c.rows("FETCH NEXT FROM c"); len(got) != 0 {
		t.Errorf("behind the end: got %v", got)
	}
	c.do("CLOSE c", "DECLARE d CURSOR FOR SELECT i FROM n", "COMMIT")
	c.fails("34000", "FETCH 1 FROM d")
	c.do("BEGIN", "DECLARE c CURSOR FOR SELECT 1")
	c.fails("0A000", "DECLARE d CURSOR FOR SELECT 1")
	c.do("ROLLBACK", "BEGIN", "DECLARE c CURSOR FOR SELECT 1")
	c.fails("42601", "FETCH BACKWARD 1 FROM c")
	c.do("ROLLBACK")
}

// JDBC's setFetchSize: a portal is read in turns, with a Sync and other statements between them.
func TestPortalOutlivesSyncInABlock(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.n (i INT)", "INSERT INTO n SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", "BEGIN")
	front := c.PgConn().Frontend()
	turn := func(messages ...pgproto3.FrontendMessage) (rows int, end string) {
		t.Helper()
		for _, m := range append(messages, &pgproto3.Sync{}) {
			front.Send(m)
		}
		if err := front.Flush(); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := front.Receive()
			if err != nil {
				t.Fatal(err)
			}
			switch m := m.(type) {
			case *pgproto3.DataRow:
				rows++
			case *pgproto3.PortalSuspended:
				end = "suspended"
			case *pgproto3.CommandComplete:
				end = string(m.CommandTag)
			case *pgproto3.ErrorResponse:
				end = m.Message
			case *pgproto3.ReadyForQuery:
				return rows, end
			}
		}
	}
	if rows, end := turn(&pgproto3.Parse{Name: "s", Query: "SELECT i FROM n ORDER BY i"}, &pgproto3.Bind{PreparedStatement: "s", DestinationPortal: "p"},
		&pgproto3.Execute{Portal: "p", MaxRows: 2}); rows != 2 || end != "suspended" {
		t.Errorf("first turn: %d rows, %s", rows, end)
	}
	if rows, end := turn(&pgproto3.Parse{Query: "SELECT 7"}, &pgproto3.Bind{}, &pgproto3.Execute{}); rows != 1 || end != "SELECT 1" {
		t.Errorf("beside it: %d rows, %s", rows, end)
	}
	if rows, end := turn(&pgproto3.Execute{Portal: "p", MaxRows: 2}); rows != 1 || end != "SELECT 3" {
		t.Errorf("second turn: %d rows, %s", rows, end)
	}
	if _, end := turn(&pgproto3.Parse{Query: "COMMIT"}, &pgproto3.Bind{}, &pgproto3.Execute{}); end != "COMMIT" {
		t.Errorf("end: %s", end)
	}
	if _, end := turn(&pgproto3.Execute{Portal: "p"}); end != `portal "p" does not exist` {
		t.Errorf("after COMMIT: %s", end)
	}
}
