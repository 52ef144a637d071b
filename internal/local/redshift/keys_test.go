//go:build cgo

package redshift

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeysAreRecordedAndNotEnforced(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.a (x INT, y VARCHAR(8), z INT UNIQUE, PRIMARY KEY (x, y))", "CREATE TABLE public.b (n INT PRIMARY KEY, z INT REFERENCES a (z), x INT, y VARCHAR(8), CONSTRAINT both FOREIGN KEY (y, x) REFERENCES a (y, x))",
		"INSERT INTO a VALUES (1, 'a', 1), (1, 'a', 1)", "INSERT INTO b (n, z) VALUES (1, 99)", "ALTER TABLE a RENAME COLUMN y TO why")
	c.fails("23502", "INSERT INTO a (x) VALUES (1)")
	want := []string{"a|a_pkey|p|PRIMARY KEY (x, why)", "a|a_z_key|u|UNIQUE (z)", "b|b_pkey|p|PRIMARY KEY (n)", "b|b_z_fkey|f|FOREIGN KEY (z) REFERENCES a(z)", "b|both|f|FOREIGN KEY (y, x) REFERENCES a(why, x)"}
	if diff := cmp.Diff(want, c.rows("SELECT conrelid::regclass, conname, contype, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 2")); diff != "" {
		t.Errorf("pg_constraint (-want +got):\n%s", diff)
	}
	if got := strings.Join(c.rows("SELECT column_name FROM information_schema.key_column_usage WHERE constraint_name = 'a_pkey' ORDER BY ordinal_position"), ","); got != "x,why" {
		t.Errorf("key_column_usage: %s", got)
	}
	if got := c.one("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indisprimary AND indrelid = 'a'::regclass"); got != "CREATE UNIQUE INDEX a_pkey ON public.a USING btree (x, why)" {
		t.Errorf("pg_get_indexdef: %s", got)
	}
	c.fails("2BP01", "DROP TABLE a")
	c.fails("42830", "CREATE TABLE public.c (x INT REFERENCES a (x))")
	c.fails("42P16", "CREATE TABLE public.c (x INT PRIMARY KEY, y INT PRIMARY KEY)")
	c.fails("42703", "CREATE TABLE public.c (x INT, PRIMARY KEY (nope))")
	c.fails("42601", "ALTER TABLE b ADD PRIMARY KEY (z)")
	c.do("ALTER TABLE b DROP CONSTRAINT both", "DROP TABLE a CASCADE")
	c.fails("42704", "ALTER TABLE b DROP CONSTRAINT both")
	if got := c.one("SELECT conname FROM pg_constraint"); got != "b_pkey" {
		t.Errorf("after DROP CASCADE: %s", got)
	}
}

func TestGrantsAndCommentsAreRecorded(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE SCHEMA app", "CREATE TABLE app.t (n INT)", "CREATE TABLE app.u (n INT)", "GRANT SELECT, INSERT ON TABLE app.t TO bob WITH GRANT OPTION", "GRANT SELECT ON ALL TABLES IN SCHEMA app TO GROUP analysts",
		"GRANT ALL ON app.u TO ROLE r, PUBLIC", "REVOKE INSERT ON app.t FROM bob", "REVOKE ALL ON app.u FROM ROLE r", "GRANT USAGE ON SCHEMA app TO GROUP analysts", "ALTER TABLE app.t RENAME TO t2",
		"COMMENT ON TABLE app.t2 IS 'it''s t'", "COMMENT ON COLUMN app.t2.n IS 'a number'", "COMMENT ON SCHEMA app IS 'the app'", "COMMENT ON SCHEMA app IS NULL")
	want := []string{"t2|SELECT|analysts|group|f", "t2|SELECT|bob|user|t", "u|SELECT|analysts|group|f"}
	if diff := cmp.Diff(want, c.rows("SELECT relation_name, privilege_type, identity_name, identity_type, admin_option FROM svv_relation_privileges WHERE identity_type <> 'public' ORDER BY 1, 3")); diff != "" {
		t.Errorf("svv_relation_privileges (-want +got):\n%s", diff)
	}
	if got := c.one("SELECT count(*) FROM svv_relation_privileges WHERE identity_type = 'public'"); got != "8" {
		t.Errorf("ALL to PUBLIC: %s", got)
	}
	if got := c.one("SELECT relacl FROM pg_class WHERE relname = 't2'"); got != `{millstream=arwdRxtD/millstream,"group analysts"=r/millstream,bob=r*/millstream}` {
		t.Errorf("relacl: %s", got)
	}
	if got := c.one("SELECT obj_description(oid, 'pg_class') || ', ' || col_description(oid, 1) FROM pg_class WHERE relname = 't2'"); got != "it's t, a number" {
		t.Errorf("comments: %s", got)
	}
	if got := c.one("SELECT count(*) FROM pg_description"); got != "2" {
		t.Errorf("COMMENT IS NULL: %s rows", got)
	}
	c.fails("42P01", "GRANT SELECT ON app.missing TO bob")
	c.fails("3F000", "GRANT USAGE ON SCHEMA missing TO bob")
	c.fails("42601", "GRANT FLY ON app.u TO bob")
	c.do("BEGIN", "GRANT UPDATE ON app.u TO bob", "ROLLBACK", "DROP TABLE app.t2", "DROP SCHEMA app CASCADE")
	if got := c.one("SELECT count(*) FROM svv_relation_privileges"); got != "0" {
		t.Errorf("after DROP: %s", got)
	}
}
