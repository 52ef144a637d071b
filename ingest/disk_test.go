package ingest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

// faulty is a file of a disk with a fault.
type faulty struct {
	*os.File
	write, sync *atomic.Pointer[error]
	failed      bool
}

func (f *faulty) Write(b []byte) (int, error) {
	if err := f.write.Load(); err != nil && len(b) > segmentHeader {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, *err
	}
	return f.File.Write(b)
}

func (f *faulty) Sync() error {
	if f.failed {
		panic("BUG: a file whose sync has failed is synced again")
	}
	if err := f.sync.Load(); err != nil {
		f.failed = true
		return *err
	}
	return f.File.Sync()
}

func (f *faulty) fit(s *Server) {
	s.producer.spool.create = func(path string) (spoolFile, error) {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		return &faulty{File: file, write: f.write, sync: f.sync}, err
	}
}

// untilDegraded waits until events can be made durable, though not in Kafka.
func (e *edge) untilDegraded(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, "the spool should be usable", func() error {
		if r := e.health.Report(t.Context()); r.State != telemetry.StateDegraded {
			return errors.New(r.String())
		}
		return nil
	})
}

func TestFsyncFailureIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	disk := faulty{write: &atomic.Pointer[error]{}, sync: &atomic.Pointer[error]{}}
	e := setupFaulty(t, kcfg, disk.fit, impatient)
	equal(t, "before", e.post(t, "/v1/page", numbered("u", 0)).status, 200)
	disk.sync.Store(&[]error{io.ErrUnexpectedEOF}[0])
	for range 2 {
		if a := e.post(t, "/v1/page", numbered("u", 1)); a.status != 503 || !strings.Contains(a.body, "not_durable") {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	equal(t, "failures", e.metric(t, "spool_errors_total", "fsync"), 2.0)
	disk.sync.Store(nil)
	equal(t, "after", e.post(t, "/v1/page", numbered("u", 1)).status, 200)
	disk.sync.Store(&[]error{io.ErrUnexpectedEOF}[0])
	for range 4 {
		equal(t, "broken", e.post(t, "/v1/page", numbered("u", 2)).status, 503)
	}
	equal(t, "failures", e.metric(t, "spool_errors_total", "fsync"), 5.0) // the fourth was not tried
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateNotReady)
	equal(t, "health", e.do(t, http.MethodGet, "/health", "").status, 503)
	disk.sync.Store(nil)
	e.producer.spool.mu.Lock()
	e.producer.spool.retryAt = time.Time{} // ten seconds have passed
	e.producer.spool.mu.Unlock()
	e.untilDegraded(t)
	equal(t, "mended, without a request to try it", e.post(t, "/v1/page", numbered("u", 2)).status, 200)
	testkit.KafkaAt(t, addr, "")
	e.untilDirect(t)
	equal(t, "direct", e.post(t, "/v1/page", numbered("u", 3)).status, 200)
	inOrder(t, e.arrived(t, 4), map[string]int{"u": 4})
	_, corrupt, err := listSegments(spoolDir(e.cfg))
	if corrupt > 0 || err != nil {
		t.Errorf("%d corrupt segments: %v", corrupt, err)
	}
}

func TestSpoolDiskFull(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	disk := faulty{write: &atomic.Pointer[error]{}, sync: &atomic.Pointer[error]{}}
	var free atomic.Int64
	free.Store(1 << 40)
	e := setupFaulty(t, kcfg, func(s *Server) {
		disk.fit(s)
		s.producer.spool.free = func() (int64, error) { return free.Load(), nil }
	}, impatient, func(c *Config) { c.Spool.MinFree = 1 << 20 })
	equal(t, "before", e.post(t, "/v1/page", numbered("u", 0)).status, 200)
	disk.write.Store(&[]error{syscall.ENOSPC}[0])
	if a := e.post(t, "/v1/page", numbered("u", 1)); a.status != 503 || !strings.Contains(a.body, `"spool_full"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	disk.write.Store(nil)
	equal(t, "room again", e.post(t, "/v1/page", numbered("u", 1)).status, 200)
	free.Store(1<<20 - 1)
	taken := 0
	testkit.Eventually(t, "the bound of the file system should hold", func() error {
		if a := e.post(t, "/v1/page", numbered("v", taken)); a.status != 503 || a.header.Get("Retry-After") != "30" {
			taken++
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateNotReady)
	free.Store(1 << 40)
	e.untilDegraded(t)
	equal(t, "room again", e.post(t, "/v1/page", numbered("u", 2)).status, 200)
	testkit.KafkaAt(t, addr, "")
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 3+taken), map[string]int{"u": 3, "v": taken})
}

func TestSpoolFullAnswers503(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	e := setupAt(t, kcfg, impatient, func(c *Config) { c.Spool.MaxBytes = 2 << 10 })
	n := 0
	for ; ; n++ {
		a := e.post(t, "/v1/page", numbered("u", n))
		if a.status == 200 && n < 100 {
			continue
		}
		if a.status != 503 || !strings.Contains(a.body, `"spool_full"`) || a.header.Get("Retry-After") != "30" {
			t.Fatalf("%d %s %v", a.status, a.body, a.header)
		}
		break
	}
	if used := e.metric(t, "spool_bytes"); n == 0 || used > 2<<10 {
		t.Errorf("%d events, %v bytes", n, used)
	}
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateNotReady)
	testkit.KafkaAt(t, addr, "")
	e.untilDirect(t)
	equal(t, "room", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	inOrder(t, e.arrived(t, n+1), map[string]int{"u": n + 1})
}
