package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/config"
)

// mill is a configuration with everything that one can hold.
type mill struct {
	Name   string   `yaml:"name" doc:"what the process is called"`
	Edge   edge     `yaml:"edge" doc:"the HTTP edge"`
	Origin origin   `yaml:"origin" doc:"where rows come from"`
	Types  types    `yaml:"types" doc:"type of a column, by path"`
	Tags   []string `yaml:"tags" doc:"free words"`
	Free   any      `yaml:"free" doc:"whatever one likes"`

	Clock func() time.Time `yaml:"-"`
}

type types map[string]string

type edge struct {
	Listen string `yaml:"listen" doc:"address to listen on"`
	Limits limits `yaml:"limits" doc:"upper bounds"`
	TLS    bool   `yaml:"tls" doc:"whether to encrypt"`
}

type limits struct {
	Body    config.Bytes  `yaml:"body" doc:"largest request"`
	Timeout time.Duration `yaml:"timeout" doc:"longest request"`
	Events  int           `yaml:"events" doc:"most events in a request"`
	Port    uint16        `yaml:"port" doc:"a port"`
	Ratio   float64       `yaml:"ratio" doc:"a share | a part"`
}

type origin struct {
	Sources map[string]source `yaml:"sources" doc:"databases by name"`
}

type source struct {
	DSN    string        `yaml:"dsn" doc:"address of the database"`
	Pass   config.Secret `yaml:"password" doc:"its password"`
	Every  time.Duration `yaml:"every" doc:"time between two polls"`
	Tables []table       `yaml:"tables" doc:"what to read"`
}

func (s *source) SetDefaults() { s.Every = 10 * time.Second }

type table struct {
	Table    string `yaml:"table" doc:"name of the table"`
	Strategy string `yaml:"strategy" doc:"how changes are found"`
}

func (t *table) SetDefaults() { t.Strategy = "incremental" }

func defaults() mill {
	return mill{
		Name:   "millstream",
		Edge:   edge{Listen: "127.0.0.1:8080", Limits: limits{Body: 4 * config.MiB, Timeout: 30 * time.Second, Events: 100, Ratio: 0.5}},
		Origin: origin{Sources: map[string]source{"demo": {DSN: "demo.db", Every: time.Second}}},
		Tags:   []string{"a"},
	}
}

func (m mill) Validate() error {
	errs := []error{
		config.NotEmpty("name", m.Name),
		config.ListenAddr("edge.listen", m.Edge.Listen),
		config.Positive("edge.limits.body", m.Edge.Limits.Body),
		config.Positive("edge.limits.timeout", m.Edge.Limits.Timeout),
		config.Between("edge.limits.ratio", m.Edge.Limits.Ratio, 0, 1),
	}
	for name, s := range m.Origin.Sources {
		errs = append(errs, config.NotEmpty("origin.sources."+name+".dsn", s.DSN))
		for i, t := range s.Tables {
			path := "origin.sources." + name + ".tables[" + string(rune('0'+i)) + "].strategy"
			errs = append(errs, config.OneOf(path, t.Strategy, "incremental", "reconcile"))
		}
	}
	return errors.Join(errs...)
}

// write puts text into a file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "millstream.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, o config.Options) mill {
	t.Helper()
	m := defaults()
	if err := config.Load(&m, o); err != nil {
		t.Fatal(err)
	}
	return m
}

func same(t *testing.T, got, want mill) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b config.Secret) bool { return a == b }),
		cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Clock" }, cmp.Ignore())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDefaultsStayWithoutLayers(t *testing.T) {
	t.Parallel()
	same(t, load(t, config.Options{}), defaults())
	for _, text := range []string{"", "# nothing but a comment\n", "---\n", "edge:\n  limits:\n    # body: 1MiB\norigin:\ntags:\n"} {
		same(t, load(t, config.Options{File: write(t, text)}), defaults())
	}
}

