package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/millstream-data/millstream/"

// A rule says what the packages below a folder may import: of this module, and of others. "std" is the standard
// library and always allowed. A folder's own subfolders are allowed unless the rule names them itself; the longest
// folder wins. The table is design: docs/architecture.md says why.
type rule struct {
	folder string
	own    []string // folders of this module; an entry allows what lies below it, too
	others []string // import paths of other modules; an entry allows what lies below it, too
	hint   string   // the way out
}

var (
	codecs   = []string{"internal/event", "internal/wire"}
	plumbing = []string{
		"internal/event", "internal/wire", "internal/config", "internal/telemetry", "internal/kafka",
		"internal/objstore", "internal/parquetout", "internal/lake", "internal/warehouse", "internal/metric", "internal/dedup",
	}
	prometheus = "github.com/prometheus/client_golang"
	franz      = "github.com/twmb/franz-go"
)

const (
	meetInBytes  = "roles meet in bytes only (a topic, an object, a table): move what both need to internal/event or internal/wire"
	leafHint     = "internal packages do not import each other where docs/architecture.md does not say so: pass values in"
	pureHint     = "formats and vocabulary stay free of clients, configuration and logs"
	localHint    = "the embedded servers speak protocols and know no role: no role has a dev branch"
	standsAlone  = "the SDKs are clients like any other and stand alone"
	outsideHints = "the binary is used from outside, as its users do"
)

var rules = []rule{
	{"internal/event", nil, nil, pureHint},
	{"internal/wire", []string{"internal/event"}, []string{"github.com/segmentio/encoding", "github.com/klauspost/compress"}, pureHint},
	{"internal/config", nil, []string{"gopkg.in/yaml.v3"}, leafHint},
	{"internal/telemetry", []string{"internal/config"}, []string{prometheus}, leafHint},
	{"internal/kafka", append(codecs, "internal/config"), []string{franz, prometheus}, leafHint},
	{"internal/objstore", append(codecs, "internal/config"), []string{"github.com/aws", prometheus}, leafHint},
	{"internal/parquetout", append(codecs, "internal/config"), []string{"github.com/apache/arrow/go/v15", prometheus}, leafHint},
	{"internal/lake", append(codecs, "internal/config", "internal/objstore"), []string{"github.com/segmentio/encoding", "golang.org/x/text", prometheus}, leafHint},
	{"internal/warehouse", append(codecs, "internal/config"), []string{"github.com/jackc/pgx", "github.com/aws/aws-sdk-go-v2/aws", "github.com/aws/aws-sdk-go-v2/config", prometheus}, leafHint},
	// A question to a cluster is asked with a file as the batcher writes it, put where COPY finds it.
	{"internal/warehouse/probe", append(codecs, "internal/config", "internal/warehouse", "internal/objstore", "internal/parquetout"), nil, "probes ask a cluster and decide nothing: what the loader does lies in batcher/loader"},
	{"internal/metric", append(codecs, "internal/config"), []string{"github.com/jackc/pgx", "modernc.org/sqlite", "gopkg.in/yaml.v3", "github.com/cespare/xxhash", prometheus}, leafHint},
	{"internal/metric/metrictest", append(codecs, "internal/config", "internal/metric"), []string{"github.com/google/go-cmp"}, "the suite that every metric store passes is for tests"},
	{"internal/dedup", append(codecs, "internal/config"), []string{"github.com/cespare/xxhash", prometheus}, leafHint},
	{"ingest", plumbing, nil, meetInBytes},
	{"cdc", plumbing, nil, meetInBytes},
	{"cdc/keystore", nil, []string{"github.com/cockroachdb/pebble"}, "the key store keeps bytes and knows no topic, no plan and no origin"},
	{"batcher", plumbing, nil, meetInBytes},
	{"rollup", plumbing, nil, meetInBytes},
	{"serve", plumbing, nil, meetInBytes},
	{"internal/local", append(codecs, "internal/config"), nil, localHint},
	{"internal/verify", plumbing, nil, "verify compares what all sinks hold, and so may read each of them; it knows roles by what they leave behind"},
	{"internal/demo", []string{"internal/event", "internal/config"}, []string{"modernc.org/sqlite"}, "the demo shop is a customer like any other: it sends HTTP and keeps a database"},
	{"internal/testkit", append(slices.Clone(plumbing), "internal/local"), nil, localHint},
	{"internal/e2e", append(slices.Clone(plumbing), "internal/testkit", "internal/local"), nil, outsideHints},
	{"cmd/millstream", append(slices.Clone(plumbing), "internal/local", "internal/demo", "internal/bench", "internal/verify", "deploy", "ingest", "cdc", "batcher", "rollup", "serve"), nil, "wiring imports roles and embedded servers, nothing of sdk, bench or testkit"},
	{"internal/bench", append(codecs, "internal/config", "internal/kafka"), nil, "a benchmark drives servers from outside; cmd starts them"},
	{"bench", append(slices.Clone(plumbing), "internal/local", "internal/testkit"), nil, outsideHints},
	{"deploy", nil, nil, "deploy holds files for others, embedded and no more"},
	{"sdk", nil, nil, standsAlone},
	{"sdk/conformance", append(slices.Clone(plumbing), "internal/testkit", "ingest"), nil, "the SDKs are held to one behaviour against the real ingest; it meets the other roles in bytes"},
	{"scripts", nil, []string{"github.com/segmentio/analytics-go"}, "the drivers of Segment's SDKs know Millstream by its HTTP edge only"},
}

