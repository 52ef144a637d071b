//go:build integration

package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// pgShop is a shop whose database is a schema of the server that
// MILLSTREAM_TEST_POSTGRES names.
type pgShop struct {
	*shop
	conn   *pgconn.PgConn
	schema string
}

func setupPG(t *testing.T, ddl string) *pgShop {
	t.Helper()
	dsn := os.Getenv("MILLSTREAM_TEST_POSTGRES")
	if dsn == "" {
		t.Fatal("MILLSTREAM_TEST_POSTGRES must be the DSN of a superuser of a PostgreSQL server")
	}
	s := &pgShop{shop: setup(t, orders), schema: "t" + strings.ToLower(event.ULID(time.Now()))}
	s.conn = s.connect()
	s.sql(fmt.Sprintf("CREATE SCHEMA %s; SET search_path = %s; %s", s.schema, s.schema, ddl))
	s.Cleanup(func() { s.sql("DROP SCHEMA " + s.schema + " CASCADE") })
	s.edit(func(src *SourceConfig) {
		src.Kind, src.DSN = kindPostgres, config.Secret(dsn)
		src.Tables = map[string]TableConfig{s.schema + ".orders": polled("updated_at", "")}
	})
	return s
}

func (s *pgShop) connect() *pgconn.PgConn {
	s.Helper()
	c, err := pgconn.Connect(s.Context(), os.Getenv("MILLSTREAM_TEST_POSTGRES"))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close(context.WithoutCancel(s.Context())) })
	return c
}

func (s *pgShop) sql(text string) { s.Helper(); s.sqlOn(s.conn, text) }

func (s *pgShop) sqlOn(c *pgconn.PgConn, text string) {
	s.Helper()
	if _, err := c.Exec(context.WithoutCancel(s.Context()), text).ReadAll(); err != nil {
		s.Fatalf("%s: %v", text, err)
	}
}

func (s *pgShop) changes() seen { return s.topicOf(s.schema, "orders") }

func (s *pgShop) await(id int, want string) {
	s.Helper()
	testkit.Eventually(s.T, fmt.Sprintf("order %d reaches the topic", id), func() error {
		if got := s.changes().notes()[orderKey(id)]; got != want {
			return fmt.Errorf("note of order %d: got %q, want %q", id, got, want)
		}
		return nil
	})
}

const pgOrders = `CREATE TABLE orders (id bigint PRIMARY KEY, note text, updated_at timestamptz NOT NULL DEFAULT now()); CREATE INDEX ON orders (updated_at, id)`

func TestPostgresRowsReachTheTopic(t *testing.T) {
	t.Parallel()
	s := setupPG(t, pgOrders)
	s.sql("INSERT INTO orders SELECT i, 'old', '2020-01-01' FROM generate_series(1, 40) i")
	stop := s.run(nil)
	s.await(40, "old")
	s.sql("INSERT INTO orders VALUES (100, 'new')")
	s.await(100, "new")
	s.sql("UPDATE orders SET note = 'changed', updated_at = now() WHERE id = 3")
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

// A transaction that is open across polls commits rows with stamps below
// everything that was published since: they must arrive, and no watermark may
// pass the transaction's begin while it is open.
func TestLongTransaction(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"activity", "locks"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s := setupPG(t, pgOrders)
			s.edit(func(src *SourceConfig) {
				src.Horizon.Method = method
				for n, c := range src.Tables {
					c.Clock.SetBy = byDatabase
					src.Tables[n] = c
				}
			})
			s.run(nil)
			s.sql("INSERT INTO orders VALUES (1, 'first')")
			s.await(1, "first")
			long := s.connect()
			s.sqlOn(long, fmt.Sprintf("SET search_path = %s; BEGIN; INSERT INTO orders VALUES (2, 'late')", s.schema))
			began := time.Now()
			for i := 10; i < 14; i++ {
				s.sql(fmt.Sprintf("INSERT INTO orders VALUES (%d, 'meanwhile')", i))
				s.await(i, "meanwhile")
			}
			for _, h := range s.changes().headers {
				if h.Kind != wire.KindPoll {
					continue
				}
				m, err := wire.DecodePoll(h.Body)
				if err != nil {
					t.Fatal(err)
				}
				if m.CompleteThrough != nil && parseStamp(*m.CompleteThrough).After(began) {
					t.Errorf("watermark %s passed the open transaction's begin %s (basis %s)", *m.CompleteThrough, began, m.Basis)
				}
			}
			s.sqlOn(long, "COMMIT")
			s.await(2, "late")
			for v, n := range s.changes().versions() {
				if n != 1 {
					t.Errorf("version %s was published %d times", v, n)
				}
			}
		})
	}
}

