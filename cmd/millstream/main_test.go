package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/metric"
)

// run runs a command in-process and returns what it printed.
func run(t *testing.T, environ []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	p := &program{stdout: &out, stderr: &errOut, environ: environ}
	err = p.run(t.Context(), args)
	return out.String(), errOut.String(), err
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "millstream.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnknownCommandListsTheKnownOnes(t *testing.T) {
	t.Parallel()
	_, _, err := run(t, nil, "ingst")
	if err == nil || !strings.Contains(err.Error(), "ingest") {
		t.Fatalf("got %v", err)
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	t.Parallel()
	out, _, err := run(t, nil, "help")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands() {
		if !strings.Contains(out, "  "+c.name+" ") {
			t.Errorf("help does not name %s", c.name)
		}
	}
}

func TestConfigurationErrorsComeAllAtOnceWithPlaceAndHint(t *testing.T) {
	t.Parallel()
	path := file(t, "kafka:\n  brokerz: [a:1]\n  topics: {partitions: 0}\nlake: {bucket: \"\"}\nbatcher:\n  cut: {age: fast}\n")
	out, _, err := run(t, nil, "check", "--config", path)
	if !errors.Is(err, errFindings) {
		t.Fatalf("want findings, got %v", err)
	}
	for _, want := range []string{
		path + ":2:3", "kafka.brokerz", "did you mean brokers?",
		path + ":3:", "kafka.topics.partitions",
		path + ":4:", "lake.bucket",
		path + ":6:", "batcher.cut.age",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

func TestAFileThatIsNoYAMLIsTheOnlyThingSaid(t *testing.T) {
	t.Parallel()
	path := file(t, "kafka:\n\tbrokers: [a:1]\n")
	out, _, err := run(t, nil, "check", "--config", path)
	if !errors.Is(err, errFindings) {
		t.Fatalf("want findings, got %v", err)
	}
	if !strings.Contains(out, path+":2") || !strings.Contains(out, "a tab?") || strings.Contains(out, "lake.bucket") {
		t.Errorf("want the line and a hint, and nothing that follows from it, in\n%s", out)
	}
}

func TestARoleValidatesOnlyWhatItUses(t *testing.T) {
	t.Parallel()
	p := &program{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	path := file(t, "ingest:\n  sources: {app: {keys: [{key: k, kind: browser}]}}\n")
	if _, err := p.load(p.newFlags("ingest", ""), []string{"--config", path}, defaultConfig(), ingestSections...); err != nil {
		t.Errorf("ingest needs no lake: %v", err)
	}
	if _, err := p.load(p.newFlags("batcher", ""), []string{"--config", path}, defaultConfig(), batcherSections...); err == nil || !strings.Contains(err.Error(), "lake.bucket") {
		t.Errorf("batcher needs a bucket, got %v", err)
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	t.Parallel()
	p := &program{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer), environ: []string{"MILLSTREAM_LAKE_BUCKET=environment", "MILLSTREAM_LAKE_PREFIX=environment"}}
	path := file(t, "lake: {bucket: file, prefix: file}\nadmin: {listen: \"127.0.0.1:1\"}\n")
	cfg, err := p.load(p.newFlags("x", ""), []string{"--config", path, "--set", "lake.bucket=flag"}, defaultConfig(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Lake.Bucket != "flag" || cfg.Lake.Prefix != "environment" || cfg.Admin.Listen != "127.0.0.1:1" {
		t.Fatalf("got %+v, %+v", cfg.Lake, cfg.Admin)
	}
}

func TestDevDefaultsAreValidAndFollowTheDataFolder(t *testing.T) {
	t.Parallel()
	p := &program{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	cfg, err := p.load(p.newFlags("dev", ""), []string{"--data-dir", "/elsewhere"}, devConfig(), append(allSections(), "local")...)
	// Only what the embedded servers fill in may be missing.
	for line := range strings.Lines(errText(err)) {
		if !strings.Contains(line, "warehouse.dsn") {
			t.Error(line)
		}
	}
	for _, path := range []string{cfg.Local.Kafka.Dir, cfg.Local.S3.Dir, cfg.Local.Redshift.Dir, strings.TrimPrefix(cfg.MetricStore.DSN, "sqlite:"), cfg.Rollup.Definitions, cfg.Serve.Boards} {
		if !strings.HasPrefix(path, "/elsewhere/") {
			t.Errorf("%s is not below the data folder", path)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestConfigPrintsNoSecret(t *testing.T) {
	t.Parallel()
	out, _, err := run(t, []string{"MILLSTREAM_WAREHOUSE_PASSWORD=hunter2"}, "config", "--set", "s3.access_key_id=a", "--set", "s3.secret_access_key=hunter3")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "hunter") || strings.Count(out, "[redacted]") < 2 {
		t.Fatalf("got\n%s", out)
	}
}

func TestExamplesLoad(t *testing.T) {
	t.Parallel()
	p := &program{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	if _, err := p.load(p.newFlags("all", ""), []string{"--config", "../../deploy/examples/millstream.yaml"}, defaultConfig(), allSections()...); err != nil {
		t.Errorf("millstream.yaml: %v", err)
	}
	if _, err := metric.Load("../../deploy/examples/metrics"); err != nil {
		t.Errorf("metrics: %v", err)
	}
}

func TestConfigurationDocumented(t *testing.T) {
	t.Parallel()
	if missing := config.Undocumented(defaultConfig()); len(missing) > 0 {
		t.Errorf("keys without a doc tag: %v", missing)
	}
	have, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(have), strings.TrimSpace(config.Reference(defaultConfig()))) {
		t.Error("docs/configuration.md is stale; run make docs")
	}
}

func TestSourcesOfDevGiveWayToAFile(t *testing.T) {
	t.Parallel()
	load := func(text string, flags ...string) (Config, error) {
		p := &program{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
		return p.load(p.newFlags("dev", ""), append([]string{"--config", file(t, text)}, flags...), devConfig(), ingestSections...)
	}
	if cfg, err := load("ingest: {sources_file: sources.yaml}\n"); err != nil || len(cfg.Ingest.Sources) > 0 {
		t.Errorf("%d sources besides the file, %v", len(cfg.Ingest.Sources), err)
	}
	if cfg, err := load("", "--set", "ingest.sources.app.require_origin=true"); err != nil || len(cfg.Ingest.Sources["app"].Keys) != 2 {
		t.Errorf("%v, %v", cfg.Ingest.Sources, err)
	}
	if _, err := load("ingest:\n  sources_file: sources.yaml\n  sources: {app: {keys: [{key: k, kind: browser}]}}\n"); err == nil || !strings.Contains(err.Error(), ":2:") {
		t.Errorf("both: %v", err)
	}
}

func TestDrainOnlyEndsWithASentence(t *testing.T) {
	t.Parallel()
	args := []string{"ingest", "--set", "kafka.brokers=[127.0.0.1:1]", "--config", file(t, "ingest: {sources: {app: {keys: [{key: k, kind: server}]}}}\n")}
	_, _, err := run(t, nil, append(args, "--drain-only", "--data-dir", t.TempDir())...)
	if err == nil || !strings.Contains(err.Error(), "there is no spool at") {
		t.Errorf("a folder without a spool: %v", err)
	}
	if _, _, err = run(t, nil, append(args, "--timeout", "1s")...); err == nil || !strings.Contains(err.Error(), "--drain-only") {
		t.Errorf("a timeout without --drain-only: %v", err)
	}
	dir := t.TempDir()
	spool := filepath.Join(dir, "ingest", "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	args = append(args, "--drain-only", "--timeout", "500ms", "--set", "ingest.data_dir="+filepath.Dir(spool))
	if _, _, err = run(t, nil, args...); err != nil {
		t.Errorf("an empty spool: %v", err)
	}
	golden, err := os.ReadFile("../../ingest/testdata/spool/00000000000000000007.seg")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spool, "00000000000000000007.seg"), golden, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err = run(t, nil, args...); err == nil || !strings.Contains(err.Error(), "are left, and stay there: Kafka was not reached yet") {
		t.Errorf("Kafka is away: %v", err)
	}
}