// onlyIn lists packages of others that one folder wraps. Tests may use them to look from outside.
var onlyIn = []struct{ path, folder, hint string }{
	{"github.com/apache/arrow", "internal/parquetout", "Parquet is written by internal/parquetout alone, which knows the traps"},
	{"github.com/twmb/franz-go/pkg/kfake", "internal/local", "tests get a broker from internal/testkit"},
	{"github.com/cockroachdb", "cdc/keystore", "keys are kept by cdc/keystore alone, which knows what a crash leaves of them"},
	{"github.com/duckdb", "internal/local/redshift", "the warehouse is spoken to as Redshift, by internal/warehouse"},
	{"github.com/jeroenrinzema/psql-wire", "internal/local/redshift", "the warehouse is spoken to as Redshift, by internal/warehouse"},
	{"github.com/johannesboyne/gofakes3", "internal/local", "objects are spoken to as S3, by internal/objstore"},
	// internal/warehouse may take the SDK's core: it signs two calls for temporary credentials.
	{"github.com/aws", "internal/objstore", "objects are read and written by internal/objstore"},
	{"github.com/parquet-go", "internal/testkit", "Parquet is written and read by internal/parquetout; parquet-go is a second pair of eyes for tests"},
}

// source is a Go file with its imports and, for those tests that need them, its declarations.
type source struct {
	path   string // with slashes, from the root of the module
	folder string
	test   bool
	file   *ast.File
	fset   *token.FileSet
}

func (s source) at(pos token.Pos) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(pos).Line)
}

// parseAll reads every Go file of the repository without building it.
func parseAll(t *testing.T, mode parser.Mode) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != ".." && (name == "testdata" || name == "node_modules" || name[0] == '.' || name[0] == '_') {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, mode)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(filepath.ToSlash(path), "../")
		folder := filepath.ToSlash(filepath.Dir(rel))
		all = append(all, source{rel, folder, strings.HasSuffix(name, "_test.go"), f, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found %d Go files; the test looks in the wrong place", len(all))
	}
	return all
}

// under says whether path is folder or lies below it.
func under(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func underAny(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return under(path, f) })
}

// ruleFor returns the rule with the longest folder that folder is in.
func ruleFor(folder string) (rule, bool) {
	best, found := rule{}, false
	for _, r := range rules {
		if under(folder, r.folder) && len(r.folder) >= len(best.folder) {
			best, found = r, true
		}
	}
	return best, found
}

// forbidden says why a file in folder may not import path, or nothing.
func forbidden(folder, path string, test bool) string {
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		return ""
	}
	own, isOwn := strings.CutPrefix(path, module)
	r, found := ruleFor(folder)
	switch {
	case !found:
		return "no rule for " + folder + ": add one to the table in internal/arch_test.go"
	case isOwn && own == "internal/testkit" || under(own, "internal/testkit"):
		if test || under(folder, "internal/testkit") || under(folder, "internal/e2e") {
			return ""
		}
		return "internal/testkit is for tests"
	case isOwn && (under(own, r.folder) || underAny(own, r.own)):
		return ""
	case isOwn && test && under(own, "internal") && r.hint != pureHint:
		return "" // a test may look at any internal package, at no role but its own
	case isOwn:
		return r.hint
	}
	for _, o := range onlyIn {
		if under(path, o.path) && !under(folder, o.folder) && !test && !under(folder, "internal/testkit") && !allowedOther(r, path) {
			return o.hint
		}
	}
	if r.others != nil && !test && !allowedOther(r, path) {
		return r.folder + " imports " + strings.Join(r.others, ", ") + " and no other module: " + r.hint
	}
	if r.others == nil && (under(folder, "internal/event") || under(folder, "sdk")) && !test {
		return r.folder + " uses the standard library alone: " + r.hint
	}
	return ""
}

func allowedOther(r rule, path string) bool { return underAny(path, r.others) }

func TestImportsFollowTheTable(t *testing.T) {
	t.Parallel()
	for _, src := range parseAll(t, parser.ImportsOnly) {
		for _, imp := range src.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := forbidden(src.folder, path, src.test); why != "" {
				t.Errorf("%s: %s imports %s: %s, see docs/architecture.md",
					src.at(imp.Pos()), src.folder, strings.TrimPrefix(path, module), why)
			}
		}
	}
}

