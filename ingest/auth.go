package ingest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// headerKey returns the key that decides, of those outside the body: from Authorization, X-Write-Key or the query, in
// this order. conflict says that a later place holds another one.
func headerKey(r *http.Request) (key string, conflict bool) {
	add := func(k string) {
		switch {
		case key == "":
			key = k
		case k != "" && k != key:
			conflict = true
		}
	}
	add(basicKey(r.Header.Get("Authorization")))
	add(r.Header.Get("X-Write-Key"))
	if r.URL.RawQuery != "" {
		q, _ := url.ParseQuery(r.URL.RawQuery) // what cannot be read is left out
		add(q.Get("writeKey"))
		add(q.Get("writekey"))
	}
	return key, conflict
}

// basicKey reads the user's part of Basic credentials; colon and padding may be missing. Bearer tokens are passed over:
// Segment's SDKs send them besides a key elsewhere.
func basicKey(auth string) string {
	scheme, value, ok := strings.Cut(auth, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") {
		return ""
	}
	value = strings.TrimRight(strings.TrimSpace(value), "=")
	raw, err := base64.RawStdEncoding.DecodeString(value)
	if err != nil {
		if raw, err = base64.RawURLEncoding.DecodeString(value); err != nil {
			return ""
		}
	}
	key, _, _ := strings.Cut(string(raw), ":")
	return strings.TrimSpace(key)
}

// bodyKey returns the key in the body: the batch's, else that of the first event that has one.
func bodyKey(body []byte, idx *index) string {
	if key := keyText(idx.env.writeKey.of(body)); key != "" {
		return key
	}
	for i := range idx.events {
		key := ""
		for _, m := range idx.top[idx.events[i].top.lo:idx.events[i].top.hi] {
			if m.field == fieldWriteKey {
				key = keyText(m.val.of(body))
			}
		}
		if key != "" {
			return key
		}
	}
	return ""
}

func keyText(raw []byte) string {
	text, _ := isText(raw)
	return string(unescape(nil, text))
}

// admit looks up key and decides whether the request may go on. A pixel is a browser's, whatever its key.
func (s *Server) admit(r *http.Request, snap *snapshot, key string, pixel bool) (*access, *refusal) {
	if key == "" {
		bearer := ""
		if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
			bearer = "; a Bearer token is none"
		}
		return nil, refuse(codeMissingKey, "no write key: send it as the user name of Authorization: Basic, as X-Write-Key, or as writeKey in the body"+bearer)
	}
	a, ref := s.open(r, snap, key, pixel)
	if ref != nil {
		if ref.key = fingerprint(sha256.Sum256([]byte(key))); a != nil {
			ref.source = a.source.name
		}
		return nil, ref
	}
	return a, nil
}

// open is admit for a request with a key. It returns what the key opens also if it is refused.
func (s *Server) open(r *http.Request, snap *snapshot, key string, pixel bool) (*access, *refusal) {
	a := snap.find(key)
	if a == nil && snap.stale != "" {
		return nil, refuse(codeKeysStale, "this write key is not known, and the sources could not be read again; repeat the request")
	}
	if a == nil {
		return nil, refuse(codeUnknownKey, "no source has this write key; its operator knows which there are")
	}
	origin, now := r.Header.Get("Origin"), s.now()
	if ref := a.admit(origin, pixel, now); ref != nil {
		if ref.code == codeExpiredKey && snap.stale != "" {
			ref = refuse(codeKeysStale, "this write key has ended, unless the sources that could not be read say otherwise; repeat the request")
		}
		return a, ref
	}
	a.state.use(now)
	if origin != "" && a.kind == KindServer {
		s.metrics.keyInBrowser.WithLabelValues(a.source.name).Inc()
	}
	return a, nil
}
