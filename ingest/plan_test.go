package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
)

// planFolder writes files, by their path, into a folder and returns it.
func planFolder(t testing.TB, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const orderSchema = `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","required":["total"],` +
	`"properties":{"total":{"type":"number","minimum":0},"currency":{"enum":["EUR","USD"]},"id":{"type":"integer"}}}`

const userSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"email":{"type":"string","format":"email"}}}`

// withPlan gives the source app a plan, which is written into a folder together with two schemas.
func withPlan(t *testing.T, text string) func(*Config) {
	t.Helper()
	dir := planFolder(t, map[string]string{"plan.yaml": text, "schemas/order.json": orderSchema, "schemas/user.json": userSchema})
	return func(cfg *Config) {
		app := cfg.Sources["app"]
		app.Plan = filepath.Join(dir, "plan.yaml")
		cfg.Sources["app"] = app
	}
}

const plannedEvents = `
events:
  Order Completed: {schema: schemas/order.json}
  Order Refused: {schema: schemas/order.json, mode: reject}
  Order Allowed: {schema: schemas/order.json, mode: allow}
types: {identify: {schema: schemas/user.json}}
`

func track(id, name, rest string) string {
	return fmt.Sprintf(`{"type":"track","userId":"u1","messageId":%q,"event":%q%s}`, id, name, rest)
}

func violationsIn(t *testing.T, value []byte) []string {
	t.Helper()
	var v struct {
		Context struct {
			Millstream struct {
				Flags      []string
				Violations []struct{ Path, Rule, Message string }
			}
		}
	}
	if err := json.Unmarshal(value, &v); err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	var out []string
	for _, x := range v.Context.Millstream.Violations {
		out = append(out, x.Path+" "+x.Rule+" "+x.Message)
	}
	return out
}

func TestH18Plan(t *testing.T) {
	t.Parallel()
	const bad = `,"properties":{"total":"secret","currency":"XXX"}`
	wrong := []string{`/properties/currency enum must be one of ["EUR","USD"]`, `/properties/total type must be number, not string`}

	t.Run("flags, rejects, allows and counts", func(t *testing.T) {
		t.Parallel()
		e := setup(t, withPlan(t, plannedEvents))
		got := e.post(t, "/v1/batch", `{"batch":[`+strings.Join([]string{
			track("m0", "Order Completed", `,"properties":{"total":1.0,"id":9007199254740993}`),
			track("m1", "Order Completed", bad),
			track("m2", "Order Refused", bad),
			track("m3", "Order Allowed", bad),
			track("m4", "Other", bad),
			`{"type":"identify","userId":"u1","messageId":"m5","traits":{"email":"nobody"}}`,
			`{"type":"page","userId":"u1","messageId":"m6","properties":{"total":"x"}}`,
		}, ",")+`]}`)
		const message = `/properties/currency: must be one of ["EUR","USD"] (enum), and 1 more`
		quoted, _ := json.Marshal(message)
		equal(t, "answer", got.body, `{"success":true,"accepted":6,"rejected":[{"index":2,"messageId":"m2","code":"plan_violation","message":`+string(quoted)+`}]}`)
		told := map[string][]string{}
		for _, r := range e.events(t, 6) {
			if v := violationsIn(t, r.Value); v != nil {
				told[string(r.Headers[4].Value)] = v
			}
		}
		equal(t, "violations", told, map[string][]string{"m1": wrong, "m5": {"/traits/email format must be in the format email"}})
		dead := e.rejected(t, 1)[0]
		equal(t, "dead letter", []string{string(dead.Code), dead.Message, dead.Type}, []string{"plan_violation", message, "track"})
		if strings.Contains(dead.Message, "secret") {
			t.Errorf("the message quotes a value: %s", dead.Message)
		}
		for o, n := range map[string]float64{"ok": 1, "flag": 2, "reject": 1, "allow": 2, "would_flag": 0, "would_reject": 0} {
			equal(t, o, e.metric(t, "plan_results_total", o, "app"), n)
		}
	})

	t.Run("unplanned events", func(t *testing.T) {
		t.Parallel()
		for mode, want := range map[string]string{"flag": "[/event unplanned the tracking plan has no such event]", "allow": "[]"} {
			e := setup(t, withPlan(t, "unplanned: "+mode+plannedEvents))
			equal(t, mode, e.post(t, "/v1/track", track("m", "Other", "")).body, `{"success":true}`)
			equal(t, mode, fmt.Sprint(violationsIn(t, e.events(t, 1)[0].Value)), want)
		}
		e := setup(t, withPlan(t, "unplanned: reject"+plannedEvents))
		got := e.post(t, "/v1/track", track("m", "Other", ""))
		equal(t, "status", got.status, 400)
		equal(t, "code", string(e.rejected(t, 1)[0].Code), "unplanned_event")
		equal(t, "count", e.metric(t, "plan_results_total", "reject", "app"), 1.0)
	})

	t.Run("dry run accepts everything", func(t *testing.T) {
		t.Parallel()
		e := setup(t, withPlan(t, "dry_run: true\nunplanned: reject"+plannedEvents), twoSources)
		for _, ev := range []string{track("m0", "Order Completed", bad), track("m1", "Order Refused", bad), track("m2", "Other", "")} {
			equal(t, "answer", e.post(t, "/v1/track", ev).body, `{"success":true}`)
		}
		for _, r := range e.events(t, 3) {
			equal(t, "violations", violationsIn(t, r.Value), []string(nil))
		}
		equal(t, "would_flag", e.metric(t, "plan_results_total", "would_flag", "app"), 1.0)
		equal(t, "would_reject", e.metric(t, "plan_results_total", "would_reject", "app"), 2.0)
		for query, want := range map[string]string{
			"":                       "m2 m1 complete=true next=false",
			"&code=unplanned_event":  "m2 complete=true next=false",
			"&event=Order%20Refused": "m1 complete=true next=false",
			"&message_id=m0":         " complete=true next=false",
			"&limit=1":               "m2 complete=true next=true",
			"&until=1":               " complete=true next=false",
			"&since=2026-03-02":      " complete=true next=false",
		} {
			equal(t, query, e.ask(t, "dev-server", "?dry_run=1"+query).shown(), want)
		}
		page := e.ask(t, "dev-server", "?dry_run=1&limit=1")
		equal(t, "second page", e.ask(t, "dev-server", "?dry_run=1&limit=1&cursor="+*page.Next).shown(), "m1 complete=true next=false")
		equal(t, "view", page.Rejections[0], letterView{
			At: "2026-03-01T10:00:01.200Z", Source: "app", Stage: event.StageIngest, Code: event.CodeUnplannedEvent,
			Message: "the tracking plan has no such event", MessageID: "m2", Type: "track", Event: "Other", RequestID: page.Rejections[0].RequestID,
			Index: new(0), Key: "6b941275", Size: len(track("m2", "Other", "")),
		})
		equal(t, "another source", e.ask(t, "shop-server", "?dry_run=1").shown(), " complete=true next=false")
		equal(t, "a browser", e.do(t, "GET", "/v1/rejections?dry_run=1", "", "X-Write-Key", "dev").status, 403)
		equal(t, "operators", decodePage(t, e.admin(t, "/rejections?dry_run=1&source=app").body).shown(), "m2 m1 complete=true next=false")
		equal(t, "dead letters", len(e.rejected(t, 0)), 0)
		equal(t, "parameter", e.do(t, "GET", "/v1/rejections?dry_run=yes", "", "X-Write-Key", "dev-server").status, 400)
	})

	t.Run("a changed schema is read again, a broken one is not", func(t *testing.T) {
		t.Parallel()
		e, file := setupFile(t, keyed("first"))
		dir := filepath.Dir(string(file))
		save := func(name, text string) {
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, "schemas"), 0o700), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		save("plan.yaml", "events: {E: {schema: schemas/e.json, mode: reject}}\n")
		save("schemas/e.json", `{"required":["total"]}`)
		file.save(t, keyed("first")+"    plan: plan.yaml\n")
		e.until(t, "first", "/properties/total: is missing")
		save("schemas/e.json", `{"required":["price"]}`)
		e.until(t, "first", "/properties/price: is missing")
		save("schemas/e.json", `{"required":"price"}`)
		e.until(t, "second", codeKeysStale)
		for _, want := range []string{string(file) + ":5:", "sources.app.plan", "plan.yaml:1:", "events.E.schema", "schemas/e.json#/required"} {
			if c := e.Check(t.Context()); !strings.Contains(c.Sentence, want) {
				t.Errorf("%q lacks %q", c.Sentence, want)
			}
		}
		e.until(t, "first", "/properties/price: is missing")
		save("schemas/e.json", `{}`)
		e.until(t, "first", `"success":true`)
	})

	t.Run("a new snapshot has the new plan", func(t *testing.T) {
		t.Parallel()
		e := setup(t, withPlan(t, plannedEvents))
		equal(t, "before", e.post(t, "/v1/track", track("m0", "Order Completed", bad)).status, 200)
		cfg := e.cfg
		withPlan(t, "mode: reject"+plannedEvents)(&cfg)
		snap, err := newSnapshot(cfg, cfg.Sources, newFiles(""))
		if err != nil {
			t.Fatal(err)
		}
		e.sources.Store(snap)
		equal(t, "after", e.post(t, "/v1/track", track("m1", "Order Completed", bad)).status, 400)
	})

	t.Run("names that privacy rules may be about are not told", func(t *testing.T) {
		t.Parallel()
		e := setup(t, withPlan(t, `
