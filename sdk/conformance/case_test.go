package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// all lists the SDKs in the order of the table.
var all = []string{"go", "node", "python", "browser"}

// testCase is a file of cases/: one run, or several of them one after the other over the same folder.
type testCase struct {
	Name   string   `json:"-"`
	About  string   `json:"about"`
	SDKs   []string `json:"sdks"` // empty: all
	Story  string   `json:"story"`
	Golden bool     `json:"golden"`
	Runs   []run    `json:"runs"`
	run
}

// run is one process of an SDK's program with the server that it talks to.
type run struct {
	Input  input           `json:"input"`
	Script []reply         `json:"script"` // one a request, in order
	Rules  []reply         `json:"rules"`  // looked at before the script; the first that fits answers
	Then   *reply          `json:"then"`   // once the script is at its end; absent: 200
	Files  map[string]file `json:"files"`  // below {dir}, before the run
	Expect json.RawMessage `json:"expect"`
	Checks []string        `json:"checks"`
}

// input is what the program reads.
type input struct {
	WriteKey  string         `json:"writeKey"`
	APIHost   string         `json:"apiHost"`
	Config    map[string]any `json:"config"`
	Fixed     map[string]any `json:"fixed,omitempty"`
	Sequences []any          `json:"sequences"`
	ID        string         `json:"id,omitempty"` // the browser's program alone looks at it
}

// file is laid before a run; {host}, {namespace}, {pid} and {gone} stand for this machine, its process numbers, a
// living process and one that has ended.
type file struct {
	Text  string `json:"text"`
	AgeMS int64  `json:"ageMs"`
}

// quick is what every run is configured with unless its case says otherwise.
var quick = map[string]any{"backoffBase": 20, "backoffMax": 100, "timeout": 5000, "flushInterval": 50}

func loadCases(t *testing.T) []testCase {
	t.Helper()
	files, err := filepath.Glob("cases/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	out := make([]testCase, len(files))
	for i, name := range files {
		c, err := loadCase(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[i] = c
	}
	return out
}

func loadCase(name string) (testCase, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return testCase{}, err
	}
	c := testCase{Name: strings.TrimSuffix(filepath.Base(name), ".json")}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(&c); err != nil {
		return c, err
	}
	if len(c.SDKs) == 0 {
		c.SDKs = all
	}
	if c.Runs == nil {
		c.Runs = []run{c.run}
	}
	for i, r := range c.Runs {
		for _, sdk := range c.SDKs {
			if _, err := r.expected(sdk); err != nil {
				return c, fmt.Errorf("run %d: expect: %w", i+1, err)
			}
		}
		for _, name := range r.Checks {
			if checks[name] == nil {
				return c, fmt.Errorf("run %d: no check is called %q", i+1, name)
			}
		}
	}
	if c.Story != "" && stories[c.Story] == nil {
		return c, fmt.Errorf("no story is called %q", c.Story)
	}
	return c, nil
}

// expected returns what holds for an SDK: the members that all share, under those below its name.
func (r run) expected(sdk string) (expect, error) {
	var members map[string]json.RawMessage
	if len(r.Expect) > 0 {
		if err := json.Unmarshal(r.Expect, &members); err != nil {
			return expect{}, err
		}
	}
	own := members[sdk]
	for _, name := range all {
		delete(members, name)
	}
	if own != nil {
		if err := json.Unmarshal(own, &members); err != nil {
			return expect{}, err
		}
	}
	merged, err := json.Marshal(members)
	if err != nil {
		return expect{}, err
	}
	var e expect
	d := json.NewDecoder(bytes.NewReader(merged))
	d.DisallowUnknownFields()
	err = d.Decode(&e)
	return e, err
}

// prepared returns the input for a server, with {dir} replaced and the defaults below its configuration.
func (in input) prepared(apiHost, dir string) (input, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return in, err
	}
	quoted, err := json.Marshal(dir)
	if err != nil {
		return in, err
	}
	raw = bytes.ReplaceAll(raw, []byte("{dir}"), quoted[1:len(quoted)-1])
	var out input
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return in, err
	}
	config := maps.Clone(quick)
	maps.Copy(config, out.Config)
	out.Config, out.APIHost = config, apiHost
	if out.WriteKey == "" {
		out.WriteKey = "wk"
	}
	if out.Sequences == nil {
		out.Sequences = []any{}
	}
	return out, nil
}
