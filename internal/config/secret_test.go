package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/millstream-data/millstream/internal/config"
)

const plain = "hunter2"

// TestSecretsAreElided prints a secret in every way that a log, an error, a dump or an encoder may.
func TestSecretsAreElided(t *testing.T) {
	t.Parallel()
	s := config.Secret(plain)
	holder := struct {
		Secret config.Secret            `yaml:"secret" json:"secret"`
		List   []config.Secret          `yaml:"list" json:"list"`
		Keys   map[config.Secret]string `yaml:"keys" json:"-"`
		Ptr    *config.Secret           `yaml:"ptr" json:"ptr"`
	}{s, []config.Secret{s}, map[config.Secret]string{s: "x"}, &s}

	outputs := map[string]string{"String": s.String(), "GoString": s.GoString()}
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%X", "% x", "%d", "%10s", "%.3s", "%T %v", "%U", "%c"} {
		args := []any{s, s}[:strings.Count(verb, "%")]
		outputs[verb] = fmt.Sprintf(verb, args...)
		args = []any{holder, holder}[:strings.Count(verb, "%")]
		outputs["struct "+verb] = fmt.Sprintf(verb, args...)
	}
	outputs["Println"] = fmt.Sprintln(s, holder, &holder)
	outputs["error"] = fmt.Errorf("open %s: %w", s, errors.New("refused")).Error()
	for name, encode := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal, "dump": config.Dump} {
		data, err := encode(holder)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), "[redacted]") {
			t.Errorf("%s does not show that there is a secret: %s", name, data)
		}
		outputs[name] = string(data)
	}
	data, err := xml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	outputs["xml"] = string(data)
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).With("a", s).WithGroup("g").Info("open", "password", s, "config", holder, "list", []config.Secret{s})
	}
	outputs["slog"] = log.String()

	for how, out := range outputs {
		if strings.Contains(out, plain) || strings.Contains(strings.ToLower(out), fmt.Sprintf("%x", plain)) ||
			strings.Contains(out, "104 117") || strings.Contains(out, plain[:3]) {
			t.Errorf("%s shows the secret: %s", how, out)
		}
	}
	if s.Reveal() != plain {
		t.Errorf("Reveal returned %q", s.Reveal())
	}
}

func TestSecretsAreElidedInProblems(t *testing.T) {
	t.Parallel()
	for _, o := range []config.Options{
		{Environ: []string{"MILLSTREAM_ORIGIN_SOURCES_DEMO_PASSWORD_=" + plain}},
		{Environ: []string{"MILLSTREAM_ORIGIN_SOURCES_DEMO={password: " + plain + ", ]"}},
		{Flags: []config.Flag{{Name: "--set", Key: "origin.sources.demo.pasword", Value: plain}}},
		{Flags: []config.Flag{{Name: "--set", Key: "origin.sources.demo.tables", Value: "password: " + plain}}},
	} {
		m := defaults()
		err := config.Load(&m, o)
		if err == nil || strings.Contains(err.Error(), plain) {
			t.Errorf("%v: got %v", o, err)
		}
	}
}

func TestEmptySecretShowsThatItIs(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprintf("%s|%q|%v", config.Secret(""), config.Secret(""), config.Secret("")); got != `|""|` {
		t.Errorf("got %s", got)
	}
}
