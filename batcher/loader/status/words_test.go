package status

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// reasons are those that the loader's source names.
func reasons(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source: %v", err)
	}
	out := []string{warehouse.Skipped, "behind", string(warehouse.ClassTooLong), string(warehouse.ClassSlow), string(warehouse.ClassTarget)}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "reason") {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				text, _ := strconv.Unquote(lit.Value)
				out = append(out, text)
			}
			return true
		})
	}
	if len(out) < 10 {
		t.Fatalf("found only %v", out)
	}
	return out
}

func TestEveryReasonHasWordsAndAWayOut(t *testing.T) {
	t.Parallel()
	for _, reason := range reasons(t) {
		c := explain(reason, "")
		if c.words == unknown.words || c.mend == "" {
			t.Errorf("reason %q has no words: add some to words.go", reason)
		}
	}
}

func TestEveryPatternCompiles(t *testing.T) {
	t.Parallel()
	for _, c := range causes {
		if _, err := regexp.Compile(c.text); err != nil || c.words == "" || c.mend == "" {
			t.Errorf("%+v: %v", c, err)
		}
		if left := regexp.MustCompile(`\{[a-z]*\}`).FindString(c.fill(Held{Target: "app.sales", File: "k"}, "u")); left != "" {
			t.Errorf("%q keeps %s", c.mend, left)
		}
	}
}

func TestWhatRedshiftSaysInPlainWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, said, words, mend string }{
		{"target", "42501 permission denied for relation sales", "may not write the table", `GRANT ALL ON "app"."sales" TO "loader"`},
		{"target", "42501 permission denied for schema app", "may not work in the schema", `GRANT ALL ON SCHEMA "app" TO "loader"`},
		{"target", "42501 must be owner of relation sales", "belongs to somebody else", `OWNER TO "loader"`},
		{"target", "54011 tables can have at most 1600 columns", "as many columns as Redshift allows", "DROP COLUMN"},
		{"target", `42P01 relation "app.sales" does not exist`, "is gone", "millstream loader reload --target app.sales"},
		{"dropped", "the table app.sales is gone, and the rows that it had are in the lake", "was there and is gone", "millstream loader reload --target app.sales"},
		{"target", "42P01 Can only modify view with ALTER VIEW statement", "a view has the name", `DROP VIEW "app"."sales"`},
		{"target", `42809 "sales" is not a table`, "a view has the name", "millstream loader retry --target app.sales"},
		{"too_long", "22001 value too long for type character varying(256)", "longer than its column", "TYPE VARCHAR(65535)"},
		{"target", "23502 null value in column", "NOT NULL", "reload"},
		{"target", "2BP01 cannot drop table sales because other objects depend on it", "depends on the table", "NO SCHEMA BINDING"},
		{"target", "XX000 1023 | Serializable isolation violation on table", "keep writing the table", "find who else"},
		{"target", "53100 Disk Full", "disks are full", "free space"},
		{"file", "XX000 Spectrum Scan Error | code: 15001 context: HTTP response error code: 416 Message: InvalidRange", "another size than its commit says", "first version"},
		{"file", "XX000 Spectrum Scan Error | code: 15007 context: Unmatched number of columns between table and file. Table columns: 20, Data columns: 16", "another number of columns", "lake files --table app.sales"},
		{"file", "XX000 Spectrum Scan Error | code: 15007 context: File 's3://…' has an incompatible Parquet schema for column", "another type than its commit says", "loader skip --file lake/f.parquet"},
		{"file", "XX000 File entry does not have 'meta' key. | code: 15003", "lacks the size of a file", "retry"},
		{"file", "XX000 The specified key does not exist | 404 NoSuchKey", "is gone from S3", "bucket's versions"},
		{"file", "XX000 AccessDenied 403", "role may not read", "s3:GetObject"},
		{"file", "XX000 Spectrum Scan Error | code: 15001 The length of the data column note is longer than the length defined in the table. Table: 256, Data: 300", "longer than its column in the staging table", "lake files"},
		{"file", "XX000 error 1202 Extra column(s) found", "more columns than the table", "lake files"},
		{"file", "XX000 error 1204 String length exceeds DDL length", "longer than its column in the staging table", "lake files"},
		{"file", "XX000 error 1216 Missing newline", "damaged", "lake files"},
		{"file", "XX000 Assert | code: 1000", "internal error", "AWS"},
		{"count", "copy k into stg: 3 rows, the commits promise 4", "another number of rows", "lake files"},
		{"something new", "99999 never seen", "Redshift refuses the load", "millstream loader retry --target app.sales"},
	} {
		got := explain(c.reason, c.said)
		mend := got.fill(Held{Target: "app.sales", File: "lake/f.parquet"}, "loader")
		if !strings.Contains(got.words, c.words) || !strings.Contains(mend, c.mend) {
			t.Errorf("%s: %s\n  means %q, mend %q; want %q, %q", c.reason, c.said, got.words, mend, c.words, c.mend)
		}
	}
}

// The lake has no rows to load a mirror from, so status must not send anybody
// to loader reload.
func TestMirrorsAreMendedAtTheOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, said string }{{"dropped", ""}, {"columns", ""}, {"target", "42P01 relation does not exist"}, {"target", "23502 null value"}} {
		mend := explain(c.reason, c.said).fill(Held{Target: "shop_main.customers", topic: "acme.changes.shop.main.customers"}, "u")
		if !strings.Contains(mend, "millstream cdc reload shop main.customers,") || strings.Contains(mend, "loader reload") {
			t.Errorf("%s: %s", c.reason, mend)
		}
	}
}
