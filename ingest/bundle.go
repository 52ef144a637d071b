package ingest

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"net/http"
	"strconv"
	"strings"
)

// script is Millstream's SDK for browsers: make sdk builds it from sdk/js and copies it here.
//
//go:embed web/analytics.min.js
var script []byte

// bundle is the SDK for browsers as it is served: the same bytes for every write key, which the script reads out of
// its own address.
type bundle struct {
	plain, packed       []byte
	plainTag, packedTag string
}

func newBundle(plain []byte) bundle {
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(plain)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic("BUG: gzip into memory: " + err.Error())
	}
	tag := tagOf(plain)
	return bundle{plain, buf.Bytes(), tag, strings.TrimSuffix(tag, `"`) + `-gzip"`}
}

// serveBundle answers the SDK for browsers, to every key that could be one: without the script a page would keep its
// events for ever, and say nothing about a wrong key; with it the first request does.
func (s *Server) serveBundle(w http.ResponseWriter, r *http.Request, key string) *refusal {
	if !validKey(key) {
		return &refusal{code: codeUnknownKey, message: "no source can have this write key: it should be 1 to 128 of A-Z, a-z, 0-9, _ and -", as: http.StatusNotFound}
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=3600, stale-while-revalidate=86400")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // pages that isolate themselves load nothing else
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	body, tag := s.bundle.plain, s.bundle.plainTag
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body, tag = s.bundle.packed, s.bundle.packedTag
	}
	answerCacheable(w, r, "text/javascript; charset=utf-8", body, tag)
	return nil
}

// takesGzip says whether Accept-Encoding names gzip, or all, with a weight above zero (RFC 9110, 12.5.3).
func takesGzip(values []string) bool {
	others := false
	for coding := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, params, _ := strings.Cut(coding, ";")
		weight := 1.0
		if _, q, ok := strings.Cut(strings.ToLower(params), "q="); ok {
			weight, _ = strconv.ParseFloat(strings.TrimSpace(q), 64) // what is no number is refused
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			return weight > 0
		case "*":
			others = weight > 0
		}
	}
	return others
}
