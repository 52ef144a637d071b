//go:build integration

package cdc

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
)

// myShop is a shop whose database is one of the MariaDB server that
// MILLSTREAM_TEST_MARIADB names.
type myShop struct {
	*shop
	conf   *mysql.Config
	pool   *sql.DB // sessions of the application, in UTC and in the database
	conn   *sql.Conn
	schema string
}

func setupMaria(t *testing.T, ddl string) *myShop {
	t.Helper()
	dsn := os.Getenv("MILLSTREAM_TEST_MARIADB")
	if dsn == "" {
		t.Fatal("MILLSTREAM_TEST_MARIADB must be the DSN of a superuser of a MariaDB server")
	}
	conf, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	s := &myShop{shop: setup(t, orders), conf: conf, schema: "t" + strings.ToLower(event.ULID(time.Now()))}
	s.pool = s.open("")
	s.conn = s.connect()
	s.sql("CREATE DATABASE " + s.schema + " CHARACTER SET utf8mb4")
	s.pool = s.open(s.schema)
	s.Cleanup(func() { s.sql("DROP DATABASE " + s.schema) })
	s.sql("USE " + s.schema)
	s.sql(ddl)
	s.edit(func(src *SourceConfig) {
		src.Kind, src.DSN = kindMariaDB, config.Secret(dsn)
		src.Tables = map[string]TableConfig{s.schema + ".orders": polled("updated_at", "")}
	})
	return s
}

// open makes a pool of the application's sessions, in UTC.
func (s *myShop) open(database string) *sql.DB {
	s.Helper()
	conf := s.conf.Clone()
	conf.DBName = database
	conf.MultiStatements = true
	conf.Params = map[string]string{"time_zone": "'+00:00'"}
	connector, err := mysql.NewConnector(conf)
	if err != nil {
		s.Fatal(err)
	}
	db := sql.OpenDB(connector)
	s.Cleanup(func() { _ = db.Close() })
	return db
}

// connect opens a session of its own, which lasts until the test ends.
func (s *myShop) connect() *sql.Conn {
	s.Helper()
	c, err := s.pool.Conn(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return c
}

// hangUp ends a session as a crash of the application would.
func hangUp(c *sql.Conn) {
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.Close() // it is gone
}

func (s *myShop) sql(text string) { s.Helper(); s.sqlOn(s.conn, text) }

func (s *myShop) sqlOn(c *sql.Conn, text string) {
	s.Helper()
	if _, err := c.ExecContext(context.WithoutCancel(s.Context()), text); err != nil {
		s.Fatalf("%s: %v", text, err)
	}
}

func (s *myShop) changes() seen { return s.topicOf(s.schema, "orders") }

func (s *myShop) await(id int, want string) {
	s.Helper()
	testkit.Eventually(s.T, fmt.Sprintf("order %d reaches the topic", id), func() error {
		if got := s.changes().notes()[orderKey(id)]; got != want {
			return fmt.Errorf("note of order %d: got %q, want %q", id, got, want)
		}
		return nil
	})
}

const myOrders = `CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(200), updated_at datetime(6) NOT NULL DEFAULT now(6), KEY (updated_at))`

// setByDatabase says that stamps are the server's.
func (s *myShop) setByDatabase() {
	s.edit(func(src *SourceConfig) {
		for n, c := range src.Tables {
			c.Clock.SetBy = byDatabase
			src.Tables[n] = c
		}
	})
}

func TestMariaDBRowsReachTheTopic(t *testing.T) {
	t.Parallel()
	s := setupMaria(t, myOrders)
	s.setByDatabase()
	s.sql("INSERT INTO orders SELECT seq, 'old', '2020-01-01' FROM seq_1_to_40")
	stop := s.run(nil)
	s.await(40, "old")
	s.sql("INSERT INTO orders (id, note) VALUES (100, 'new')")
	s.await(100, "new")
	s.sql("UPDATE orders SET note = 'changed', updated_at = now(6) WHERE id = 3")
	s.await(3, "changed")
	stop()
	got := s.changes()
	if n := len(got.mirror()); n != 41 {
		t.Errorf("mirror has %d rows, want 41", n)
	}
	for v, n := range got.versions() {
		if n != 1 {
			t.Errorf("version %s was published %d times", v, n)
		}
	}
}
