package cdc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
