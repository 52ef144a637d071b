//go:build cgo

package redshift

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestLocalRedshiftErrors(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	c.do(
		"CREATE SCHEMA app",
		"CREATE TABLE app.t (id VARCHAR(8), note VARCHAR(16) ENCODE bytedict, wide VARCHAR(256), n INT NOT NULL, items SUPER)",
		"INSERT INTO app.t VALUES ('a', 'b', 'a wide value', 1, NULL)",
	)
	var many []string
	for i := range 1601 {
		many = append(many, fmt.Sprintf("c%d INT", i))
	}
	for _, test := range []struct{ statement, code, text string }{
		{"INSERT INTO app.t VALUES ('äöüßé', 'x', 'x', 1, NULL)", "22001", "value too long for type character varying(8)"},
		{"UPDATE app.t SET id = 'longer than 8'", "22001", "value too long for type character varying(8)"},
		{"INSERT INTO app.t (id, n) SELECT 'longer than 8', 1", "22001", "value too long for type character varying(8)"},
		{"CREATE TABLE app.many (" + strings.Join(many, ", ") + ")", "54011", "tables can have at most 1600 columns"},
		{"ALTER TABLE app.t ALTER COLUMN wide TYPE VARCHAR(256)", "0A000", "target column size should be different"},
		{"ALTER TABLE app.t ALTER COLUMN wide TYPE VARCHAR(4)", "0A000", "longer than 4 bytes"},
		{"ALTER TABLE app.t ALTER COLUMN note TYPE VARCHAR(64)", "0A000", "encoding bytedict"},
		{"ALTER TABLE app.t ALTER COLUMN n TYPE BIGINT", "0A000", "only the size of a VARCHAR"},
		{"SELECT 1; ALTER TABLE app.t ALTER COLUMN wide TYPE VARCHAR(512)", "0A000", "ALTER TABLE ALTER COLUMN cannot run inside a transaction block"},
		{"ALTER TABLE app.t ADD COLUMN id VARCHAR(8)", "42701", `column "id" of relation "t" already exists`},
		{"ALTER TABLE app.t ADD COLUMN a INT, ADD COLUMN b INT", "42601", "syntax error"},
		{"ALTER TABLE app.t ADD COLUMN a INT NOT NULL", "42601", "non-null default"},
		{"SELECT * FROM app.missing", "42P01", `relation "app.missing" does not exist`},
		{"INSERT INTO app.missing VALUES (1)", "42P01", `relation "app.missing" does not exist`},
		{"LOCK TABLE app.missing", "42P01", `relation "app.missing" does not exist`},
		{"DROP TABLE app.missing", "42P01", `Table "app.missing" does not exist`},
		{"CREATE TABLE app.t (n INT)", "42P07", `Relation "t" already exists`},
		{"CREATE TABLE nowhere.t (n INT)", "3F000", `schema "nowhere" does not exist`},
		{"CREATE SCHEMA app", "42P06", `schema "app" already exists`},
		{"DROP SCHEMA app", "2BP01", "other objects depend on it"},
		{"SELECT nope FROM app.t", "42703", `column "nope" does not exist`},
		{"UPDATE app.t SET nope = 1", "42703", `column "nope" of relation "t" does not exist`},
		{"INSERT INTO app.t (id, n) VALUES ('x', NULL)", "23502", "Cannot insert a NULL value into column n"},
		{"INSERT INTO app.t (id) VALUES ('x', 2)", "42601", "more expressions than target columns"},
		{"SELECT 'x'::INT", "22P02", "invalid input syntax for integer"},
		{"SELECT JSON_PARSE('{')", "XX000", "JSON parsing error"},
		{"SELECT * FROM nowhere.tracks", "42P01", `relation "nowhere.tracks" does not exist`},
		{"SELEC 1", "0A000", "the local Redshift does not support the statement SELEC"},
		{"SELECT FROM WHERE", "42601", "syntax error"},
		{"SELECT 'open", "42601", "unterminated quoted string"},
		{"SAVEPOINT a", "0A000", `SQL command "SAVEPOINT" not supported`},
		{"CREATE INDEX i ON app.t (id)", "0A000", `SQL command "CREATE INDEX" not supported`},
		{"BEGIN; VACUUM; COMMIT", "25001", "VACUUM cannot run inside a transaction block"},
		{"SET standard_conforming_strings TO on", "42704", "unrecognized configuration parameter"},
		{"MERGE INTO app.t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)", "0A000", "subquery"},
		{"SELECT read_csv('/etc/passwd')", "42883", "function read_csv does not exist"},
		{"SELECT * FROM read_csv('/etc/passwd')", "42883", "function read_csv does not exist"},
		{"SELECT * FROM '/etc/passwd'", "0A000", "the local Redshift does not support reading files"},
		{`SELECT * FROM "/etc/passwd.csv"`, "0A000", "the local Redshift does not support reading files"},
		{"SELECT getenv('HOME')", "42883", "function getenv does not exist"},
		{"SELECT * FROM duckdb_settings()", "42883", "function duckdb_settings does not exist"},
		{"SELECT * FROM duckdb_settings", "42P01", ""},
		{"SELECT * FROM _rs.columns", "42P01", ""},
		{"INSERT INTO _rs.columns VALUES (1)", "42501", ""},
		{"ATTACH '/tmp/x.db' AS x", "0A000", "the local Redshift does not support the statement ATTACH"},
		{"INSTALL httpfs", "0A000", "the local Redshift does not support the statement INSTALL"},
		{"PRAGMA version", "0A000", "the local Redshift does not support the statement PRAGMA"},
		{"UNLOAD ('SELECT 1') TO 's3://x/y'", "0A000", "the local Redshift does not support the statement UNLOAD"},
		{"EXPORT DATABASE '/tmp/x'", "0A000", "the local Redshift does not support the statement EXPORT"},
	} {
		err := c.refusal(test.code, test.statement)
		if !strings.Contains(err.Message, test.text) {
			t.Errorf("%.80s: got %q, want %q in it", test.statement, err.Message, test.text)
		}
		if status := c.PgConn().TxStatus(); status != 'I' {
			c.do("ROLLBACK")
		}
	}
	if got := c.one("SELECT count(*) FROM app.t"); got != "1" {
		t.Errorf("%s rows after statements that failed, want 1", got)
	}
}