func TestPreparedTransactions(t *testing.T) {
	t.Parallel()
	s := setupPG(t, pgOrders)
	s.edit(func(src *SourceConfig) {
		for n, c := range src.Tables {
			c.Clock.SetBy = byDatabase
			src.Tables[n] = c
		}
	})
	s.run(nil)
	s.sql("INSERT INTO orders VALUES (1, 'first')")
	s.await(1, "first")
	other := s.connect()
	s.sqlOn(other, fmt.Sprintf("SET search_path = %s; BEGIN; INSERT INTO orders VALUES (2, 'late'); PREPARE TRANSACTION '%s'", s.schema, s.schema))
	_ = other.Close(t.Context())
	for i := 10; i < 13; i++ {
		s.sql(fmt.Sprintf("INSERT INTO orders VALUES (%d, 'meanwhile')", i))
		s.await(i, "meanwhile")
	}
	s.sql("COMMIT PREPARED '" + s.schema + "'")
	s.await(2, "late")
}

// Ids are drawn before commits: an id below the largest one comes late.
func TestLateID(t *testing.T) {
	t.Parallel()
	s := setupPG(t, `CREATE TABLE orders (id bigserial PRIMARY KEY, note text)`)
	s.edit(func(src *SourceConfig) { src.Tables = map[string]TableConfig{s.schema + ".orders": polled("", "id")} })
	s.run(nil)
	s.sql("INSERT INTO orders (note) VALUES ('first')")
	s.await(1, "first")
	long := s.connect()
	s.sqlOn(long, fmt.Sprintf("SET search_path = %s; BEGIN; INSERT INTO orders (note) VALUES ('late')", s.schema))
	for i := 3; i < 6; i++ {
		s.sql("INSERT INTO orders (note) VALUES ('meanwhile')")
		s.await(i, "meanwhile")
	}
	s.sqlOn(long, "COMMIT")
	s.await(2, "late")
}

