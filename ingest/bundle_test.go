package ingest

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestBundleIsTheSameForEveryKey(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for _, key := range []string{"dev", "dev-server", "of_nobody", strings.Repeat("x", 128)} {
		a := e.do(t, http.MethodGet, "/analytics.js/v1/"+key+"/analytics.min.js", "")
		if a.status != http.StatusOK || a.body != string(script) || a.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d, %d bytes, %v", key, a.status, len(a.body), a.header)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/javascript; charset=utf-8", "X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "*",
			"Cross-Origin-Resource-Policy": "cross-origin", "Vary": "Accept-Encoding", "Cache-Control": "public, max-age=3600, stale-while-revalidate=86400",
		} {
			equal(t, name, a.header.Get(name), want)
		}
	}
	for _, key := range []string{"v1", "a.b", "a%20b", strings.Repeat("x", 129)} {
		equal(t, key, e.do(t, http.MethodGet, "/analytics.js/v1/"+key+"/analytics.min.js", "").status, http.StatusNotFound)
	}
}

func TestBundleIsPackedAndCachedByItsTag(t *testing.T) {
	t.Parallel()
	e := setup(t)
	const path = "/analytics.js/v1/dev/analytics.min.js"
	packed := e.do(t, http.MethodGet, path, "", "Accept-Encoding", "br, gzip;q=0.8")
	z, err := gzip.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil || string(got) != string(script) || packed.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes, %v, %v", len(got), err, packed.header)
	}
	plain := e.do(t, http.MethodGet, path, "", "Accept-Encoding", "gzip;q=0, *;q=0.1")
	if plain.body != string(script) || plain.header.Get("ETag") == packed.header.Get("ETag") {
		t.Errorf("%d bytes, %v", len(plain.body), plain.header)
	}
	for encoding, tag := range map[string]string{"gzip": packed.header.Get("ETag"), "identity": plain.header.Get("ETag")} {
		a := e.do(t, http.MethodGet, path, "", "Accept-Encoding", encoding, "If-None-Match", `"other", W/`+tag)
		if a.status != http.StatusNotModified || a.body != "" || a.header.Get("ETag") != tag || a.header.Get("Cache-Control") == "" || a.header.Get("Vary") == "" {
			t.Errorf("%s: %d %q %v", encoding, a.status, a.body, a.header)
		}
	}
}

func TestTakesGzip(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "x-gzip": true, "deflate, gzip;q=1.0, *;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"*": true, "*;q=0": false, "identity": false, "gzip;q=0, *": false, "br": false, "gzip;q=nonsense": false,
	} {
		equal(t, header, takesGzip([]string{header}), want)
	}
}
