package ingest

import (
	"net/http"
	"testing"
)

func TestDeadLettersAreCutAndSayWhereTheyCameFrom(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.RejectedMax = 20 })
	const event = `{"event":"Paid","properties":{"n":1}}`
	equal(t, "status", e.post(t, "/v1/t", event).status, http.StatusBadRequest)
	r := e.rejected(t, 1)[0]
	equal(t, "bytes", string(r.Original), event[:20])
	equal(t, "size", r.Size, len(event))
	equal(t, "cut", r.Truncated, true)
	equal(t, "type", r.Type, "track")
	equal(t, "route", r.Route, "/v1/track")
}
