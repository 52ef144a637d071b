package cdc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

// section is the part of a configuration file that is cdc's.
type section struct {
	CDC Config `yaml:"cdc" doc:"the poller of databases"`
}

func (s *section) Validate() error { return s.CDC.Validate() }

// Each file of testdata/config breaks one rule and says in its first line what
// the message is.
func TestConfig(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/config/*.yml")
	if err != nil || len(files) < 15 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s := section{CDC: DefaultConfig()}
			err = config.Load(&s, config.Options{File: f})
			want, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
			switch {
			case strings.HasSuffix(f, ".good.yml"):
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
			case err == nil:
				t.Errorf("got no error, want %s", want)
			case !strings.Contains(err.Error(), want):
				t.Errorf("got %v, want %s", err, want)
			case strings.Count(err.Error(), "\n") > 0:
				t.Errorf("got more than one problem: %v", err)
			}
		})
	}
}

// The password of a DSN is in no error and no dump.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.edit(func(src *SourceConfig) { src.Kind, src.DSN = kindPostgres, "postgres://me:hunter2@127.0.0.1:1:2/x" })
	_, err := New(s.cfg, s.kafka, testkit.Log(t), prometheus.NewRegistry())
	if err == nil {
		t.Fatal("a DSN that cannot be read was taken")
	}
	s.edit(func(src *SourceConfig) { src.DSN = "postgres://me:hunter2@127.0.0.1:1/x" })
	texts := []string{err.Error(), fmt.Sprintf("%+v", s.cfg)}
	for _, f := range Check(t.Context(), s.cfg) {
		texts = append(texts, f.String())
	}
	for _, text := range texts {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the password shows in %q", text)
		}
	}
}

// Defaults that depend on other keys are those of docs/configuration.md.
func TestDefaultsOfStrategies(t *testing.T) {
	t.Parallel()
	of := func(kind, publish string) StrategyConfig {
		var s StrategyConfig
		s.SetDefaults()
		s.Kind, s.Publish = kind, publish
		return s
	}
	for name, c := range map[string]struct {
		in    []StrategyConfig
		want  []string // publish of each
		every []time.Duration
	}{
		"incremental": {[]StrategyConfig{of(kindIncremental, "")}, []string{publishUpsert}, []time.Duration{10 * time.Second}},
		"full alone":  {[]StrategyConfig{of(kindFull, "")}, []string{publishReplace}, []time.Duration{24 * time.Hour}},
		"full beside reconcile": {
			[]StrategyConfig{of(kindFull, ""), of(kindReconcile, "")},
			[]string{publishDiff, publishDiff},
			[]time.Duration{5 * time.Minute, 24 * time.Hour},
		},
		"bounded, xmin": {
			[]StrategyConfig{of(kindBounded, ""), of(kindXmin, "")},
			[]string{publishReplace, publishUpsert},
			[]time.Duration{time.Hour, 5 * time.Minute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, s := range (TableConfig{Strategies: c.in}).withDefaults().Strategies {
				if s.Publish != c.want[i] || s.Every != c.every[i] || s.Name != s.Kind {
					t.Errorf("strategy %d: got publish %s, every %v, name %s, want %s, %v, %s", i, s.Publish, s.Every, s.Name, c.want[i], c.every[i], s.Kind)
				}
			}
			if c.in[0].Every != 0 {
				t.Error("the configuration itself was changed")
			}
		})
	}
}

// A DSN comes from the variable that the configuration names.
func TestDSNFromTheEnvironment(t *testing.T) {
	t.Parallel()
	c := Config{Sources: map[string]SourceConfig{"shop": {DSNEnv: "SHOP_DSN", HorizonDSNEnv: "SHOP_PRIMARY"}}}
	err := c.ResolveEnv([]string{"SHOP_DSNS=x", "SHOP_DSN=postgres://a=b"})
	if err == nil || err.Error() != "cdc.sources.shop.horizon_dsn_env: the variable SHOP_PRIMARY is not set" {
		t.Errorf("got %v, want the variable that is not set", err)
	}
	if got := c.Sources["shop"].DSN.Reveal(); got != "postgres://a=b" {
		t.Errorf("got DSN %s", got)
	}
}
