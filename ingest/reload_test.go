package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

// sourcesAt is a sources file of a test.
type sourcesAt string

// save replaces the file as editors do: by another one under its name.
func (f sourcesAt) save(t *testing.T, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(string(f)+"~", []byte(text), 0o600), os.Rename(string(f)+"~", string(f))); err != nil {
		t.Fatal(err)
	}
}

// overwrite changes the file where it is.
func (f sourcesAt) overwrite(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(string(f), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// keyed is a file with the source app and these keys.
func keyed(keys ...string) string {
	text := "sources:\n  app:\n    keys:\n"
	for _, k := range keys {
		text += "      - {key: " + k + ", kind: server}\n"
	}
	return text
}

// setupFile starts a server with a sources file.
func setupFile(t *testing.T, text string, change ...func(*Config)) (*edge, sourcesAt) {
	t.Helper()
	broker, kcfg := testkit.Kafka(t)
	file := sourcesAt(filepath.Join(t.TempDir(), "sources.yaml"))
	file.save(t, text)
	e := setupFaulty(t, kcfg, func(s *Server) { s.lookEvery = 5 * time.Millisecond }, append([]func(*Config){func(c *Config) {
		c.Sources, c.SourcesFile = nil, string(file)
	}}, change...)...)
	e.broker = broker
	return e, file
}

// until waits for an answer to a request with key.
func (e *edge) until(t *testing.T, key, want string) {
	t.Helper()
	testkit.Eventually(t, "the key "+key+" should be answered "+want, func() error {
		a, err := e.try(http.MethodPost, "/v1/track", `{"userId":"u","event":"E"}`, "X-Write-Key", key)
		if err == nil && !strings.Contains(a.body, want) {
			err = errors.New(a.body)
		}
		return err
	})
}

// halt stops the server, so that another one can use its folder.
func (e *edge) halt(t *testing.T) {
	t.Helper()
	e.stop()
	if err := <-e.ended; err != nil {
		t.Fatal(err)
	}
	e.ended <- nil
}

func TestReloadKeepsLastGood(t *testing.T) {
	t.Parallel()
	e, file := setupFile(t, keyed("first"))
	e.until(t, "first", `"success":true`)
	e.until(t, "second", codeUnknownKey)
	if a := e.do(t, http.MethodGet, "/v1/projects/second/settings", ""); a.status != http.StatusNotFound {
		t.Errorf("settings of an unknown key: %d", a.status)
	}
	for i, broken := range []string{
		keyed("first", "not/a/key"), "", "sources:\n\tapp:", "sources:\n  app:\n    keyz: []\n", "sources: {app: {keys: [{key: first, kind: server}], skew_correction: often}}",
	} {
		file.overwrite(t, broken)
		e.until(t, "second", codeKeysStale)
		e.until(t, "first", `"success":true`)
		a := e.do(t, http.MethodPost, "/v1/track", `{"userId":"u","event":"E"}`, "X-Write-Key", "second")
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "30" {
			t.Errorf("%d: an unknown key: %d, Retry-After %s", i, a.status, a.header.Get("Retry-After"))
		}
		if a := e.do(t, http.MethodGet, "/v1/projects/second/settings", ""); a.status != http.StatusOK {
			t.Errorf("%d: settings: %d", i, a.status)
		}
		if a := e.do(t, http.MethodPost, "/v1/track", `{}`); a.status != http.StatusUnauthorized {
			t.Errorf("%d: no key: %d", i, a.status)
		}
		equal(t, "config_ok", e.metric(t, "config_ok"), 0.0)
		if c := e.Check(t.Context()); c.State != telemetry.StateDegraded || !strings.Contains(c.Sentence, string(file)) {
			t.Errorf("%d: %v %s", i, c.State, c.Sentence)
		}
		equal(t, "health", e.do(t, http.MethodGet, "/health", "").body, `{"status":"degraded"}`)
		file.save(t, keyed("first", fmt.Sprintf("good%d", i)))
		e.until(t, fmt.Sprintf("good%d", i), `"success":true`)
		e.until(t, "second", codeUnknownKey)
		equal(t, "config_ok", e.metric(t, "config_ok"), 1.0)
	}
	if n := e.metric(t, "config_reload_failures_total"); n < 5 {
		t.Errorf("%v failures, want at least 5", n)
	}
}

func TestReloadErrorsNameTheirPlace(t *testing.T) {
	t.Parallel()
	e, file := setupFile(t, keyed("first"))
	file.overwrite(t, "sources:\n  app:\n    keys:\n      - {key: first, kind: server}\n      - {key: first, kind: robot}\n    limitz: {}\n")
	e.until(t, "second", codeKeysStale)
	for _, want := range []string{string(file) + ":5:", "sources.app.keys[1].kind: must be browser or server", string(file) + ":6:", "did you mean limits?"} {
		if c := e.Check(t.Context()); !strings.Contains(c.Sentence, want) || strings.Contains(c.Sentence, "ingest.sources") {
			t.Errorf("%q lacks %q", c.Sentence, want)
		}
	}
}

func TestReloadZeroesTheMetricsOfNewSources(t *testing.T) {
	t.Parallel()
	e, file := setupFile(t, keyed("first"))
	file.save(t, keyed("first")+"  other:\n    keys: [{key: other, kind: browser}]\n")
	e.until(t, "other", `"success":true`)
	equal(t, "accepted", e.metric(t, "events_accepted_total", "other", "alias"), 0.0)
}

func TestReloadFollowsTheFilesThatSourcesName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := sourcesAt(filepath.Join(dir, "lists", "gone.txt"))
	if err := os.Mkdir(filepath.Dir(string(list)), 0o700); err != nil {
		t.Fatal(err)
	}
	list.save(t, "somebody\n")
	file := sourcesAt(filepath.Join(dir, "sources.yaml"))
	file.save(t, keyed("first")+"    suppress_file: lists/gone.txt\n")
	_, kcfg := testkit.Kafka(t)
	e := setupFaulty(t, kcfg, func(s *Server) { s.lookEvery = 5 * time.Millisecond }, func(c *Config) { c.Sources, c.SourcesFile = nil, string(file) })
	e.until(t, "first", `"success":true`) // sends as u
	list.save(t, "somebody\nu\n")
	e.until(t, "first", `"suppressed"`)
	list.overwrite(t, "somebody\nsha256:half\n")
	e.until(t, "second", codeKeysStale)
	e.until(t, "first", `"suppressed"`)
	if c := e.Check(t.Context()); !strings.Contains(c.Sentence, "gone.txt") || !strings.Contains(c.Sentence, "sources.app.suppress_file") {
		t.Errorf("got %s", c.Sentence)
	}
	list.save(t, "u\n")
	e.until(t, "second", codeUnknownKey)
	testkit.Eventually(t, "what is in force should be kept", func() error {
		name, kept, err := lastGood(e.lastGoodDir())
		if err == nil && (name != "sources.yaml" || string(kept.content["lists/gone.txt"]) != "u\n") {
			err = fmt.Errorf("%s %q", name, kept.content)
		}
		return err
	})
}

func TestFilesAreReadWhenTheyHaveSettled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sources.yaml")
	whole := keyed("first", "second", "third", "fourth", "fifth")
	synctest.Test(t, func(t *testing.T) {
		sourcesAt(path).overwrite(t, "")
		s := &Server{lookEvery: 2 * time.Second, sight: sight{seen: map[string]os.FileInfo{path: stat(path)}}}
		go func() {
			for n := range len(whole) { // a slow editor
				if err := os.WriteFile(path, []byte(whole[:n+1]), 0o600); err != nil {
					t.Error(err)
				}
				<-time.After(5 * time.Millisecond)
			}
		}()
		<-time.After(5 * time.Millisecond)
		if !s.settled(t.Context()) {
			t.Error("the files did not settle")
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != whole {
			t.Errorf("%d of %d bytes, %v", len(got), len(whole), err)
		}
	})
}

func TestHangupReadsTheSourcesAgain(t *testing.T) {
	t.Parallel()
	_, kcfg := testkit.Kafka(t)
	file := sourcesAt(filepath.Join(t.TempDir(), "sources.yaml"))
	file.save(t, keyed("first"))
	hangup := make(chan os.Signal)
	e := setupFaulty(t, kcfg, func(s *Server) { s.lookEvery, s.hangup = time.Hour, hangup }, func(c *Config) { c.Sources, c.SourcesFile = nil, string(file) })
	file.save(t, keyed("second"))
	hangup <- os.Interrupt
	e.until(t, "second", `"success":true`)
}

func TestStartFromLastGood(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(c *Config) { c.DataDir = dir }
	first, file := setupFile(t, keyed("first"), in)
	first.until(t, "first", `"success":true`)
	first.halt(t)
	entries, err := os.ReadDir(filepath.Join(dir, lastGoodFolder))
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d files are kept, %v", len(entries), err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", entry.Name(), info.Mode(), err)
		}
	}
	for _, broken := range []string{"sources: {", "away"} {
		file.overwrite(t, broken)
		if broken == "away" {
			if err := os.Remove(string(file)); err != nil {
				t.Fatal(err)
			}
		}
		e := setupFaulty(t, first.kafka, func(s *Server) { s.lookEvery = 5 * time.Millisecond }, in, func(c *Config) { c.Sources, c.SourcesFile = nil, string(file) })
		e.until(t, "first", `"success":true`)
		e.until(t, "second", codeKeysStale)
		equal(t, "config_ok", e.metric(t, "config_ok"), 0.0)
		equal(t, "failures", e.metric(t, "config_reload_failures_total"), 1.0)
		if c := e.Check(t.Context()); c.State != telemetry.StateDegraded {
			t.Errorf("%v %s", c.State, c.Sentence)
		}
		file.save(t, keyed("first"))
		e.until(t, "second", codeUnknownKey)
		equal(t, "config_ok", e.metric(t, "config_ok"), 1.0)
		e.halt(t)
	}
}