events:
  Invited: {schema: schemas/invited.json, mode: reject}
  Asked: {schema: schemas/invited.json}
`), func(cfg *Config) {
			app := cfg.Sources["app"]
			invited := `{"properties":{"who":{"additionalProperties":{"type":"integer"}},"list":{"items":{"type":"integer"}}},"additionalProperties":false}`
			if err := os.WriteFile(filepath.Join(filepath.Dir(app.Plan), "schemas/invited.json"), []byte(invited), 0o600); err != nil {
				t.Fatal(err)
			}
			app.Privacy = []PrivacyRule{{Action: PrivacyDrop, Path: "properties.*"}}
			cfg.Sources["app"] = app
		})
		const properties = `,"properties":{"who":{"eve@example.com":"x"},"list":["y"],"4915112345678":1,"mallory@example.com":2}`
		e.post(t, "/v1/batch", `{"batch":[`+track("m0", "Invited", properties)+","+track("m1", "Asked", properties)+`]}`)
		equal(t, "violations", violationsIn(t, e.events(t, 1)[0].Value), []string{
			"/properties/* additionalProperties is not in the plan", "/properties/list/0 type must be integer, not string", "/properties/who/* type must be integer, not string",
		})
		equal(t, "message", e.rejected(t, 1)[0].Message, "/properties/*: is not in the plan (additionalProperties), and 2 more")
	})

	t.Run("a broken schema names file and place", func(t *testing.T) {
		t.Parallel()
		dir := planFolder(t, map[string]string{
			"plan.yaml":         "events:\n  Paid: {schema: schemas/paid.json}\n",
			"schemas/paid.json": "{\n  \"type\": \"objekt\"\n}",
		})
		cfg := testConfig()
		app := cfg.Sources["app"]
		app.Plan = filepath.Join(dir, "plan.yaml")
		cfg.Sources["app"] = app
		_, err := newSnapshot(cfg, cfg.Sources, newFiles(""))
		for _, want := range []string{"ingest.sources.app.plan", "plan.yaml:2:", "events.Paid.schema", "schemas/paid.json#/type"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q in %v", want, err)
			}
		}
	})
}

func TestDryRunsAreBounded(t *testing.T) {
	t.Parallel()
	var d dryRuns
	for i := range 2*keepWould + 5 {
		d.add("app", []wouldReject{{at: at.Add(time.Duration(i) * time.Second), messageID: fmt.Sprint(i)}})
	}
	q := question{limit: pageMost}
	page := d.page(&q)
	equal(t, "kept", len(page.Rejections), keepWould)
	equal(t, "newest", page.Rejections[0].MessageID, fmt.Sprint(2*keepWould+4))
	equal(t, "oldest", page.Rejections[keepWould-1].MessageID, fmt.Sprint(keepWould+5))
	equal(t, "complete", page.Complete, false)
	q.since = at.Add((keepWould + 5) * time.Second)
	equal(t, "complete since", d.page(&q).Complete, true)
}

func TestPlanJudgesSingleAndBatchedEventsAlike(t *testing.T) {
	t.Parallel()
	e := setup(t, withPlan(t, "mode: reject"+plannedEvents))
	for i, c := range []struct{ rest, message string }{
		{``, "/properties/total: is missing (required)"},
		{`,"properties":null`, "/properties/total: is missing (required)"},
		{`,"properties":{}`, "/properties/total: is missing (required)"},
		{`,"properties":"x"`, "/properties: must be an object (type)"},
		{`,"x":{"properties":{"total":1}}`, "/properties/total: is missing (required)"},
		{`,"properties":{"total":"x"},"pro\u0070erties":{"tot\u0061l":1}`, ""},
		{`,"properties":{"total":1},"a":[1,"}",{"b":null}] , "properties" : {"total" : true} `, "/properties/total: must be number, not boolean (type)"},
		{`,"properties":{"total":1,"id":1.0}`, ""},
		{`,"properties":{"total":1,"id":9007199254740993}`, ""},
		{`,"properties":{"total":1,"id":9007199254740993.5}`, "/properties/id: must be integer, not number (type)"},
		{`,"properties":{"total":1e400,"id":1e2}`, ""},
		{`,"properties":{"total":-1e-400}`, "/properties/total: must be >= 0 (minimum)"},
		{`,"properties":{"total":1e1000000}`, "/properties/total: a number with so many digits is not judged (limit)"},
		{`,"properties":{"total":1,"total":2,"total":"x"}`, "/properties/total: must be number, not string (type)"},
	} {
		name := "Order Completed"
		if i%2 == 0 {
			name = `Order \u0043ompleted`
		}
		ev := `{"type":"track","userId":"u1","event":"` + name + `"` + c.rest + `}`
		var single, batch struct {
			Message  string
			Rejected []struct{ Message string }
		}
		if err := json.Unmarshal([]byte(e.post(t, "/v1/track", ev).body), &single); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(e.post(t, "/v1/batch", `{"batch":[`+ev+`]}`).body), &batch); err != nil {
			t.Fatal(err)
		}
		inBatch := ""
		if len(batch.Rejected) > 0 {
			inBatch = batch.Rejected[0].Message
		}
		equal(t, c.rest, []string{single.Message, inBatch}, []string{c.message, c.message})
	}
}

// judgeOne judges properties by a plan with one schema.
func judgeOne(t *testing.T, schema, properties string) []violation {
	t.Helper()
	s, err := compileSchema(t, map[string]string{"s.json": schema})
	if err != nil {
		t.Fatal(err)
	}
	left := planStepsRequest
	return s.check([]byte(properties), "/properties", false, &left)
}

// compileSchema compiles s.json, the files of whose plan have this content.
func compileSchema(t testing.TB, content map[string]string) (*schema, error) {
	t.Helper()
	docs := &schemaDocs{files: newFiles(planFolder(t, content)), dir: ".", parsed: map[string]any{}}
	return newSchema(docs, schemaScheme+":///s.json")
}

func TestViolationsNamePathAndRuleAndNoValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, properties, want string }{
		{`{"type":["string","null"]}`, `{}`, "/properties: must be null or string, not object (type)"},
		{`{"properties":{"a":{"const":1}}}`, `{"a":"v4lue"}`, "/properties/a: must be 1 (const)"},
		{`{"properties":{"a":{"format":"date-time"}}}`, `{"a":"v4lue"}`, "/properties/a: must be in the format date-time (format)"},
		{`{"properties":{"a":{"format":"regex"}}}`, `{"a":"(v4lue"}`, ""},
		{`{"properties":{"a":{"pattern":"^[A-Z]{3}$"}}}`, `{"a":"v4lue"}`, "/properties/a: must match ^[A-Z]{3}$ (pattern)"},
		{`{"properties":{"a":{"minLength":9}}}`, `{"a":"v4lue"}`, "/properties/a: must have at least 9 characters (minLength)"},
		{`{"properties":{"a":{"maxLength":2}}}`, `{"a":"v4lue"}`, "/properties/a: must have at most 2 characters (maxLength)"},
		{`{"properties":{"a":{"maximum":1.5}}}`, `{"a":44444}`, "/properties/a: must be <= 1.5 (maximum)"},
		{`{"properties":{"a":{"exclusiveMinimum":50000}}}`, `{"a":44444}`, "/properties/a: must be > 50000 (exclusiveMinimum)"},
		{`{"properties":{"a":{"exclusiveMaximum":5}}}`, `{"a":44444}`, "/properties/a: must be < 5 (exclusiveMaximum)"},
		{`{"properties":{"a":{"multipleOf":0.01}}}`, `{"a":4.444}`, "/properties/a: must be a multiple of 0.01 (multipleOf)"},
		{`{"properties":{"a":{"minItems":2}}}`, `{"a":["v4lue"]}`, "/properties/a: must have at least 2 items (minItems)"},
		{`{"properties":{"a":{"maxItems":0}}}`, `{"a":["v4lue"]}`, "/properties/a: must have at most 0 items (maxItems)"},
		{`{"properties":{"a":{"uniqueItems":true}}}`, `{"a":["v4lue","v4lue"]}`, "/properties/a: items 0 and 1 must not be equal (uniqueItems)"},
		{`{"minProperties":2}`, `{"a":1}`, "/properties: must have at least 2 members (minProperties)"},
		{`{"maxProperties":0}`, `{"a":1}`, "/properties: must have at most 0 members (maxProperties)"},
		{`{"properties":{"a":false}}`, `{"a":1}`, "/properties/a: is not in the plan (false)"},
		{`{"additionalProperties":false}`, `{"a/b~c":1}`, "/properties/a~1b~0c: is not in the plan (additionalProperties)"},
		{`{"propertyNames":{"maxLength":2}}`, `{"abc":1}`, `/properties: a member has a name that the plan does not allow: "abc" (propertyNames)`},
		{`{"properties":{"a":{"anyOf":[{"type":"null"},{"const":"b"}]}}}`, `{"a":"v4lue"}`, "/properties/a: fits none of the alternatives (anyOf)"},
		{`{"properties":{"a":{"oneOf":[{"type":"string"},{"minLength":1}]}}}`, `{"a":"v4lue"}`, "/properties/a: fits more than one of the alternatives (oneOf)"},
		{`{"properties":{"a":{"oneOf":[{"type":"null"}]}}}`, `{"a":"v4lue"}`, "/properties/a: fits none of the alternatives (oneOf)"},
		{`{"properties":{"a":{"not":{"type":"string"}}}}`, `{"a":"v4lue"}`, "/properties/a: fits what the plan excludes (not)"},
		{`{"allOf":[{"required":["b"]},{"$ref":"#/$defs/c"}],"$defs":{"c":{"required":["c"]}}}`, `{}`, "/properties/b: is missing (required) /properties/c: is missing (required)"},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, `/properties/b: is missing beside "a" (dependentRequired)`},
		{`{"properties":{"a":{"contains":{"const":1}}}}`, `{"a":["v4lue"]}`, "/properties/a: does not fit the plan (contains)"},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["b"]}}`, `{"a":1}`, `/properties/b: is missing beside "a" (dependencies)`},
		{`{"properties":{"a":{"items":{"$ref":"#/$defs/i"}}},"$defs":{"i":{"type":"integer"}}}`, `{"a":[1,"v4lue"]}`, "/properties/a/1: must be integer, not string (type)"},
	} {
		var got []string
		for _, v := range judgeOne(t, c.schema, c.properties) {
			got = append(got, v.String())
		}
		equal(t, c.schema, strings.Join(got, " "), c.want)
	}
}

