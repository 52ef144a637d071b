package redshift

import (
	"strings"
	"testing"
)

// FuzzLexer feeds statements through everything that reads text before DuckDB does: nothing may panic, and a literal's
// value must come out again as it went in.
func FuzzLexer(f *testing.F) {
	for _, seed := range []string{
		`SELECT 'a\'b', "q""q", $$d$$, $1, 1.5e-3, x.y[0].z::VARCHAR(3) /* /* */ */ -- end`,
		"WITH a AS (SELECT TOP 2 n FROM t o, o.items i AT k) SELECT SUM(n) OVER (ORDER BY n ROWS 1 PRECEDING) FROM a MINUS SELECT 1",
		"SELECT LISTAGG(x, ',') WITHIN GROUP (ORDER BY x), INTERVAL '1w, 2.5 days', a LIKE b || 'c' ESCAPE '#', 7 / - 2, |/ 4, 1 # 2 FROM UNPIVOT a.b AS v AT k",
		"SELECT (", "'", `"`, "$", "$a$", "/*", "1 /", "x in (", "a.", "::", "not in ()", "interval ''", "over", "sum( over (", "from ,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		statements, err := parse(text)
		if err != nil {
			return
		}
		for _, st := range statements {
			_, _ = newRewriter(environment{schema: "public"}).query(tree(st.toks))
		}
		if strings.ContainsRune(text, 0) {
			return
		}
		toks, err := lex(`'` + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `'`, `''`) + `'`)
		if err == nil && (len(toks) != 1 || toks[0].val != text) {
			t.Errorf("%q came out as %v", text, toks)
		}
	})
}