func TestStartWithNeitherSaysWhy(t *testing.T) {
	t.Parallel()
	_, kcfg := testkit.Kafka(t)
	cfg := testConfig()
	cfg.DataDir, cfg.Sources, cfg.SourcesFile = t.TempDir(), nil, filepath.Join(t.TempDir(), "sources.yaml")
	_, err := New(cfg, Deps{Kafka: kcfg, Log: testkit.Log(t), Registry: prometheus.NewRegistry(), Health: telemetry.NewHealth()})
	for _, want := range []string{"ingest.sources_file: must be a file that can be read", cfg.SourcesFile, "last good", cfg.DataDir} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestDamagedLastGoodIsNotUsed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), lastGoodFolder)
	content := map[string][]byte{"sources.yaml": []byte(keyed("first")), "plans/app.yaml": []byte("{}")}
	for range 2 { // the same once more, and nothing is left over
		if err := keepGood(dir, "sources.yaml", content); err != nil {
			t.Fatal(err)
		}
	}
	name, kept, err := lastGood(dir)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "name", name, "sources.yaml")
	equal(t, "content", kept.content, content)
	if _, err := kept.read("absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not in the set: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, entry := range entries {
		if err := os.WriteFile(filepath.Join(dir, entry.Name()), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := lastGood(dir); err == nil {
		t.Error("a damaged set was taken")
	}
}

func TestSourcesStandInOnePlace(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.SourcesFile = "sources.yaml"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "ingest.sources_file: must not be set beside ingest.sources") {
		t.Errorf("got %v", err)
	}
}