func TestViolationsAreBoundedAndAlwaysTheSame(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf(`"n%02d%s":1`, i, strings.Repeat("ä", 200)))
	}
	properties := "{" + strings.Join(names, ",") + "}"
	first := judgeOne(t, `{"additionalProperties":false}`, properties)
	equal(t, "violations", len(first), maxViolations)
	for i, v := range first {
		if want := fmt.Sprintf("/properties/n%02d", i); !strings.HasPrefix(v.path, want) || len(v.path) > maxWords {
			t.Errorf("violation %d: %s", i, v.path)
		}
	}
	for range 5 {
		if fmt.Sprint(judgeOne(t, `{"additionalProperties":false}`, properties)) != fmt.Sprint(first) {
			t.Fatal("equal properties got other violations")
		}
	}
}

func TestPlanFilesAreReadStrictly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, plan, schema string
		want               []string
	}{
		{"unknown key", "evnts: {}\n", "", []string{"plan.yaml:1:1", "evnts", "did you mean events?"}},
		{"unknown mode", "mode: flga\n", "", []string{"plan.yaml:1:7", "mode", "allow, flag or reject"}},
		{"mode of an event", "events:\n  A: {schema: s.json, mode: deny}\n", "{}", []string{"plan.yaml:2:", "events.A.mode"}},
		{"unknown type", "types: {alias: {schema: s.json}}\n", "{}", []string{"types.alias", "identify"}},
		{"schema away", "events: {A: {schema: t.json}}\n", "{}", []string{"events.A.schema", "t.json"}},
		{"schema outside", "events: {A: {schema: ../s.json}}\n", "{}", []string{"events.A.schema", "in the plan's folder"}},
		{"no schema", "events: {A: {}}\n", "{}", []string{"events.A.schema", "in the plan's folder"}},
		{"no JSON", "events: {A: {schema: s.json}}\n", "{\n  \"type\": object\n}", []string{"events.A.schema", "s.json:2:11"}},
		{"two texts", "events: {A: {schema: s.json}}\n", "{} {}", []string{"events.A.schema", "s.json:1:", "something follows"}},
		{"no schema in it", "events: {A: {schema: s.json}}\n", `{"properties":{"a":{"minLength":-1}}}`, []string{"s.json#/properties/a/minLength"}},
		{"bad pattern", "events: {A: {schema: s.json}}\n", `{"properties":{"a":{"pattern":"(?=x)"}}}`, []string{"s.json#/properties/a/pattern"}},
		{"network", "events: {A: {schema: s.json}}\n", `{"$ref":"https://example.com/a.json"}`, []string{"https://example.com/a.json", "network"}},
		{"reference away", "events: {A: {schema: s.json}}\n", `{"$ref":"b.json"}`, []string{"events.A.schema", "b.json"}},
		{"place away", "events: {A: {schema: s.json}}\n", `{"$ref":"#/$defs/x"}`, []string{"s.json", "/$defs/x"}},
		{"dynamic", "events: {A: {schema: s.json}}\n", `{"$dynamicRef":"#x","$defs":{"x":{"$dynamicAnchor":"x"}}}`, []string{"s.json", "use $ref"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := planFolder(t, map[string]string{"plan.yaml": c.plan, "s.json": c.schema})
			_, err := newPlan("plan.yaml", newFiles(dir))
			if err == nil {
				t.Fatal("want an error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("want %q in: %v", want, err)
				}
			}
		})
	}
}

