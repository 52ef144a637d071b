package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// atOnce is how many runs go on at the same time: most of them wait most of the time.
const atOnce = 12

func testMain(m *testing.M) int {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	built = newPrograms(dir)
	defer built.close()
	code := m.Run()
	if err := grid.print(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestCases runs every case for every SDK that it names; TestGoldenCases has those with golden files.
func TestCases(t *testing.T) {
	t.Parallel()
	playAll(t, func(c testCase) bool { return !c.Golden })
}

// playAll notes in the table what passed.
func playAll(t *testing.T, wanted func(testCase) bool) {
	t.Helper()
	for _, c := range loadCases(t) {
		if !wanted(c) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for _, sdk := range c.SDKs {
				if !slices.Contains(columns, sdk) {
					continue
				}
				t.Run(sdk, func(t *testing.T) {
					t.Parallel()
					start := time.Now()
					t.Cleanup(func() { grid.note(c.Name, sdk, t.Failed(), time.Since(start)) })
					play(t, &c, sdk)
				})
			}
		})
	}
}

// play does the runs of a case, or its story where it has one.
func play(t *testing.T, c *testCase, sdk string) {
	dir := t.TempDir()
	if c.Story != "" {
		stories[c.Story](t, c, sdk, dir)
		return
	}
	for i, r := range c.Runs {
		o := do(t, c, r, sdk, dir)
		judge(t, o)
		if c.Golden && !t.Failed() {
			o.golden(t)
		}
		if t.Failed() {
			t.Logf("in run %d", i+1)
			return
		}
	}
}

// do gives a run to the SDK's program and waits for it.
func do(t *testing.T, c *testCase, r run, sdk, dir string) *outcome {
	t.Helper()
	o := prepare(t, c, r, sdk, dir)
	o.play(t)
	return o
}

// prepare starts the server of a run and lays its files.
func prepare(t *testing.T, c *testCase, r run, sdk, dir string) *outcome {
	t.Helper()
	s := serve(t, r)
	if err := lay(dir, r.Files); err != nil {
		t.Fatal(err)
	}
	in, err := r.Input.prepared(s.url, dir)
	if err != nil {
		t.Fatal(err)
	}
	return &outcome{sdk: sdk, c: c, run: r, in: in, dir: dir, server: s}
}

// play runs the program to its end.
func (o *outcome) play(t *testing.T) {
	t.Helper()
	var err error
	if o.out, err = built.run(t.Context(), o.sdk, o.in); err != nil {
		t.Error(err)
	}
	o.look()
}

// look notes what the server has seen.
func (o *outcome) look() {
	s := o.server
	o.requests, o.preflight = s.seen()
	s.mu.Lock()
	defer s.mu.Unlock()
	o.most, o.stolen = s.most, slices.Clone(s.stolen)
}

func judge(t *testing.T, o *outcome) {
	t.Helper()
	e, err := o.run.expected(o.sdk)
	if err != nil {
		t.Fatal(err)
	}
	if !t.Failed() {
		o.judge(e)
	}
	for _, text := range o.said {
		t.Error(text)
	}
	if t.Failed() {
		o.tell(t)
	}
}

// tell logs what one needs to see why.
func (o *outcome) tell(t *testing.T) {
	t.Helper()
	in, _ := json.Marshal(o.in)
	out, _ := json.Marshal(o.out)
	t.Logf("input: %s", tail(string(in)))
	t.Logf("output: %s", tail(string(out)))
	var b strings.Builder
	for i, r := range o.requests {
		if i == 12 {
			fmt.Fprintf(&b, "\n… %d more", len(o.requests)-i)
			break
		}
		fmt.Fprintf(&b, "\n%s %s, %d events, %d bytes: %d after %v", r.method, r.path, len(r.batch.events), len(r.body), r.status, r.answered.Sub(r.at).Round(time.Millisecond))
	}
	t.Logf("requests: %d%s", len(o.requests), b.String())
	o.tellFiles(t)
}

// tellFiles logs what lies in the run's folder.
func (o *outcome) tellFiles(t *testing.T) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(o.dir, "*", "*")) // none is nothing to tell
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			continue
		}
		text := ""
		if filepath.Ext(name) != ".ndjson" && info.Size() < 100 {
			data, _ := os.ReadFile(name)
			text = string(data)
		}
		t.Logf("file: %s, %d bytes, %v old %q", filepath.Base(name), info.Size(), time.Since(info.ModTime()).Round(time.Millisecond), text)
	}
}

// lay writes a run's files.
func lay(dir string, files map[string]file) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	fill := strings.NewReplacer("{host}", host, "{pid}", strconv.Itoa(os.Getpid()), "{gone}", strconv.Itoa(gone()), "{namespace}", namespace())
	for name, f := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(fill.Replace(f.Text)), 0o600); err != nil {
			return err
		}
		at := time.Now().Add(-time.Duration(f.AgeMS) * time.Millisecond)
		if err := os.Chtimes(path, at, at); err != nil {
			return err
		}
	}
	return nil
}

// namespace is where this machine's process numbers mean something: the third word of a lease.
func namespace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "-"
	}
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "-"
	}
	return strings.TrimSpace(string(boot)) + "/" + strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]")
}

// gone is the id of a process that has ended.
var gone = sync.OnceValue(func() int {
	p, err := os.StartProcess(os.Args[0], []string{os.Args[0], "-test.run=^$"}, &os.ProcAttr{})
	if err != nil {
		panic(err)
	}
	if _, err := p.Wait(); err != nil {
		panic(err)
	}
	return p.Pid
})

// table is case × SDK; a cell is empty where the case is not for the SDK.
type table struct {
	mu    sync.Mutex
	cells map[string]string // guarded by mu
}

// grid gathers what the tests of this process have seen.
var grid = &table{cells: map[string]string{}}

func (g *table) note(name, sdk string, failed bool, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	verdict := "ok"
	if failed {
		verdict = "FAILED"
	}
	g.cells[name+"/"+sdk] = fmt.Sprintf("%s %.1fs", verdict, took.Seconds())
}

// text is empty if no case was played.
func (g *table) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := map[string]bool{}
	for key := range g.cells {
		name, _, _ := strings.Cut(key, "/")
		names[name] = true
	}
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	row := func(name string, cell func(sdk string) string) {
		line := fmt.Sprintf("%-36s", name)
		for _, sdk := range columns {
			line += fmt.Sprintf(" %-13s", cell(sdk))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	row("case", func(sdk string) string { return sdk })
	for _, name := range slices.Sorted(maps.Keys(names)) {
		row(name, func(sdk string) string { return g.cells[name+"/"+sdk] })
	}
	return b.String()
}

// print shows the table behind the tests' own lines, and leaves it in the file that the variable names.
func (g *table) print() error {
	text := g.text()
	fmt.Print(text)
	if name := os.Getenv("MILLSTREAM_TEST_CONFORMANCE"); name != "" && text != "" {
		return os.WriteFile(name, []byte(text), 0o644)
	}
	return nil
}
