package ingest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestKeysShowTheirLastUse(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Sources["app"] = Source{Enabled: true, Keys: []Key{{Key: "dev-server", Kind: KindServer}, {Key: "old", Kind: KindBrowser, NotAfter: at}}}
	})
	keys := func() string {
		mux := http.NewServeMux()
		e.mount(mux.Handle)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/keys", nil))
		var compact bytes.Buffer
		if err := json.Compact(&compact, w.Body.Bytes()); err != nil {
			t.Fatal(err)
		}
		return compact.String()
	}
	const browser = `,{"fingerprint":"cba06b57","source":"app","kind":"browser","enabled":true,"not_after":"2026-03-01T10:00:01.2Z","last_used":null}]}`
	const server = `{"keys":[{"fingerprint":"6b941275","source":"app","kind":"server","enabled":true,"not_after":null,"last_used":`
	equal(t, "unused", keys(), server+`null}`+browser)
	e.do(t, http.MethodPost, "/v1/track", `{"userId":"u","event":"E"}`, "X-Write-Key", "dev-server")
	equal(t, "used", keys(), server+`"2026-03-01T10:00:01Z"}`+browser)
}