func TestSchemasReferToFilesOfTheirFolder(t *testing.T) {
	t.Parallel()
	dir := planFolder(t, map[string]string{
		"plans/plan.yaml":         "events: {A: {schema: schemas/a b.json}}",
		"plans/schemas/a b.json":  `{"properties":{"x":{"$ref":"../shared/money.json#/$defs/money"}}}`,
		"plans/shared/money.json": `{"$schema":"http://json-schema.org/draft-07/schema#","$defs":{"money":{"type":"integer"}}}`,
	})
	read := newFiles(dir)
	p, err := newPlan(filepath.Join("plans", "plan.yaml"), read)
	if err != nil {
		t.Fatal(err)
	}
	left := planStepsRequest
	equal(t, "violations", fmt.Sprint(p.events["A"].schema.check([]byte(`{"x":"y"}`), "", false, &left)), "[/x: must be integer, not string (type)]")
	for _, name := range []string{"plans/plan.yaml", "plans/schemas/a b.json", "plans/shared/money.json"} {
		if _, ok := read.content[filepath.FromSlash(name)]; !ok {
			t.Errorf("%s was not read through files, so that nobody watches it", name)
		}
	}
	if _, err := compileSchema(t, map[string]string{"s.json": `{"$ref":"../../../../../../etc/hostname"}`}); err == nil || !strings.Contains(err.Error(), "etc/hostname") {
		t.Errorf("a reference left the folder: %v", err)
	}
}

