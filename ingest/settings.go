package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// serveSettings answers what Segment's SDKs ask for at their start. analytics.js sends nothing after a failed call.
func (s *Server) serveSettings(w http.ResponseWriter, r *http.Request, key string) *refusal {
	snap := s.sources.Load()
	if !validKey(key) || snap.stale == "" && snap.find(key) == nil {
		return &refusal{code: codeUnknownKey, message: "no source has this write key", as: http.StatusNotFound}
	}
	body := appendSettings(nil, key, s.cfg.PublicURL)
	w.Header().Set("Cache-Control", "public, max-age=300")
	answerCacheable(w, r, "application/json", body, tagOf(body))
	return nil
}

// tagOf is the entity tag of what these bytes are.
func tagOf(b []byte) string {
	sum := sha256.Sum256(b)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

// answerCacheable answers body, or that whoever asks has it: the only 3xx of this server.
func answerCacheable(w http.ResponseWriter, r *http.Request, typ string, body []byte, tag string) {
	h := w.Header()
	h.Set("ETag", tag)
	if match := r.Header.Get("If-None-Match"); match == "*" || strings.Contains(match, tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", typ)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client has gone
}

// appendSettings writes the settings of key. The host is the configured one and never the request's: a shared cache
// could be poisoned by that. sampleRate 0 stops the SDK's own metrics at their source.
func appendSettings(dst []byte, key, publicURL string) []byte {
	dst = append(dst, `{"integrations":{"Segment.io":{"apiKey":`...)
	dst = appendQuoted(dst, []byte(key))
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		dst = appendQuoted(append(dst, `,"apiHost":`...), []byte(u.Host+strings.TrimRight(u.Path, "/")+"/v1"))
		dst = appendQuoted(append(dst, `,"protocol":`...), []byte(u.Scheme))
	}
	return append(dst, `,"addBundledMetadata":true,"maybeBundledConfigIds":{},"versionSettings":{"version":"4.4.7","componentTypes":["browser"]}}},`+
		`"plan":{"track":{"__default":{"enabled":true,"integrations":{}}},"identify":{"__default":{"enabled":true}},"group":{"__default":{"enabled":true}}},`+
		`"edgeFunction":{},"analyticsNextEnabled":true,"middlewareSettings":{},"enabledMiddleware":{},"metrics":{"sampleRate":0},"legacyVideoPluginsEnabled":false,"remotePlugins":[]}`...)
}
