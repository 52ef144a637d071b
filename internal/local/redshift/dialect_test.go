//go:build cgo

package redshift

import (
	"strings"
	"testing"
)

// dialectCases are statements of Redshift's dialect and what a cluster answers: values joined by |, rows by a comma.
func dialectCases() []struct{ query, want string } {
	return []struct{ query, want string }{
		{`SELECT 'a\'b', 'tab\there', 'it''s', 'back\\slash', E'x\ny'`, "a'b|tab\there|it's|back\\slash|x\ny"},
		{"SELECT $$it's$$", "it's"},
		{"SELECT 7 / 2, -7 / 2, 7 % 2, 7.0 / 2", "3|-3|1|3.5"},
		{"SELECT NULL || 'a', CONCAT('a', NULL), CONCAT('a', 'b')", "∅|∅|ab"},
		{"SELECT NVL(NULL, 2), NVL2(NULL, 1, 2), ISNULL(NULL, 3), DECODE(2, 1, 'a', 2, 'b', 'c'), DECODE(9, 1, 'a', 'c'), DECODE(NULL, NULL, 'n')", "2|2|3|b|c|n"},
		{"SELECT LEN('abc'), LENGTH('äb'), OCTET_LENGTH('äb'), CHARINDEX('c', 'abc'), STRPOS('abc', 'c')", "3|2|3|3|3"},
		{"SELECT 'abc' ~ 'b', 'abc' ~ '^b', 'ABC' ~* 'b', 'abc' !~ 'b', 'abc' LIKE 'a%', 'abc' SIMILAR TO 'a.c'", "t|f|t|f|t|t"},
		{"SELECT UPPER(Word) FROM (SELECT 'x' AS WORD) AS Sub", "X"},
		{`SELECT "Sub"."WORD" FROM (SELECT 'x' AS word) sub`, "x"},
		{"SELECT TOP 2 n FROM nums ORDER BY n DESC", "5,4"},
		{"SELECT n FROM nums WHERE n < 3 MINUS SELECT 1", "2"},
		{"SELECT DATEADD(day, 1, '2026-02-28'), DATEADD(second, -86400, TIMESTAMP '2026-11-21 00:00:00'), DATEADD(mon, 1, TIMESTAMP '2026-01-31 10:00:00')", "2026-03-01 00:00:00|2026-11-20 00:00:00|2026-02-28 10:00:00"},
		{"SELECT DATEADD('hour', 2, TIMESTAMP '2026-11-21 06:15:02.113'), DATEADD(qtr, 1, DATE '2026-01-01'), DATEADD(w, 1, DATE '2026-01-01')", "2026-11-21 08:15:02.113|2026-04-01 00:00:00|2026-01-08 00:00:00"},
		{"SELECT DATEDIFF(day, '2026-01-01', '2026-01-31'), DATEDIFF(hour, '2026-01-01 00:59:00', '2026-01-01 01:01:00'), DATEDIFF(year, DATE '2025-12-31', DATE '2026-01-01')", "30|1|1"},
		{"SELECT DATE_PART(dow, '2026-11-21'), DATE_PART('month', TIMESTAMP '2026-11-21 06:15:02'), EXTRACT(epoch FROM TIMESTAMP '1970-01-02 00:00:00')", "6|11|86400"},
		{"SELECT DATE_TRUNC('month', TIMESTAMP '2026-11-21 06:15:02')", "2026-11-01 00:00:00"},
		{"SELECT CONVERT_TIMEZONE('Europe/Berlin', TIMESTAMP '2026-07-01 12:00:00'), CONVERT_TIMEZONE('America/New_York', 'UTC', TIMESTAMP '2026-01-01 12:00:00')", "2026-07-01 14:00:00|2026-01-01 17:00:00"},
		{"SELECT TO_CHAR(TIMESTAMP '2026-11-21 06:15:02', 'YYYY-MM-DD HH24:MI:SS'), TO_DATE('21.11.2026', 'DD.MM.YYYY'), TO_TIMESTAMP('2026-11-21 06', 'YYYY-MM-DD HH24')", "2026-11-21 06:15:02|2026-11-21|2026-11-21 06:00:00+00"},
		{"SELECT GETDATE() <= SYSDATE, DATEDIFF(second, GETDATE(), SYSDATE) < 2, GETDATE() = DATE_TRUNC('second', GETDATE())", "t|t|t"},
		{"SELECT TRUNC(1.9), TRUNC(SYSDATE) = CURRENT_DATE, ADD_MONTHS(DATE '2026-01-31', 1)", "1|t|2026-02-28 00:00:00"},
		{"SELECT JSON_EXTRACT_PATH_TEXT('{\"a\":{\"b\":\"x\"}}', 'a', 'b'), JSON_EXTRACT_PATH_TEXT('{\"a\":1}', 'c'), JSON_EXTRACT_PATH_TEXT('bad', 'c', true)", "x|∅|∅"},
		{"SELECT CAN_JSON_PARSE('{\"a\":1}'), CAN_JSON_PARSE('{'), CAN_JSON_PARSE(NULL), IS_VALID_JSON('[1]'), IS_VALID_JSON_ARRAY('[1]')", "t|f|∅|f|t"},
		{"SELECT JSON_PARSE('{ \"a\" : [1, 2] }'), JSON_SERIALIZE(JSON_PARSE('[1, 2]')), 'text'::SUPER, CAST('text' AS SUPER)", `{"a":[1,2]}|[1,2]|"text"|"text"`},
		{"SELECT j.a.b[0].c, j.a.b[0].c::INT + 1, j.s::VARCHAR, j.missing FROM docs", "1|2|text|∅"},
		{"SELECT docs.j.a.b[0].c FROM docs", "1"},
		{"SELECT APPROXIMATE COUNT(DISTINCT n) FROM nums", "5"},
		{"SELECT COUNT(*), COUNT(DISTINCT n), SUM(n), MIN(n), MAX(n) FROM nums", "5|5|15|1|5"},
		{"SELECT LISTAGG(n, ',') WITHIN GROUP (ORDER BY n DESC) FROM nums", "5,4,3,2,1"},
		{"SELECT MAX(v) FROM (SELECT LAST_VALUE(x) IGNORE NULLS OVER (ORDER BY y ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS v FROM (SELECT 1 AS x, 1 AS y UNION ALL SELECT NULL, 2)) t", "1"},
		{"SELECT n, LAG(n) OVER (ORDER BY n) FROM nums ORDER BY n LIMIT 2", "1|∅,2|1"},
		{"SELECT n FROM (SELECT 1 AS n UNION ALL SELECT NULL) t ORDER BY n", "1,∅"},
		{"SELECT n FROM (SELECT 1 AS n UNION ALL SELECT NULL) t ORDER BY n DESC", "∅,1"},
		{"SELECT 'abcdef'::VARCHAR(3), CAST('äöü' AS VARCHAR(3)), 12::VARCHAR, 1::BOOLEAN, '1'::INT", "abc|ä|12|t|1"},
		{"SELECT REGEXP_SUBSTR('a1b22', '[0-9]+'), REGEXP_REPLACE('a1b2', '[0-9]', '-'), REGEXP_REPLACE('ab', '(a)(b)', '$2$1'), REGEXP_COUNT('a1b2', '[0-9]')", "1|a-b-|ba|2"},
		{"SELECT STRTOL('ff', 16), LEFT('abc', 2), RIGHT('abc', 2), SUBSTRING('abc' FROM 2 FOR 1), TRIM(BOTH ' ' FROM ' x '), BTRIM(' y ')", "255|ab|bc|b|x|y"},
		{"SELECT CASE WHEN n > 1 THEN 'many' ELSE 'one' END::VARCHAR(2), n BETWEEN 1 AND 2, n IN (1, 2), NOT n = 1 FROM nums WHERE n = 2", "ma|t|t|t"},
		{"WITH a AS (SELECT n FROM nums), b (m) AS (SELECT n * 2 FROM a) SELECT SUM(m) FROM b", "30"},
		{"SELECT a.n FROM nums a, nums b WHERE a.n = b.n AND a.n > ALL (SELECT 4)", "5"},
		{"SELECT n FROM nums QUALIFY ROW_NUMBER() OVER (ORDER BY n DESC) = 1", "5"},
		{"SELECT SUM(n) FROM nums WHERE n IS DISTINCT FROM 5 AND EXISTS (SELECT 1 FROM docs)", "10"},
		{"SELECT GREATEST(1, NULL, 3), LEAST(NULL, 2), COALESCE(NULL, 4)", "3|2|4"},
		{"SELECT current_schema(), current_database(), current_user, pg_backend_pid() > 0", "public|millstream|millstream|t"},
		{"SELECT 1.50::NUMERIC(18,2), 1e300::DOUBLE PRECISION, 0.1::REAL, 3::SMALLINT, DATE '2026-11-21', TIMESTAMPTZ '2026-11-21 06:15:02.5+02'", "1.50|1e+300|0.1|3|2026-11-21|2026-11-21 04:15:02.5+00"},
		{"SELECT describe, show FROM (SELECT 1 AS describe, 2 AS show) pivot", "1|2"},
		{"SELECT 1 -- comment; with a semicolon\n + /* nested /* */ */ 1", "2"},
		{"VALUES (1, 'a'), (2, 'b')", "1|a,2|b"},
		{"SHOW search_path", `"$user", public`},
	}
}