func TestLoginRefusals(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.Sessions = 1 })
	for _, test := range []struct{ name, dsn, code string }{
		{"password", "postgres://millstream:wrong@%s/millstream", "28000"},
		{"user", "postgres://root:millstream@%s/millstream", "28000"},
		{"database", "postgres://millstream:millstream@%s/other", "3D000"},
		{"parameter", "postgres://millstream:millstream@%s/millstream?standard_conforming_strings=on", "42704"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := pgx.Connect(t.Context(), fmt.Sprintf(test.dsn, w.Addr()))
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != test.code || pg.Severity != "FATAL" {
				t.Errorf("got %v, want FATAL %s", err, test.code)
			}
		})
	}
	c := w.connect()
	if got := c.one("SELECT current_user"); got != "millstream" {
		t.Errorf("current_user: got %q", got)
	}
	_, err := pgx.Connect(t.Context(), w.dsn())
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "53300" {
		t.Errorf("one session too many: got %v, want 53300", err)
	}
}

func TestSecondServerNamesTheHolder(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	_, stop := start(t, cfg)
	defer stop()
	if _, err := New(cfg, nil, nil); err == nil || !strings.Contains(err.Error(), "held by process") {
		t.Errorf("got %v, want the holder's process", err)
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	t.Parallel()
	err := Config{Isolation: "strict"}.Validate()
	for _, key := range []string{"listen", "user", "database", "dir", "memory", "threads", "sessions", "isolation"} {
		if !strings.Contains(err.Error(), "local.redshift."+key) {
			t.Errorf("%q is not named in %v", key, err)
		}
	}
}

func TestTakenPortSaysHowToChooseAnother(t *testing.T) {
	t.Parallel()
	w := setup(t)
	cfg := testConfig(t)
	cfg.Listen = w.Addr().String()
	if _, err := New(cfg, nil, nil); err == nil || !strings.Contains(err.Error(), "--redshift-listen") {
		t.Fatalf("want an error that names the flag, got %v", err)
	}
}