func TestFileReplacesDefaultsAndListsAndMaps(t *testing.T) {
	t.Parallel()
	got := load(t, config.Options{File: write(t, `
name: 8080
edge:
  limits: {body: 16MiB, timeout: 1m30s, events: 7, port: 65535, ratio: 1}
  tls: true
origin:
  sources:
    shop:
      dsn: postgres://db
      password: hunter2
      tables:
        - table: orders
        - {table: customers, strategy: reconcile}
types: {app.orders.total: "decimal(18,2)"}
tags: [x, "y"]
free: {any: [1, two]}
`)})
	want := defaults()
	want.Name = "8080"
	want.Edge.Limits = limits{Body: 16 * config.MiB, Timeout: 90 * time.Second, Events: 7, Port: 65535, Ratio: 1}
	want.Edge.TLS = true
	want.Origin.Sources = map[string]source{"shop": {
		DSN: "postgres://db", Pass: "hunter2", Every: 10 * time.Second,
		Tables: []table{{"orders", "incremental"}, {"customers", "reconcile"}},
	}}
	want.Types = types{"app.orders.total": "decimal(18,2)"}
	want.Tags = []string{"x", "y"}
	want.Free = map[string]any{"any": []any{1, "two"}}
	same(t, got, want)
}

func TestEnvironmentIsOverTheFileAndFlagsOverBoth(t *testing.T) {
	t.Parallel()
	got := load(t, config.Options{
		File: write(t, "name: file\nedge: {listen: '127.0.0.1:1', limits: {events: 1}}\norigin: {sources: {my-shop: {dsn: a}}}\n"),
		Environ: []string{
			"HOME=/nowhere",
			"MILLSTREAM_EDGE_LISTEN=127.0.0.1:2",
			"MILLSTREAM_EDGE_LIMITS_EVENTS=2",
			"MILLSTREAM_ORIGIN_SOURCES_MY_SHOP_PASSWORD=a=b",
			"MILLSTREAM_TAGS=one, two",
			"MILLSTREAM_CONFIG=elsewhere.yaml",
			"MILLSTREAM_TEST_KAFKA=127.0.0.1:9092",
			"MILLSTREAM_EDGE_PORT_8080_TCP_ADDR=10.0.0.1",
			"MILLSTREAM_EDGE_SERVICE_HOST=10.0.0.1",
		},
		Ignore: []string{"MILLSTREAM_CONFIG", "MILLSTREAM_TEST_*"},
		Flags: []config.Flag{
			{Name: "--listen", Key: "edge.listen", Value: "127.0.0.1:3"},
			{Name: "--set", Key: "types.app.orders.total", Value: "bigint"},
			{Name: "--set", Key: "origin.sources.new.dsn", Value: "b"},
			{Name: "--set", Key: "origin.sources.my-shop.tables", Value: "[{table: orders}]"},
		},
	})
	want := defaults()
	want.Name = "file"
	want.Edge.Listen = "127.0.0.1:3"
	want.Edge.Limits.Events = 2
	want.Tags = []string{"one", "two"}
	want.Types = types{"app.orders.total": "bigint"}
	want.Origin.Sources = map[string]source{
		"my-shop": {DSN: "a", Pass: "a=b", Every: 10 * time.Second, Tables: []table{{"orders", "incremental"}}},
		"new":     {DSN: "b", Every: 10 * time.Second},
	}
	same(t, got, want)
}

func TestVariablesAreNotExpanded(t *testing.T) {
	t.Parallel()
	got := load(t, config.Options{File: write(t, "name: ${HOME}\n"), Environ: []string{"HOME=/nowhere"}})
	if got.Name != "${HOME}" {
		t.Errorf("got %q", got.Name)
	}
}