func TestDialect(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.nums (n INT)", "INSERT INTO nums VALUES (1), (2), (3), (4), (5)", "CREATE TABLE public.docs (j SUPER)",
		`INSERT INTO docs SELECT JSON_PARSE('{"a": {"b": [{"c": 1}]}, "s": "text"}')`)
	for _, test := range dialectCases() {
		rows, err := c.tryRows(test.query)
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		if got := strings.Join(rows, ","); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.query, got, test.want)
		}
	}
}

func TestDialectOfWrites(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (id VARCHAR(8), n INT DEFAULT 7, at TIMESTAMP, j SUPER, c CHAR(4))",
		"INSERT INTO t VALUES ('a', DEFAULT, GETDATE(), JSON_PARSE('[1]'), 'x   ')",
		"INSERT INTO t (id, j) VALUES ('b', '{\"not\": parsed}')",
		"INSERT INTO t (id, n) SELECT id || '2', n + 1 FROM t WHERE id = 'a'",
		"UPDATE t SET n = s.m FROM (SELECT 'b' AS id, 9 AS m) s WHERE t.id = s.id",
		"DELETE FROM t USING (SELECT 'a2' AS id) d WHERE t.id = d.id")
	if got, want := strings.Join(c.rows("SELECT id, n, j, c FROM t ORDER BY id"), ","), `a|7|[1]|x,b|9|"{\"not\": parsed}"|∅`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.do("CREATE TABLE public.s (id VARCHAR(8), n INT)", "INSERT INTO s VALUES ('a', 1), ('z', 2)")
	const merge = "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = CASE WHEN s.n > 0 THEN s.n ELSE t.n END WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, s.n)"
	c.do(merge)
	if got, want := strings.Join(c.rows("SELECT id, n FROM t ORDER BY id"), ","), "a|1,b|9,z|2"; got != want {
		t.Errorf("after MERGE: got %q, want %q", got, want)
	}
	c.do("INSERT INTO s VALUES ('a', 5)")
	if err := c.refusal("XX000", merge); err.Message != "Found multiple matches to update the same tuple" {
		t.Errorf("got %q", err.Message)
	}
	c.do("CREATE TABLE public.copy DISTSTYLE ALL SORTKEY (day) AS SELECT DATE_TRUNC('day', at) AS day, COUNT(*), SUM(n)::BIGINT AS total FROM t GROUP BY 1",
		"CREATE TABLE public.model (LIKE t)", "CREATE VIEW public.v AS SELECT id, GETDATE() AS seen FROM t WITH NO SCHEMA BINDING")
	if got, want := strings.Join(c.rows(`SELECT "column", type FROM pg_table_def WHERE tablename = 'copy'`), ","), "day|timestamp without time zone,count|bigint,total|bigint"; got != want {
		t.Errorf("CTAS: got %q, want %q", got, want)
	}
	if got := c.one("SELECT COUNT(*) FROM v WHERE seen > '2020-01-01'"); got != "3" {
		t.Errorf("view: got %s, want 3", got)
	}
}

func TestColumnNames(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (id INT, at TIMESTAMP)", "INSERT INTO t VALUES (1, GETDATE())")
	for query, want := range map[string]string{
		"SELECT count(*), sum(id), 1, 'a', id + 1, at::date, CAST(id AS BIGINT), CASE WHEN true THEN 1 END FROM t GROUP BY id, at": "count,sum,?column?,?column?,?column?,at,id,case",
		`SELECT *, max(id) OVER (), id AS "Mixed", id other FROM t`:                                                                "id,at,max,mixed,other",
		"SELECT t.id, DATE_TRUNC('day', at), APPROXIMATE COUNT(DISTINCT id) n FROM t GROUP BY 1, 2":                                "id,date_trunc,n",
		"SELECT count(*) FROM (SELECT 1) x UNION SELECT 2":                                                                         "count",
	} {
		results, err := c.PgConn().Exec(t.Context(), query).ReadAll()
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var names []string
		for _, f := range results[0].FieldDescriptions {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, ","); got != want {
			t.Errorf("%s:\n got %s\nwant %s", query, got, want)
		}
	}
}
