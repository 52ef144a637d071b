package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/millstream-data/millstream/internal/telemetry"
)

func TestLoggerWritesLinesInUTC(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := telemetry.NewLogger(&out, telemetry.LogConfig{Level: "warn", Format: "json"})
	log.Info("not written")
	log.Warn("spool is filling", "err", errors.New("no space"))
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if !strings.HasSuffix(line["time"], "Z") {
		t.Errorf("time is %s, want UTC", line["time"])
	}
	delete(line, "time")
	if diff := cmp.Diff(map[string]string{"level": "WARN", "msg": "spool is filling", "err": "no space"}, line); diff != "" {
		t.Error(diff)
	}

	out.Reset()
	log = telemetry.NewLogger(&out, telemetry.DefaultLogConfig())
	log.Debug("not written")
	log.Info("listens", "address", "127.0.0.1:1")
	if got := out.String(); !strings.Contains(got, `level=INFO msg=listens address=127.0.0.1:1`) || strings.Count(got, "\n") != 1 {
		t.Errorf("got %s", got)
	}
}

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	err := errors.Join(telemetry.LogConfig{Level: "loud", Format: "xml"}.Validate(), telemetry.AdminConfig{}.Validate())
	for _, want := range []string{"log.level: must be debug", "log.format: must be text or json", "admin.listen: must be host:port"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := errors.Join(telemetry.DefaultLogConfig().Validate(), telemetry.DefaultAdminConfig().Validate()); err != nil {
		t.Error(err)
	}
}

func TestRegistryLintsAndSaysWhichBuildRuns(t *testing.T) {
	t.Parallel()
	reg := telemetry.NewRegistry()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	have := map[string]int{}
	for _, f := range families {
		have[f.GetName()] = len(f.GetMetric())
		if f.GetName() == "millstream_build_info" {
			for _, l := range f.GetMetric()[0].GetLabel() {
				if l.GetValue() == "" {
					t.Errorf("label %s is empty", l.GetName())
				}
			}
		}
	}
	for _, name := range []string{"millstream_build_info", "go_goroutines", "process_open_fds"} {
		if have[name] != 1 {
			t.Errorf("%s has %d series, want 1", name, have[name])
		}
	}
}

func TestRegistriesLiveSideBySide(t *testing.T) {
	t.Parallel()
	for range 2 {
		telemetry.NewRegistry().MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "x_total", Help: "x"}))
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
