package ingest

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

// healthy asks both paths of /health and compares them with readiness.
func (e *edge) healthIs(t *testing.T, status int, text string, state telemetry.State) {
	t.Helper()
	for _, path := range []string{"/health", "/"} {
		a := e.do(t, http.MethodGet, path, "")
		if a.status != status || !strings.Contains(a.body, text) || a.header.Get("Cache-Control") != "no-store" || (status == 503) != (a.header.Get("Retry-After") != "") {
			t.Errorf("%s: %d %s %v, want %d %s", path, a.status, a.body, a.header, status, text)
		}
	}
	equal(t, "readiness", e.health.Report(t.Context()).State, state)
}

func TestHealthIsWhatReadinessSays(t *testing.T) {
	t.Parallel()
	e := setup(t)
	e.healthIs(t, 200, `{"status":"ready"}`, telemetry.StateReady)
	testkit.Eventually(t, "its first look should end, which says of the topics what follows here", func() error {
		if e.producer.lastLook.Load() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	narrow := "x"
	e.producer.tooNarrow.Store(&narrow)
	e.healthIs(t, 200, `{"status":"degraded"}`, telemetry.StateDegraded)
	e.draining.Store(true)
	e.healthIs(t, 503, `"draining"`, telemetry.StateNotReady)
	e.draining.Store(false)
}

func TestHealthWithoutKafka(t *testing.T) {
	t.Parallel()
	kcfg, _ := nobody(t)
	e := setupAt(t, kcfg, impatient) // a spool makes events durable
	e.healthIs(t, 200, `{"status":"degraded"}`, telemetry.StateDegraded)
	none := setupAt(t, kcfg, impatient, func(c *Config) { c.Spool.MaxBytes = 0 })
	none.healthIs(t, 503, `"not_durable"`, telemetry.StateNotReady)
	full := setupAt(t, kcfg, impatient, func(c *Config) { c.Spool.MaxBytes = 100; c.Timeouts.AnswerTimeout = time.Minute })
	equal(t, "an event", full.post(t, "/v1/page", page("m")).status, 503)
	full.healthIs(t, 503, `"not_durable"`, telemetry.StateNotReady)
}

func TestHealthNamesADamagedSegment(t *testing.T) {
	t.Parallel()
	_, kcfg := testkit.Kafka(t)
	dir := t.TempDir()
	spool := filepath.Join(dir, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(spool, segmentName(1)), append(newSegmentHeader(1), "no frame, but something that stands in a sealed segment"...))
	write(t, filepath.Join(spool, segmentName(2)), newSegmentHeader(2))
	e := setupAt(t, kcfg, func(c *Config) { c.DataDir = dir })
	testkit.Eventually(t, "the damage should be told", func() error {
		r := e.health.Report(t.Context())
		if r.State != telemetry.StateDegraded || !strings.Contains(r.String(), "1 segments of the spool are damaged: "+spool+" holds them as *.corrupt.") {
			return errors.New(r.String())
		}
		return nil
	})
	e.healthIs(t, 200, `{"status":"degraded"}`, telemetry.StateDegraded)
}