func TestDocumentedKeysOfPlans(t *testing.T) {
	t.Parallel()
	equal(t, "keys without a doc tag", config.Undocumented(planFile{}), []string(nil))
}

func FuzzPlanDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, ` [ ] `, `{"a":{"b":[1,-0.5e+3,"x\"\u00e4\ud800",true,false,null]},"a":2 , "c" : [ { } , [ [ ] ] ]}`, `"a"`, `12`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) || !utf8.Valid(raw) {
			return
		}
		raw = bytes.Trim(raw, " \t\r\n")
		d := decoder{b: raw}
		got := d.value()
		if d.why != "" {
			return
		}
		var want any
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || d.i != len(raw) {
			t.Errorf("stopped at %d of %d (-want +got):\n%s", d.i, len(raw), diff)
		}
	})
}

func FuzzFindMember(f *testing.F) {
	for _, seed := range []string{`{"properties":{}}`, `{ "a" : 1 , "properties" : [1,"}"] , "type":"x", "b":{"properties":2}, "pr\u006fperties":{"c":"\""} , "z":0 }`, `{"a":"x","userId":"u"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var idx index
		sc := scanner{b: body, idx: &idx, maxDepth: event.MaxDepth, maxEvents: 1}
		sc.single()
		if ev := idx.events[0]; ev.problem == problemNone {
			var want map[string]json.RawMessage
			if err := json.Unmarshal(ev.span.of(body), &want); err != nil {
				t.Fatal(err)
			}
			got := findMember(body, idx.top[ev.top.lo:ev.top.hi], "properties")
			equal(t, "properties", string(got), string(want["properties"]))
		}
	})
}

// BenchmarkPlan is BenchmarkScanDecideStamp with a plan for its events.
func BenchmarkPlan(b *testing.B) {
	schema := `{"type":"object","required":["order_id","total","products"],"additionalProperties":false,"properties":{
		"order_id":{"type":"string","pattern":"^[0-9a-f]{24}$"},"total":{"type":"number","minimum":0},"revenue":{"type":"number"},
		"currency":{"enum":["EUR","USD","GBP"]},"coupon":{"type":["string","null"],"maxLength":40},
		"products":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/product"}}},
		"$defs":{"product":{"type":"object","required":["product_id","sku"],"properties":{"product_id":{"type":"string"},"sku":{"type":"string"},
		"name":{"type":"string"},"price":{"type":"number"},"quantity":{"type":"integer","minimum":1},"category":{"type":"string"}}}}}`
	dir := planFolder(b, map[string]string{"plan.yaml": "mode: reject\nevents: {Order Completed: {schema: s.json}}", "s.json": schema})
	p, err := newPlan("plan.yaml", newFiles(dir))
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(benchBody(100))
	var idx index
	st := testStamper(body, &idx)
	st.arena.room(1 << 20)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	spent := 0
	for b.Loop() {
		idx.reset()
		st.arena.buf = st.arena.buf[:0]
		sc := scanner{b: body, idx: &idx, maxDepth: event.MaxDepth, maxEvents: 1000}
		sc.whole()
		left := planStepsRequest
		for i := range idx.events {
			ev := &idx.events[i]
			f, _ := decide(body, &idx, ev, "", testLimits, st.arena)
			if o, found := p.judge(body, idx.top[ev.top.lo:ev.top.hi], &f, &left); o != outcomeOK {
				b.Fatal(o, found)
			}
			st.stamp(ev, &f, i)
		}
		spent = planStepsRequest - left
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
	b.ReportMetric(float64(spent)/100, "steps/event")
}