func TestPostgresSchemaEvents(t *testing.T) {
	t.Parallel()
	s := setupPG(t, pgOrders)
	s.run(nil)
	s.sql("INSERT INTO orders (id, note) VALUES (1, 'a')")
	s.await(1, "a")
	s.sql("ALTER TABLE orders ADD COLUMN vat int DEFAULT 19; ALTER TABLE orders RENAME COLUMN note TO remark; INSERT INTO orders (id, remark) VALUES (2, 'b')")
	want := `{"id":1,"remark":"a","updated_at":`
	testkit.Eventually(t, "the backfill publishes the default", func() error {
		got := s.changes().mirror()[orderKey(1)]
		if !strings.HasPrefix(got, want) || !strings.Contains(got, `"vat":19`) {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	var last event.TableSchema
	for _, h := range s.changes().headers {
		if h.Kind == wire.KindSchema {
			var err error
			if last, err = wire.DecodeTableSchema(h.Body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(map[string]string{"note": "remark"}, last.Renamed); last.Version != 2 || diff != "" {
		t.Errorf("schema mark: got version %d, renamed (-want +got):\n%s", last.Version, diff)
	}
}

func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := setupPG(t, pgOrders)
	role := "r" + s.schema
	s.sql(fmt.Sprintf("CREATE ROLE %s LOGIN; GRANT USAGE ON SCHEMA %s TO %s", role, s.schema, role))
	s.Cleanup(func() { s.sql("DROP OWNED BY " + role + "; DROP ROLE " + role) })
	dsn, err := pgconn.ParseConfig(os.Getenv("MILLSTREAM_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	s.edit(func(src *SourceConfig) {
		src.DSN = config.Secret(fmt.Sprintf("host=%s port=%d user=%s dbname=%s", dsn.Host, dsn.Port, role, dsn.Database))
	})
	findings := Check(t.Context(), s.cfg)
	if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Refused && strings.Contains(f.Mend, "GRANT SELECT ON") }) {
		t.Errorf("check without SELECT: got %+v, want the grant", findings)
	}
	s.run(nil)
	s.sql("INSERT INTO orders VALUES (1, 'a')")
	s.sql(fmt.Sprintf("GRANT SELECT ON orders TO %s", role))
	s.await(1, "a")
}

// Each type's value, as the topic and its schema mark show it.
func TestPostgresTypes(t *testing.T) {
	t.Parallel()
	cases := []struct{ typ, value, want, lake, adjusted string }{
		{"boolean", "true", "true", "bool", ""},
		{"smallint", "-32768", "-32768", "int16", ""},
		{"integer", "2147483647", "2147483647", "int32", ""},
		{"bigint", "-9223372036854775808", "-9223372036854775808", "int64", ""},
		{"oid", "4294967295", "4294967295", "int64", ""},
		{"real", "'1.1'", "1.1", "float32", ""},
		{"double precision", "'NaN'", `"NaN"`, "float64", ""},
		{"double precision", "'-Infinity'", `"-Infinity"`, "float64", ""},
		{"double precision", "'1e-320'", "1e-320", "float64", ""},
		{"numeric(10,2)", "12.3", `"12.30"`, "decimal(10,2)", ""},
		{"numeric(10,2)", "'NaN'", "null", "decimal(10,2)", `"NaN"`},
		{"numeric", "'1e40'", `"10000000000000000000000000000000000000000"`, "string", ""},
		{"money", "'12.30'", `"12.30"`, "decimal(19,2)", ""},
		{"char(4)", "'ab'", `"ab  "`, "string", ""},
		{"varchar(10)", `'a"b\c'`, `"a\"b\\c"`, "string", ""},
		{"text", "'Grüße'", `"Grüße"`, "string", ""},
		{"bytea", `'\x00ff'`, `"AP8="`, "bytes", ""},
		{"uuid", "'51d0e3aa-90b1-c2d3-0000-000000000001'", `"51d0e3aa-90b1-c2d3-0000-000000000001"`, "string", ""},
		{"json", `'{"a": 1.10}'`, `"{\"a\": 1.10}"`, "json", ""},
		{"jsonb", `'{"a": 1.10}'`, `"{\"a\": 1.10}"`, "json", ""},
		{"date", "'2026-11-21'", "20778", "date", ""},
		{"date", "'infinity'", "2932896", "date", `"infinity"`},
		{"date", "'5874897-12-31'", "2932896", "date", `"+5874897-12-31"`},
		{"timestamp", "'2026-11-21 06:15:02.113402'", "1795241702113402", "timestamp", ""},
		{"timestamptz", "'2026-11-21 07:15:02.5+01'", `"2026-11-21T06:15:02.5Z"`, "timestamp", ""},
		{"timestamptz", "'-infinity'", `"0001-01-01T00:00:00Z"`, "timestamp", `"-infinity"`},
		{"timestamptz", "'0044-03-15 12:00:00+00 BC'", `"-0043-03-15T12:00:00Z"`, "timestamp", ""},
		{"time", "'06:15:02.5'", `"06:15:02.5"`, "string", ""},
		{"time", "'24:00:00'", `"23:59:59.999999"`, "string", `"24:00:00"`},
		{"timetz", "'06:15:02+01'", `"06:15:02+01"`, "string", ""},
		{"interval", "'1 year 2 months 3 days 04:05:06.789'", `"P1Y2M3DT4H5M6.789S"`, "string", ""},
		{"bit(1)", "'1'", "true", "bool", ""},
		{"bit(4)", "'0101'", `"0101"`, "string", ""},
		{"mood", "'ok'", `"ok"`, "string", ""},
		{"positive", "7", "7", "int32", ""},
		{"numeric(5,1)[]", "'{1.5,NULL}'", "[1.5,null]", "json", ""},
		{"int[]", "'[0:1]={7,8}'", `{"lower":[0],"values":[7,8]}`, "json", ""},
		{"pair", "(1, 'x')::pair", `{"a":1,"b":"x"}`, "json", ""},
		{"inet", "'10.0.0.1/8'", `"10.0.0.1/8"`, "string", ""},
		{"int4range", "'[1,5)'", `"[1,5)"`, "string", ""},
		{"point", "'(1,2)'", `"(1,2)"`, "string", ""},
		{"tsvector", "'a b'", `"'a' 'b'"`, "string", ""},
		{"xml", "'<a/>'", `"<a/>"`, "string", ""},
	}
	ddl := "CREATE TYPE mood AS ENUM ('ok'); CREATE DOMAIN positive AS int CHECK (value > 0); CREATE TYPE pair AS (a int, b text); CREATE TABLE orders (id bigint PRIMARY KEY, note text, updated_at timestamptz DEFAULT now()"
	values := ""
	for i, c := range cases {
		ddl += fmt.Sprintf(", c%d %s, n%d %s", i, c.typ, i, c.typ)
		values += ", " + c.value + ", NULL"
	}
	s := setupPG(t, ddl+")")
	s.sql("INSERT INTO orders VALUES (1, 'x', now()" + values + ")")
	s.run(nil)
	s.await(1, "x")
	got := s.changes()
	var after, adjusted map[string]json.RawMessage
	var mark event.TableSchema
	for i, h := range got.headers {
		var err error
		switch h.Kind {
		case wire.KindSchema:
			mark, err = wire.DecodeTableSchema(h.Body)
		case wire.KindChange:
			err = errors.Join(json.Unmarshal(got.changes[i].After, &after), json.Unmarshal(got.changes[i].Source.Adjusted, &adjusted))
		case wire.KindPoll:
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	lake := map[string]string{}
	for _, c := range mark.Columns {
		lake[c.Name] = c.Lake
	}
	for i, c := range cases {
		name := fmt.Sprintf("c%d", i)
		var want, have any
		if err := errors.Join(json.Unmarshal([]byte(c.want), &want), json.Unmarshal(after[name], &have)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, have); diff != "" || lake[name] != c.lake || string(adjusted[name]) != c.adjusted {
			t.Errorf("%s %s: got %s as %s adjusted %s, want %s as %s adjusted %s", c.typ, c.value, after[name], lake[name], adjusted[name], c.want, c.lake, c.adjusted)
		}
		if n := string(after[fmt.Sprintf("n%d", i)]); n != "null" {
			t.Errorf("%s NULL: got %s", c.typ, n)
		}
	}
}