func TestDecodeReadsNamedDocumentsStrictly(t *testing.T) {
	t.Parallel()
	var got map[string]table
	if err := config.Decode("metrics.yaml", []byte("a: {table: orders}\n"), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]table{"a": {"orders", "incremental"}}, got); diff != "" {
		t.Error(diff)
	}
	err := config.Decode("metrics.yaml", []byte("a: {tabel: orders}\n"), &got)
	if want := "metrics.yaml:1:5: a.tabel: unknown key; did you mean table?"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestBadFiles loads each testdata/*.bad.yaml; the lines that begin with "#! " are the messages, all of them.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d files (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.yaml"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(data)) {
				if message, ok := strings.CutPrefix(line, "#! "); ok {
					want = append(want, strings.TrimSpace(message))
				}
			}
			m := defaults()
			got := problems(t, config.Load(&m, config.Options{File: file}))
			for i := range got {
				got[i] = strings.TrimSpace(strings.TrimPrefix(got[i], "testdata/"+filepath.Base(file)+":"))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func problems(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	return strings.Split(err.Error(), "\n")
}

func TestProblemsOfAllLayersComeAtOnce(t *testing.T) {
	t.Parallel()
	m := defaults()
	m.Name = ""
	err := config.Load(&m, config.Options{
		File: "testdata/unknown_key.bad.yaml",
		Environ: []string{
			"MILLSTREAM_EDGE_LISTN=x", "MILLSTREAM_EDGE_TLS=yes", "MILLSTREAM_EDGE_LIMITS_TIMEOUT=0s",
			"MILLSTREAM_ORIGIN_SOURCES={a: [}",
		},
		Flags: []config.Flag{
			{Name: "--listen", Key: "edge.listen", Value: "8080"},
			{Name: "--set", Key: "edge.lisen", Value: "x"},
			{Name: "--set", Key: "edge.listen.host", Value: "x"},
			{Name: "--set", Key: "batcher.group", Value: "x"},
			{Name: "--set", Key: "tags", Value: "[&a x, *a]"},
		},
	})
	want := []string{
		"testdata/unknown_key.bad.yaml:8:3: edge.lisen: unknown key; did you mean listen?",
		"testdata/unknown_key.bad.yaml:9:3: edge.events: unknown key here; did you mean edge.limits.events?",
		"testdata/unknown_key.bad.yaml:10:3: edge.zzz: unknown key; known here: listen, limits, tls",
		"testdata/unknown_key.bad.yaml:15:11: origin.sources.shop.tables[0].plan: unknown key; known here: table, strategy",
		"testdata/unknown_key.bad.yaml:16:1: Name: unknown key; did you mean name?",
		"MILLSTREAM_EDGE_LISTN: names no key; did you mean MILLSTREAM_EDGE_LISTEN?",
		`MILLSTREAM_EDGE_TLS: edge.tls: must be true or false (got "yes")`,
		"MILLSTREAM_ORIGIN_SOURCES: origin.sources: must be YAML, such as {key: value} or [a, b]: did not find expected node content",
		"--set: edge.lisen: unknown key; did you mean listen?",
		"--set: edge.listen.host: unknown key; edge.listen is text and has no keys",
		"--set: batcher.group: unknown key; known here: name, edge, origin, types, tags, free",
		"--set: anchors and aliases (&, *) are not read; write the value out",
		"--set: anchors and aliases (&, *) are not read; write the value out",
		"name: must not be empty",
		`--listen: edge.listen: must be host:port, such as 127.0.0.1:8080 (got "8080")`,
		"MILLSTREAM_EDGE_LIMITS_TIMEOUT: edge.limits.timeout: must be > 0 (got 0s)",
	}
	if diff := cmp.Diff(want, problems(t, err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var ke *config.KeyError
	if !errors.As(err, &ke) || ke.Path != "edge.lisen" {
		t.Errorf("no *KeyError in %v", err)
	}
}

func TestAbsentFileIsNamed(t *testing.T) {
	t.Parallel()
	m := defaults()
	err := config.Load(&m, config.Options{File: "testdata/absent.yaml"})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "testdata/absent.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestVariableWithTwoMeaningsIsRefused(t *testing.T) {
	t.Parallel()
	m := defaults()
	m.Origin.Sources = map[string]source{"a-b": {DSN: "x"}, "a_b": {DSN: "x"}}
	err := config.Load(&m, config.Options{Environ: []string{"MILLSTREAM_ORIGIN_SOURCES_A_B_DSN=y"}})
	if err == nil || !strings.Contains(err.Error(), "as well as") {
		t.Errorf("got %v", err)
	}
}

func TestParseSet(t *testing.T) {
	t.Parallel()
	got, err := config.ParseSet("a.b=c=d")
	if want := (config.Flag{Name: "--set", Key: "a.b", Value: "c=d"}); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "a.b", "=x"} {
		if _, err := config.ParseSet(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := defaults()
		if err := config.Decode("x.yaml", data, &m); err != nil {
			return
		}
		// What is accepted can be dumped and means the same when it is read again.
		text, err := config.Dump(m)
		if err != nil {
			t.Fatal(err)
		}
		again := defaults()
		if err := config.Decode("dump.yaml", text, &again); err != nil && !strings.Contains(err.Error(), "free") {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}
