//go:build integration

package cdc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// marks are the schemas and polls that were announced, in order.
func (s *myShop) marks() (schemas []event.TableSchema, polls []event.Poll) {
	s.Helper()
	for _, h := range s.changes().headers {
		var err error
		switch h.Kind {
		case wire.KindSchema:
			var m event.TableSchema
			m, err = wire.DecodeTableSchema(h.Body)
			schemas = append(schemas, m)
		case wire.KindPoll:
			var m event.Poll
			m, err = wire.DecodePoll(h.Body)
			polls = append(polls, m)
		default:
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	return schemas, polls
}

// replaced waits for the end of a poll that replaces the mirror by n rows.
func (s *myShop) replaced(n int64) {
	s.Helper()
	testkit.Eventually(s.T, fmt.Sprintf("the mirror is replaced by %d rows", n), func() error {
		_, polls := s.marks()
		if !slices.ContainsFunc(polls, func(m event.Poll) bool {
			return m.Kind == event.PollFull && m.Publish == publishReplace && m.State == "completed" && m.Rows == n
		}) {
			return errors.New("no mark says so")
		}
		return nil
	})
}

// after waits until a row of the mirror holds a text.
func (s *myShop) after(id int, text string) {
	s.Helper()
	testkit.Eventually(s.T, fmt.Sprintf("row %d holds %s", id, text), func() error {
		if got := s.changes().mirror()[orderKey(id)]; !strings.Contains(got, text) {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
}

func TestMariaDBSchemaEvents(t *testing.T) {
	t.Parallel()
	last := func(s *myShop) event.TableSchema {
		s.Helper()
		schemas, _ := s.marks()
		return schemas[len(schemas)-1]
	}
	for name, f := range map[string]func(s *myShop){
		"column added": func(s *myShop) {
			s.sql("ALTER TABLE orders ADD COLUMN vat int DEFAULT 19, ALGORITHM=INSTANT")
			s.after(1, `"vat":19`) // by a backfill: no stamp has changed
		},
		"column added by copy": func(s *myShop) {
			s.sql("ALTER TABLE orders ADD COLUMN vat int, ALGORITHM=COPY")
			s.after(1, `"vat":null`)
		},
		"column dropped": func(s *myShop) {
			s.sql("ALTER TABLE orders DROP COLUMN pad, ALGORITHM=INPLACE; INSERT INTO orders (id, note) VALUES (3, 'c')")
			s.await(3, "c")
			if diff := cmp.Diff([]string{"pad"}, last(s).Dropped); diff != "" {
				s.Errorf("dropped (-want +got):\n%s", diff)
			}
		},
		"column renamed": func(s *myShop) {
			s.sql("ALTER TABLE orders RENAME COLUMN pad TO remark; INSERT INTO orders (id, note, remark) VALUES (3, 'c', 'x')")
			s.after(3, `"remark":"x"`)
			if diff := cmp.Diff(map[string]string{"pad": "remark"}, last(s).Renamed); diff != "" {
				s.Errorf("renamed (-want +got):\n%s", diff)
			}
		},
		"type changed": func(s *myShop) {
			s.sql("ALTER TABLE orders MODIFY pad int")
			s.replaced(2)
			if diff := cmp.Diff([]string{"pad"}, last(s).Retyped); diff != "" {
				s.Errorf("retyped (-want +got):\n%s", diff)
			}
		},
		"a bool turns out to be a number": func(s *myShop) {
			s.sql("INSERT INTO orders (id, note, paid) VALUES (3, 'c', 5)")
			s.after(3, `"paid":5`)
			s.replaced(3)
		},
		"character set changed": func(s *myShop) {
			s.sql("ALTER TABLE orders CONVERT TO CHARACTER SET latin1; INSERT INTO orders (id, note) VALUES (3, 'Grüße')")
			s.await(3, "Grüße")
		},
		"truncated": func(s *myShop) {
			s.sql("TRUNCATE orders; INSERT INTO orders (id, note) VALUES (9, 'z')")
			s.await(9, "z")
			s.replaced(1)
		},
		"swapped by rename": func(s *myShop) {
			s.sql("CREATE TABLE other LIKE orders; INSERT INTO other (id, note) VALUES (7, 'seven'); RENAME TABLE orders TO old, other TO orders")
			s.await(7, "seven")
			s.replaced(1)
		},
		"dropped and created again": func(s *myShop) {
			s.sql("DROP TABLE orders")
			s.sql(myEvents)
			s.sql("INSERT INTO orders (id, note) VALUES (7, 'seven')")
			s.await(7, "seven")
			s.replaced(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupMaria(t, myEvents)
			s.setByDatabase()
			s.edit(func(src *SourceConfig) {
				for n, c := range src.Tables {
					c.Columns.Rename = map[string]string{"pad": "remark"}
					src.Tables[n] = c
				}
			})
			s.run(nil)
			s.sql("INSERT INTO orders (id, note, paid) VALUES (1, 'a', 1), (2, 'b', 0)")
			s.await(2, "b")
			f(s)
		})
	}
}

const myEvents = `CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(200) NOT NULL, pad varchar(10), paid tinyint(1), updated_at datetime(6) NOT NULL DEFAULT now(6), KEY (updated_at))`

// A page has locked the definition before there is a snapshot: through an older
// snapshot a table that was made anew would be empty, or error 1412.
func TestMariaDBRewriteIsNeverAnEmptyTable(t *testing.T) {
	t.Parallel()
	s := setupMaria(t, myEvents)
	s.sql("INSERT INTO orders (id, note) VALUES (1, 'a'), (2, 'b')")
	o := s.origin(faults{})
	rel, err := o.describe(t.Context(), s.schema, "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	alter, done := s.connect(), make(chan error, 1)
	err = o.with(t.Context(), func(c *mysqlConn) error {
		return o.frame(t.Context(), c, &rel, func() error {
			go func() {
				_, err := alter.ExecContext(t.Context(), "TRUNCATE orders")
				done <- err
			}()
			testkit.Eventually(t, "TRUNCATE waits for the page", func() error {
				rows, err := o.survey(t.Context(), "SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata lock' AND info = 'TRUNCATE orders' AND db = '"+s.schema+"'")
				if err == nil && len(rows) == 0 {
					err = errors.New("it does not wait")
				}
				return err
			})
			rows, err := c.texts(t.Context(), "SELECT id FROM "+mysqlName(&rel))
			if len(rows) != 2 {
				t.Errorf("the page has %d rows, want 2", len(rows))
			}
			return err
		})
	})
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
}

// Sessions that the server ends, among them the sampler's and one in mid-page,
// cost nothing but time.
func TestMariaDBSessionsAreKilled(t *testing.T) {
	t.Parallel()
	s := setupMaria(t, myOrders)
	user := "k" + s.schema[len(s.schema)-20:]
	s.sql(fmt.Sprintf("CREATE USER %[1]s; GRANT SELECT ON %[2]s.* TO %[1]s; GRANT PROCESS ON *.* TO %[1]s", user, s.schema))
	s.Cleanup(func() { s.sql("DROP USER " + user) })
	s.edit(func(src *SourceConfig) {
		src.DSN = config.Secret(user + "@tcp(" + s.conf.Addr + ")/")
		src.Page.Start, src.Page.Min, src.Page.Max = 50, 50, 50
	})
	s.setByDatabase()
	s.sql("INSERT INTO orders SELECT seq, 'old', '2020-01-01' FROM seq_1_to_2000")
	stop := s.run(nil)
	for i := 3000; i < 3020; i++ {
		s.sql(fmt.Sprintf("INSERT INTO orders (id, note) VALUES (%d, 'new')", i))
		s.sql("KILL USER " + user)
	}
	s.await(3019, "new")
	testkit.Eventually(t, "all rows arrive", func() error {
		if n := len(s.changes().mirror()); n != 2020 {
			return fmt.Errorf("the mirror has %d rows", n)
		}
		return nil
	})
	stop()
	for v, n := range s.changes().versions() {
		if n > 2 { // the load and a poll beside it may each publish a version
			t.Errorf("version %s was published %d times", v, n)
		}
	}
}
