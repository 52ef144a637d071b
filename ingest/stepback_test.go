package ingest

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/testkit"
)

func TestClockStepsBack(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	var wall atomic.Int64
	wall.Store(at.UnixMilli())
	e := setupFaulty(t, kcfg, func(s *Server) { s.now = func() time.Time { return time.UnixMilli(wall.Load()) } }, func(c *Config) {
		app := c.Sources["app"]
		app.Rate = Rate{Events: 0.1, Burst: time.Second} // an event is owed for ten seconds
		c.Sources["app"] = app
	})
	e.broker = broker
	e.untilDirect(t)
	const before = `{"userId":"u1","messageId":"m-1"}`
	equal(t, "before", e.post(t, "/v1/page", before).status, http.StatusOK)
	wall.Add(-time.Hour.Milliseconds())
	limited := e.post(t, "/v1/page", before)
	equal(t, "while the key owes", limited.status, http.StatusTooManyRequests)
	if s, err := strconv.Atoi(limited.header.Get("Retry-After")); err != nil || s < 1 || s > 10 {
		t.Errorf("it owes as long as before: got %s", limited.header.Get("Retry-After"))
	}
	equal(t, "with the other key", e.do(t, http.MethodPost, "/v1/batch", `{"batch":[{"type":"page","userId":"u1","messageId":"m-1"},`+
		`{"type":"page","userId":"u1","messageId":"m-2"}]}`, "X-Write-Key", "dev").body, `{"success":true,"accepted":1,"duplicates":1}`)
	var received []string
	for _, r := range e.events(t, 2) {
		received = append(received, r.Timestamp.UTC().Format(time.RFC3339Nano))
	}
	equal(t, "receivedAt follows the clock", received, []string{"2026-03-01T10:00:01.2Z", "2026-03-01T09:00:01.2Z"})
}
