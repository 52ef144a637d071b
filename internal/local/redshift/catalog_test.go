//go:build cgo

package redshift

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The queries are those that psql 15 sends to a server that calls itself 8.0.2.
func TestCatalogueAnswersPsql(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE SCHEMA app", "CREATE TABLE app.t (id VARCHAR(256) ENCODE zstd, total NUMERIC(38,9) NOT NULL, items SUPER) DISTKEY (id) SORTKEY (id)",
		"CREATE TABLE public.seen (n INT)", "CREATE VIEW public.v AS SELECT n FROM seen")
	oid := c.one(`SELECT c.oid FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' AND n.nspname OPERATOR(pg_catalog.~) '^(app)$' ORDER BY 1`)
	for _, test := range []struct{ name, query, want string }{
		{`\d`, `SELECT n.nspname as "Schema", c.relname as "Name",
			CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' END as "Type",
			pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
			FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r','p','v','m','S','f','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND n.nspname <> 'information_schema'
			AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2;`, "public|seen|table|millstream,public|v|view|millstream"},
		{
			`\d t`, `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
			(SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
			a.attnotnull, (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
			''::pg_catalog.char AS attidentity, ''::pg_catalog.char AS attgenerated
			FROM pg_catalog.pg_attribute a WHERE a.attrelid = '` + oid + `' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;`,
			"id|character varying(256)|∅|f|∅||,total|numeric(38,9)|∅|t|∅||,items|super|∅|f|∅||",
		},
		{`\d t, flags`, `SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, false, false, c.relhasoids, false as relispartition, '', c.reltablespace,
			CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence
			FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid) WHERE c.oid = '` + oid + `';`, "0|r|f|f|f|f|f|f|f||0||p"},
		{`\dn`, `SELECT n.nspname AS "Name", pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner" FROM pg_catalog.pg_namespace n
			WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1;`, "app|millstream,public|millstream"},
		{`\l`, `SELECT d.datname as "Name", pg_catalog.pg_get_userbyid(d.datdba) as "Owner", pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding", d.datcollate as "Collate"
			FROM pg_catalog.pg_database d ORDER BY 1;`, "millstream|millstream|UNICODE|C"},
		{`\l+`, `SELECT d.datname as "Name", pg_catalog.array_to_string(d.datacl, E'\n') AS "Access privileges",
			CASE WHEN pg_catalog.has_database_privilege(d.datname, 'CONNECT') THEN pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(d.datname)) ELSE 'No Access' END as "Size",
			t.spcname as "Tablespace", pg_catalog.shobj_description(d.oid, 'pg_database') as "Description"
			FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t on d.dattablespace = t.oid ORDER BY 1;`, "millstream|∅|0 bytes|pg_default|∅"},
		{`\dC`, `SELECT pg_catalog.format_type(castsource, NULL) AS "Source type", CASE WHEN c.castmethod = 'b' THEN '(binary coercible)' ELSE p.proname END AS "Function"
			FROM pg_catalog.pg_cast c LEFT JOIN pg_catalog.pg_proc p ON c.castfunc = p.oid LEFT JOIN pg_catalog.pg_type ts ON c.castsource = ts.oid
			WHERE ( (true AND pg_catalog.pg_type_is_visible(ts.oid)) ) ORDER BY 1, 2;`, ""},
		{`\dT+`, `SELECT pg_catalog.format_type(t.oid, NULL) AS "Name", pg_catalog.array_to_string(ARRAY(
			SELECT e.enumlabel FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder), E'\n') AS "Elements", pg_catalog.array_to_string(t.typacl, E'\n')
			FROM pg_catalog.pg_type t WHERE t.typname = 'super' ORDER BY 1, 2;`, "super||∅"},
		{
			"loader", "SELECT table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema = 'app' ORDER BY ordinal_position",
			"t|id|character varying|256|∅|∅,t|total|numeric|∅|38|9,t|items|super|∅|∅|∅",
		},
		{"drivers", "SELECT t.typname FROM pg_type t WHERE t.oid = 4000", "super"},
		{"information_schema", "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1", "seen|BASE TABLE,v|VIEW"},
		{"isolation", "SELECT isolation_level FROM stv_db_isolation_level WHERE db_name = current_database()", "Snapshot Isolation"},
	} {
		if diff := cmp.Diff(test.want, strings.Join(c.rows(test.query), ",")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestTableDefFollowsTheSearchPath(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE SCHEMA app", "CREATE TABLE app.t (id VARCHAR(256) ENCODE zstd, total NUMERIC(38,9) NOT NULL ENCODE az64, items SUPER ENCODE zstd) DISTKEY (id) SORTKEY (id)")
	const query = `SELECT "column", type, encoding, distkey, sortkey, "notnull" FROM pg_table_def WHERE tablename = 't'`
	if got := c.rows(query); len(got) != 0 {
		t.Errorf("outside the search path: %v", got)
	}
	c.do("SET search_path TO public, app")
	want := "id|character varying(256)|zstd|t|1|f,total|numeric(38,9)|az64|f|0|t,items|super|zstd|f|0|f"
	if got := strings.Join(c.rows(query), ","); got != want {
		t.Errorf("in it: got %s, want %s", got, want)
	}
}

func TestCatalogueShowsTheSessionsTemporaryTables(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a, b := w.connect(), w.connect()
	a.do("CREATE TEMP TABLE stg (id VARCHAR(64), n INT)")
	for _, query := range []string{
		`SELECT "column" FROM pg_table_def WHERE tablename = 'stg' AND type = 'integer'`,
		"SELECT column_name FROM information_schema.columns WHERE table_name = 'stg' AND data_type = 'integer'",
		"SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'stg' AND a.attnum = 2 AND pg_table_is_visible(c.oid) AND n.nspname LIKE 'pg_temp_%'",
	} {
		if got := a.one(query); got != "n" {
			t.Errorf("%s: got %s", query, got)
		}
		if got := b.rows(query); len(got) != 0 {
			t.Errorf("another session's: %s: %v", query, got)
		}
	}
	a.do("DROP TABLE stg")
	if got := a.one("SELECT count(*) FROM pg_class WHERE relname = 'stg'"); got != "0" {
		t.Errorf("after DROP: %s", got)
	}
}

func TestTableInfoCountsRowsThatThereAre(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (n INT)", "INSERT INTO t VALUES (1), (2), (3), (4)", "DELETE FROM t WHERE n < 3", "UPDATE t SET n = n + 10", "CREATE TABLE public.none (n INT)")
	if got := strings.Join(c.rows(`SELECT "table", tbl_rows, estimated_visible_rows FROM svv_table_info WHERE "schema" = 'public'`), ";"); got != "t|2|2" {
		t.Errorf("got %s, want the two rows that are left", got)
	}
	c.do("BEGIN", "INSERT INTO t VALUES (5)")
	if got := c.one(`SELECT estimated_visible_rows FROM svv_table_info WHERE "table" = 't'`); got != "3" {
		t.Errorf("within a transaction: %s rows, want its own with them", got)
	}
}