func TestTableForbids(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		folder, path string
		test, ok     bool
	}{
		{"rollup", module + "batcher", false, false},
		{"rollup", module + "batcher", true, false},
		{"batcher", module + "batcher/loader", false, true},
		{"batcher/loader", module + "internal/warehouse", false, true},
		{"ingest", module + "internal/local", false, false},
		{"ingest", module + "internal/local", true, true},
		{"ingest", module + "internal/testkit", false, false},
		{"ingest", module + "internal/testkit", true, true},
		{"ingest", module + "cmd/millstream", true, false},
		{"internal/wire", module + "internal/config", false, false},
		{"internal/wire", "github.com/twmb/franz-go/pkg/kgo", false, false},
		{"internal/event", "github.com/segmentio/encoding/json", false, false},
		{"internal/lake", module + "internal/objstore", false, true},
		{"internal/objstore", module + "internal/lake", false, false},
		{"batcher", "github.com/apache/arrow/go/v15/arrow", false, false},
		{"batcher", "github.com/apache/arrow/go/v15/parquet/file", true, true},
		{"internal/parquetout", "github.com/apache/arrow/go/v15/arrow", false, true},
		{"internal/local", module + "ingest", false, false},
		{"internal/local/redshift", "github.com/duckdb/duckdb-go/v2", false, true},
		{"serve", "github.com/duckdb/duckdb-go/v2", false, false},
		{"serve", "github.com/gorilla/websocket", false, true},
		{"cmd/millstream", module + "ingest", false, true},
		{"cmd/millstream", module + "internal/testkit", false, false},
		{"sdk/go", module + "internal/event", false, false},
		{"sdk/conformance", module + "ingest", true, true},
		{"sdk/conformance", module + "batcher", true, false},
		{"tools/new", module + "internal/event", false, false},
	} {
		if why := forbidden(c.folder, c.path, c.test); (why == "") != c.ok {
			t.Errorf("%s imports %s (test: %t): got %q, want allowed %t", c.folder, c.path, c.test, why, c.ok)
		}
	}
}

// vague are the words that say of an error only that it is one; rule 11 of the house.
var vague = regexp.MustCompile(`(?i)\b(failed to|failure to|error|cannot|can't|could not|couldn't|unable)\b`)

func TestErrorsNameWhatWasDone(t *testing.T) {
	t.Parallel()
	for _, src := range parseAll(t, parser.SkipObjectResolution) {
		if src.test {
			continue
		}
		ast.Inspect(src.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 || !isErrorf(call.Fun) {
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING || !strings.Contains(lit.Value, "%w") {
				return true
			}
			if word := vague.FindString(lit.Value); word != "" {
				t.Errorf("%s: fmt.Errorf says %q: wrap with a bare verb and the value, such as \"put %%s: %%w\"",
					src.at(call.Pos()), word)
			}
			return true
		})
	}
}

func isErrorf(fun ast.Expr) bool {
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Errorf" {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "fmt"
}

// named finds the tests in the comments of a doc.go; a trailing /case is not part of the function's name.
var named = regexp.MustCompile(`\b(Test|Fuzz)[A-Z][A-Za-z0-9_]*\b`)

func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	all := parseAll(t, parser.ParseComments|parser.SkipObjectResolution)
	tests := map[string]bool{}
	for _, src := range all {
		for _, d := range src.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && src.test && f.Recv == nil {
				tests[f.Name.Name] = true
			}
		}
	}
	for _, src := range all {
		if filepath.Base(src.path) != "doc.go" || src.file.Doc == nil {
			continue
		}
		for _, name := range named.FindAllString(src.file.Doc.Text(), -1) {
			if !tests[name] {
				t.Errorf("%s names %s, which no _test.go file has: write it, or correct the table", src.path, name)
			}
		}
	}
}

// TestFilesStayReadable is the hard limit of the house for files; the linter knows the one for functions.
func TestFilesStayReadable(t *testing.T) {
	t.Parallel()
	for _, src := range parseAll(t, parser.PackageClauseOnly) {
		data, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(src.path)))
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(data), "\n"); lines > 600 {
			t.Errorf("%s has %d lines, 600 is the limit and 400 the aim: give each of its jobs a file", src.path, lines)
		}
	}
}

// TestPackagesSayWhatTheyAre wants a package comment everywhere and a doc.go with its headings for each role.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	commented, docs := map[string]bool{}, map[string]string{}
	for _, src := range parseAll(t, parser.ParseComments|parser.PackageClauseOnly) {
		if src.test {
			continue
		}
		has := src.file.Doc != nil
		commented[src.folder] = commented[src.folder] || has
		if has && filepath.Base(src.path) == "doc.go" {
			docs[src.folder] = src.file.Doc.Text()
		}
	}
	for folder, has := range commented {
		if !has {
			t.Errorf("%s has no package comment", folder)
		}
	}
	for _, role := range []string{"ingest", "cdc", "batcher", "batcher/loader", "rollup", "serve"} {
		if _, exists := commented[role]; !exists {
			continue
		}
		for _, heading := range []string{"Promise", "Invariants", "Goroutines", "Failures", "Metrics", "Non-obvious"} {
			if !strings.Contains(docs[role], "# "+heading) {
				t.Errorf("%s/doc.go lacks the heading %q", role, "# "+heading)
			}
		}
	}
}
