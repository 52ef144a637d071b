package models

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDependencyParser(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql, want string }{
		{"one table", `SELECT 1 FROM app.tracks`, "app.tracks"},
		{"no table", `SELECT 1`, ""},
		{"unqualified", `SELECT * FROM daily`, "daily"},
		{"case is folded, quoted or not", `SELECT * FROM App.Tracks, "App"."Pages"`, "app.pages app.tracks"},
		{"blanks within a name", "SELECT * FROM app . tracks", "app.tracks"},
		{"quoted with a dot and quotes", `SELECT * FROM "a.b"."c""d"`, `a.b.c"d`},
		{"joins", `SELECT * FROM a.x JOIN a.y USING (id) LEFT OUTER JOIN a.z ON z.id = x.id CROSS JOIN a.w NATURAL JOIN a.v`, "a.v a.w a.x a.y a.z"},
		{"commas, with and without aliases", `SELECT * FROM a.x AS p, a.y q, a.z WHERE p.id = q.id`, "a.x a.y a.z"},
		{"a comma after ON", `SELECT * FROM a.x JOIN a.y ON coalesce(x.i, 1) = y.i, a.z`, "a.x a.y a.z"},
		{"commas elsewhere", `SELECT a, b, c FROM a.x GROUP BY a, b ORDER BY p, q`, "a.x"},
		{"sub-select in FROM", `SELECT * FROM (SELECT * FROM a.x WHERE id IN (SELECT id FROM a.y)) s JOIN a.z ON true`, "a.x a.y a.z"},
		{"sub-selects everywhere", `SELECT (SELECT max(i) FROM a.x), CASE WHEN EXISTS (SELECT 1 FROM a.y) THEN 1 END FROM a.z HAVING count(*) > (SELECT 3 FROM a.w)`, "a.w a.x a.y a.z"},
		{"set operations", `SELECT 1 FROM a.x UNION ALL SELECT 2 FROM a.y EXCEPT (SELECT 3 FROM a.z) MINUS SELECT 4 FROM a.w`, "a.w a.x a.y a.z"},
		{"brackets around queries", `((SELECT 1 FROM a.x)) UNION (SELECT 1 FROM a.y)`, "a.x a.y"},
		{"brackets around joins", `SELECT * FROM ((a.x JOIN a.y ON true) JOIN (SELECT * FROM a.z) s ON true)`, "a.x a.y a.z"},
		{"WITH", `WITH x AS (SELECT * FROM a.t), y AS (SELECT * FROM x) SELECT * FROM x JOIN y ON true`, "a.t"},
		{"WITH with columns", `WITH x (p, q) AS (SELECT 1, 2 FROM a.t) SELECT * FROM x`, "a.t"},
		{"a WITH hides a table only behind it", `WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x, y`, "y"},
		{"a WITH does not know itself", `WITH x AS (SELECT * FROM x) SELECT * FROM x`, "x"},
		{"WITH RECURSIVE does", `WITH RECURSIVE x(n) AS (SELECT 1 FROM a.t UNION ALL SELECT n + 1 FROM x) SELECT * FROM x`, "a.t"},
		{"a WITH inside ends there", `SELECT * FROM (WITH x AS (SELECT 1 FROM a.t) SELECT * FROM x) s, x`, "a.t x"},
		{"a WITH is seen inside", `WITH x AS (SELECT 1) SELECT * FROM (SELECT * FROM (SELECT * FROM x) a) b WHERE 1 IN (SELECT 1 FROM x)`, ""},
		{"a qualified name is no WITH name", `WITH tracks AS (SELECT * FROM app.tracks) SELECT * FROM tracks`, "app.tracks"},
		{"functions in FROM", `SELECT * FROM generate_series(1, (SELECT n FROM a.x)) g, a.y`, "a.x a.y"},
		{"FROM in functions", `SELECT EXTRACT(day FROM at), TRIM(BOTH ' ' FROM name), SUBSTRING(name FROM 2) FROM a.x`, "a.x"},
		{"FROM in a function beside a sub-select", `SELECT SUBSTRING((SELECT s FROM a.y) FROM 2) FROM a.x`, "a.x a.y"},
		{"IS DISTINCT FROM", `SELECT a IS DISTINCT FROM b, a IS NOT DISTINCT FROM c FROM a.x`, "a.x"},
		{"SELECT DISTINCT", `SELECT DISTINCT a FROM a.x`, "a.x"},
		{"comments", "SELECT 1 -- FROM a.no\n/* FROM a.no /* nested */ FROM a.no */ FROM a.x", "a.x"},
		{"strings", `SELECT 'FROM a.no', 'it''s FROM a.no', 'it\'s FROM a.no', $$FROM a.no$$, $q$ '$$' FROM a.no $q$ FROM a.x`, "a.x"},
		{"a column called from needs quotes", `SELECT "from", t."from" FROM a.x t`, "a.x"},
		{"a quoted keyword is a table", `SELECT 1 FROM "order" JOIN a."select" ON true`, "a.select order"},
		{"windows", `SELECT row_number() OVER (PARTITION BY a ORDER BY b), listagg(x, ',') WITHIN GROUP (ORDER BY y) FROM a.x QUALIFY 1 = 1`, "a.x"},
		{"SUPER is unnested", `SELECT i.name FROM app.orders o, o.items i, i.parts AS p, app.users`, "app.orders app.users"},
		{"SUPER by the table's own name", `SELECT 1 FROM app.orders, orders.items[0].parts p`, "app.orders"},
		{"SUPER of an outer table", `SELECT 1 FROM app.orders o WHERE EXISTS (SELECT 1 FROM o.items i)`, "app.orders"},
		{"an alias ends with its query", `SELECT 1 FROM app.orders o UNION SELECT 1 FROM o.items`, "app.orders o.items"},
		{"UNPIVOT", `SELECT 1 FROM a.x t, UNPIVOT t.doc AS v AT k, a.y`, "a.x a.y"},
		{"PIVOT", `SELECT * FROM (SELECT p, q FROM a.x) PIVOT (AVG(p) FOR q IN ('a', 'b')), a.y`, "a.x a.y"},
		{"another database", `SELECT 1 FROM other.a.x, a.y`, "a.y"},
		{"LATERAL and ONLY", `SELECT 1 FROM ONLY a.x, LATERAL (SELECT 1 FROM a.y) z`, "a.x a.y"},
		{"no blanks", `SELECT(1)FROM a.x,a.y WHERE(1)IN(SELECT 1FROM a.z)`, "a.x a.y a.z"},
		{"casts", `SELECT a::date, '1'::int, 1.5::numeric(3,1) FROM a.x WHERE b::text = 'x'`, "a.x"},
		{"letters outside ASCII", `SELECT größe FROM läden.käufe`, "läden.käufe"},
		{"numbers beside names", `SELECT t.1, 1.5e3, .5, 1e FROM a.x1 t`, "a.x1"},
		{"a table twice", `SELECT 1 FROM a.x p JOIN a.x q ON true`, "a.x"},
		{"GROUP BY after JOIN", `SELECT 1 FROM a.x JOIN a.y ON x.i = y.i GROUP BY 1, 2 ORDER BY a.no, b.no LIMIT 5`, "a.x a.y"},
		{"CONNECT BY", `SELECT 1 FROM a.x START WITH b = 1 CONNECT BY PRIOR c = d`, "a.x"},
		{"TOP", `SELECT TOP 5 * FROM a.x`, "a.x"},
		{"a join by a group in ON", `SELECT 1 FROM a.x JOIN a.y ON (x.i = y.i AND x.j IN (SELECT j FROM a.z)) JOIN a.w ON true`, "a.w a.x a.y a.z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			toks, err := lex(c.sql)
			if err != nil {
				t.Fatal(err)
			}
			refs, err := tables(toks)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, strings.Join(distinct(refs), " ")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.sql, diff)
			}
			for _, r := range refs {
				if got, _ := lex(c.sql[r.start:r.end]); len(got) == 0 || got[len(got)-1].text != r.table {
					t.Errorf("%s stands at %q", r, c.sql[r.start:r.end])
				}
			}
		})
	}
}

func TestLexerNamesTheLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sql, want string
		line      int
	}{
		{"SELECT 1\nFROM 'a", "quote '", 2},
		{"SELECT 1\n\n\"a", `quote "`, 3},
		{"SELECT 1\n/* a /* b */ c", "comment", 2},
		{"SELECT 'a\nb', $x$ c\nd", "quote $x$", 2},
		{"SELECT (1\n+ (2)", "is never closed", 1},
		{"SELECT 1\n+ 2)", "closes nothing", 2},
		{"SELECT 1\n\x00", "NUL", 2},
		{"SELECT 1\n\n'\xff'", "UTF-8", 3},
		{"SELECT 'a\\\n' , (", "is never closed", 2},
	} {
		toks, err := lex(c.sql)
		if err == nil {
			_, err = tables(toks)
		}
		fault, ok := err.(*lineError) //nolint:errorlint // as it is returned
		if !ok || fault.line != c.line || !strings.Contains(fault.text, c.want) {
			t.Errorf("%q: %v, want line %d: %s", c.sql, err, c.line, c.want)
		}
	}
}

// FuzzLexer wants no panic, tokens in order that are in the text, and the same
// tables whatever blanks stand between.
func FuzzLexer(f *testing.F) {
	for _, s := range []string{
		`SELECT a FROM app.tracks t, t.items i WHERE b = 'x''y' AND c = $$z$$`, "WITH x AS (SELECT 1) -- c\nSELECT * FROM x /* /* */ */",
		`SELECT "a""b" FROM "c" LIMIT 1.5e3;`, "((", "$a", "'\\", "\ufeffSELECT 1", "1.5.2", "a.1", "$1$",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		toks, err := lex(src)
		if err != nil {
			return
		}
		pos, line := 0, 1
		for _, k := range toks {
			if k.start < pos || k.end <= k.start || k.end > len(src) || k.line != line+strings.Count(src[pos:k.start], "\n") {
				t.Fatalf("%q: token %+v after %d in line %d", src, k, pos, line)
			}
			line += strings.Count(src[pos:k.end], "\n")
			pos = k.end
		}
		refs, err := tables(toks)
		if err != nil {
			return
		}
		var spaced []string
		for _, k := range toks {
			spaced = append(spaced, src[k.start:k.end])
		}
		again, err := lex(strings.Join(spaced, "\n"))
		if err != nil {
			t.Fatalf("%q: with line breaks between the tokens: %v", src, err)
		}
		if len(again) != len(toks) {
			return // two signs that were cut apart
		}
		moved, err := tables(again)
		if diff := cmp.Diff(distinct(refs), distinct(moved)); err != nil || diff != "" {
			t.Fatalf("%q: %v\n%s", src, err, diff)
		}
		readOuter(toks)
	})
}
