package ingest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/millstream-data/millstream/internal/testkit"
)

const apiFile = "../docs/openapi.yaml"

// api is docs/openapi.yaml, with references followed by hand.
type api struct {
	root    map[string]any
	schemas *jsonschema.Compiler
}

func readAPI(t *testing.T) *api {
	t.Helper()
	raw, err := os.ReadFile(apiFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &api{root: value.(map[string]any), schemas: jsonschema.NewCompiler()}
	d.schemas.AssertFormat()
	if err := d.schemas.AddResource("https://millstream.test/openapi", value); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows a pointer such as /paths, and the reference that stands there.
func (d *api) at(t *testing.T, pointer string) (node map[string]any, where string) {
	t.Helper()
	var cur any = d.root
	for seg := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		m, ok := cur.(map[string]any)
		if !ok {
			t.Fatalf("%s: nothing at %s", pointer, seg)
		}
		cur = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(seg)]
	}
	node, ok := cur.(map[string]any)
	if !ok {
		return nil, pointer
	}
	if ref, ok := node["$ref"].(string); ok {
		return d.at(t, strings.TrimPrefix(ref, "#"))
	}
	return node, pointer
}

func step(pointer, name string) string {
	return pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// operation is what one method of one path does.
type operation struct {
	method, path string
	admin        bool
	node         map[string]any
	where        string
}

func (d *api) operations(t *testing.T) []operation {
	t.Helper()
	var out []operation
	for path := range d.root["paths"].(map[string]any) {
		item, where := d.at(t, step("/paths", path))
		for _, method := range []string{"get", "head", "post", "put", "patch", "delete"} {
			if node, at := d.at(t, step(where, method)); node != nil {
				out = append(out, operation{strings.ToUpper(method), path, item["x-admin"] == true, node, at})
			}
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

// trial is a request that the document shows, and the answer that it promises.
type trial struct {
	name, path, query, key, body, code string
	status                             int
	stream                             bool
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func statusOf(v any, otherwise int) int {
	if n, ok := v.(json.Number); ok {
		i, _ := strconv.Atoi(n.String())
		return i
	}
	return otherwise
}

func (op *operation) trials(t *testing.T, d *api) []trial {
	t.Helper()
	path := op.path
	params, _ := op.node["parameters"].([]any)
	for _, p := range params {
		if p := p.(map[string]any); p["in"] == "path" {
			path = strings.ReplaceAll(path, "{"+text(p["name"])+"}", text(p["example"]))
		}
	}
	var out []trial
	requests, _ := op.node["x-requests"].([]any)
	for i, r := range requests {
		r := r.(map[string]any)
		tr := trial{name: strconv.Itoa(i), path: path, query: text(r["query"]), key: text(r["key"]), code: text(r["code"]), status: statusOf(r["status"], 200)}
		if own := text(r["path"]); own != "" {
			tr.path = own
		}
		tr.stream = r["stream"] == true
		out = append(out, tr)
	}
	if op.node["requestBody"] != nil {
		examples, _ := d.at(t, op.where+"/requestBody/content/application~1json/examples")
		for name, ex := range examples {
			ex := ex.(map[string]any)
			body, err := json.Marshal(ex["value"])
			if err != nil {
				t.Fatal(err)
			}
			tr := trial{name: name, path: path, key: "dev-server", body: string(body), code: text(ex["x-code"]), status: statusOf(ex["x-status"], 200)}
			if key, ok := ex["x-key"].(string); ok {
				tr.key = key
			}
			out = append(out, tr)
		}
	}
	if len(out) == 0 {
		t.Errorf("%s %s: no example", op.method, op.path)
	}
	return out
}

func TestH20Docs(t *testing.T) {
	t.Parallel()
	e, d := setup(t), readAPI(t)
	equal(t, "a refused event to ask for", e.post(t, "/v1/page", `{"name":"nobody"}`).status, 400)
	testkit.Eventually(t, "it should be known", func() error {
		if a := e.post(t, "/v1/page", page("m")); a.status != 200 {
			return fmt.Errorf("%d", a.status)
		}
		if a := e.do(t, "GET", "/v1/rejections", "", "X-Write-Key", "dev-server"); !strings.Contains(a.body, `"id":"0-0"`) {
			return fmt.Errorf("%s", a.body)
		}
		return nil
	})
	admin := http.NewServeMux()
	var shown []string
	e.mount(func(pattern string, h http.Handler) {
		shown = append(shown, pattern)
		admin.Handle(pattern, h)
	})
	pages := httptest.NewServer(admin)
	defer pages.Close()
	for _, op := range d.operations(t) {
		url := e.url
		if op.admin {
			url = pages.URL
		}
		for _, tr := range op.trials(t, d) {
			d.try(t, &op, tr, url)
		}
	}
	d.routes(t, e.Server, shown)
}

// try sends an example and compares the answer with what the document says.
func (d *api) try(t *testing.T, op *operation, tr trial, url string) {
	t.Helper()
	what := fmt.Sprintf("%s %s %s", op.method, op.path, tr.name)
	req, err := http.NewRequestWithContext(t.Context(), op.method, url+tr.path+"?"+tr.query, strings.NewReader(tr.body))
	if err != nil {
		t.Fatal(err)
	}
	if tr.key != "" {
		req.Header.Set("X-Write-Key", tr.key)
	}
	client := &http.Client{Timeout: time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	var body []byte
	if tr.stream && resp.StatusCode == http.StatusOK {
		body, err = in.ReadBytes('\n')
	} else {
		var buf bytes.Buffer
		_, err = in.WriteTo(&buf)
		body = buf.Bytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != tr.status {
		t.Errorf("%s: %d %s, the document says %d", what, resp.StatusCode, body, tr.status)
		return
	}
	answer, where := d.at(t, op.where+"/responses/"+strconv.Itoa(tr.status))
	if answer == nil {
		t.Errorf("%s: the document has no answer %d", what, tr.status)
		return
	}
	headers, _ := answer["headers"].(map[string]any)
	for name := range headers {
		if resp.Header.Get(name) == "" {
			t.Errorf("%s: no header %s", what, name)
		}
	}
	if content, _ := answer["content"].(map[string]any); op.method != http.MethodHead && (len(body) > 0 || content != nil) {
		d.valid(t, what, where, content, resp.Header.Get("Content-Type"), body)
	}
	if tr.code != "" && !strings.Contains(string(body), `"code":"`+tr.code+`"`) {
		t.Errorf("%s: %s, the document says %s", what, body, tr.code)
	}
}

// valid checks a body against the schema of its content type.
func (d *api) valid(t *testing.T, what, where string, content map[string]any, typ string, body []byte) {
	t.Helper()
	typ, _, _ = strings.Cut(typ, ";")
	if content[typ] == nil {
		t.Errorf("%s: the answer is %s, the document has %v", what, typ, slices.Collect(maps.Keys(content)))
		return
	}
	if !strings.HasSuffix(typ, "json") {
		return
	}
	schema, err := d.schemas.Compile("https://millstream.test/openapi#" + step(where+"/content", typ) + "/schema")
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("%s: %s: %v", what, body, err)
	}
}

// routes compares the document's paths with those that are served.
func (d *api) routes(t *testing.T, s *Server, shown []string) {
	t.Helper()
	paths, documented, kinds := map[string][]string{}, []string{}, map[routeKind]bool{}
	for _, op := range d.operations(t) {
		if op.admin {
			documented = append(documented, op.method+" "+op.path)
			continue
		}
		if paths[op.path] = append(paths[op.path], op.method); op.method == http.MethodGet { // the document says so once, for all
			paths[op.path] = append(paths[op.path], http.MethodHead)
		}
		rt := s.router.find(regexp.MustCompile(`\{\w+\}`).ReplaceAllString(op.path, "dev"))
		if rt.kind == routeOther || !rt.takes(op.method) {
			t.Errorf("%s has %s %s, which is not served", apiFile, op.method, op.path)
		}
		kinds[rt.kind] = true
	}
	for path, rt := range s.router.canonical {
		equal(t, "methods of "+path+" in "+apiFile, strings.Join(append(paths[path], "OPTIONS"), ", "), rt.allow())
	}
	source, err := os.ReadFile("route.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(source), "routeOther routeKind = iota")
	list, _, _ = strings.Cut(list, "\n)")
	for i, name := range regexp.MustCompile(`(?m)^\troute\w+`).FindAllString(list, -1) {
		if !kinds[routeKind(i+1)] {
			t.Errorf("%s has no path of %s", apiFile, name)
		}
	}
	slices.Sort(shown)
	slices.Sort(documented)
	equal(t, "pages of the admin server in "+apiFile, documented, shown)
}

// TestEveryCodeIsInTheAPI compares the codes of the source with those of the document, and the status of each.
func TestEveryCodeIsInTheAPI(t *testing.T) {
	t.Parallel()
	d := readAPI(t)
	codes := func(pattern string, files ...string) []string {
		var out []string
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			body, _, _ := strings.Cut(string(raw), "// Codes that later stages give")
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(body, -1) {
				out = append(out, m[1])
			}
		}
		slices.Sort(out)
		return out
	}
	listed := func(pointer string) []string {
		node, _ := d.at(t, pointer)
		var out []string
		for _, c := range node["enum"].([]any) {
			out = append(out, text(c))
		}
		slices.Sort(out)
		return out
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go") {
			sources = append(sources, f.Name())
		}
	}
	equal(t, "codes of requests", listed("/components/schemas/RequestCode"), codes(`(?m)^\tcode[A-Z]\w+ += "(\w+)"`, sources...))
	equal(t, "codes of events", listed("/components/schemas/EventCode"), codes(`(?m)^\tCode[A-Z]\w+ +Code = "(\w+)"`, "../internal/event/event.go"))

	told := map[string]map[int]bool{}
	tell := func(where string, status int) {
		node, _ := d.at(t, where)
		raw, err := json.Marshal(node)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"code":\{"(?:const":("\w+")|enum":\[([^\]]*)\])`).FindAllStringSubmatch(string(raw), -1) {
			for quoted := range strings.SplitSeq(m[1]+m[2], ",") {
				code := strings.Trim(quoted, `"`)
				if told[code] == nil {
					told[code] = map[int]bool{}
				}
				told[code][status] = true
			}
		}
	}
	for _, op := range d.operations(t) {
		for status := range op.node["responses"].(map[string]any) {
			n, _ := strconv.Atoi(status)
			tell(op.where+"/responses/"+status, n)
		}
	}
	tell("/components/responses/UnknownRoute", 404)
	tell("/components/responses/MethodNotAllowed", 405)
	for _, code := range listed("/components/schemas/RequestCode") {
		want := map[int]bool{refuse(code, "").status(): true}
		if code == codeUnknownKey {
			want[404] = true // of settings
		}
		equal(t, "statuses of "+code, told[code], want)
	}
}
