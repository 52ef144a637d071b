package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

// many is a batch of n times the same event.
func many(n int, event string) string {
	return `{"batch":[` + strings.TrimSuffix(strings.Repeat(event+",", n), ",") + `]}`
}

func TestBatchThatWouldNeverFitIsTooLarge(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Limits.Body, c.Limits.Inflated, c.Limits.Inflight = 256*config.KiB, 256*config.KiB, config.MiB
	})
	untilFree := func() {
		t.Helper()
		testkit.Eventually(t, "nothing should be held", func() error {
			if n := e.gate.held.Load(); n != 0 {
				return fmt.Errorf("%d bytes", n)
			}
			return nil
		})
	}
	for name, body := range map[string]string{
		"small events":     many(2000, `{}`),
		"refused events":   many(1000, `0`),
		"context of all":   `{"context":{"x":"` + strings.Repeat("x", 100_000) + `"},` + many(20, `{"type":"page","userId":"u"}`)[1:],
		"envelopes of all": `{"context":{"x":"` + strings.Repeat("x", 7000) + `"},` + many(200, `{}`)[1:],
	} {
		a := e.post(t, "/v1/batch", body)
		if a.status != 413 || !strings.Contains(a.body, `"body_too_large"`) || !strings.Contains(a.body, "take more than 1MiB; send smaller batches") {
			t.Errorf("%s: %d %.300s", name, a.status, a.body)
		}
		untilFree() // or the next one is overload
	}
	equal(t, "one of them", e.post(t, "/v1/batch", many(200, `{"type":"page","userId":"u"}`)).status, 200)
	untilFree()
	e.events(t, 200)
	e.rejected(t, 4) // each request as one
}

func TestBodyWithoutRoomIsRefusedUnread(t *testing.T) {
	t.Parallel()
	e := setup(t)
	e.gate.held.Add(e.gate.limit - 1e6)
	a := e.raw(t, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: 1000001\r\n\r\n")
	if a.status != 503 || !strings.Contains(a.body, `"overloaded"`) || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	e.gate.held.Add(1e6 - e.gate.limit)
	equal(t, "when there is room", e.post(t, "/v1/batch", many(1, `{"type":"page","userId":"u"}`)).status, 200)
}
