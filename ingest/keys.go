package ingest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// keyState is what is known of a write key besides its configuration. It outlives snapshots in which the key stays.
type keyState struct {
	used          atomic.Int64 // Unix seconds; 0: never
	events, bytes bucket
}

// use notes that the key was used. Most requests of a second only read.
func (s *keyState) use(now time.Time) {
	if sec := now.Unix(); s.used.Load() != sec {
		s.used.Store(sec)
	}
}

// mount shows operators what the role knows.
func (s *Server) mount(show func(pattern string, h http.Handler)) {
	show("GET /keys", http.HandlerFunc(s.serveKeys))
	s.mountAsked(show)
}

// keyReport is what an operator may see of a write key.
type keyReport struct {
	Fingerprint string     `json:"fingerprint"`
	Source      string     `json:"source"`
	Kind        Kind       `json:"kind"`
	Enabled     bool       `json:"enabled"`
	NotAfter    *time.Time `json:"not_after"`
	LastUsed    *time.Time `json:"last_used"`
}

// serveKeys lists every write key by source and fingerprint with its last use in this process, so that somebody who
// changes a key can see when nobody needs the old one any more.
func (s *Server) serveKeys(w http.ResponseWriter, _ *http.Request) {
	snap := s.sources.Load()
	list := make([]keyReport, 0, len(snap.keys))
	for _, a := range snap.keys {
		k := keyReport{Fingerprint: a.fingerprint, Source: a.source.name, Kind: a.kind, Enabled: a.enabled}
		if !a.notAfter.IsZero() {
			k.NotAfter = &a.notAfter
		}
		if sec := a.state.used.Load(); sec != 0 {
			used := time.Unix(sec, 0).UTC()
			k.LastUsed = &used
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b keyReport) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	body, err := json.MarshalIndent(map[string][]keyReport{"keys": list}, "", "  ")
	if err != nil {
		panic("BUG: encode keys: " + err.Error())
	}
	writeJSON(w, http.StatusOK, append(body, '\n'))
}
