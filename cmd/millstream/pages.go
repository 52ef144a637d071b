package main

import (
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/millstream-data/millstream/internal/telemetry"
)

// pages are what roles show on the admin server. A role that is built anew
// takes over the pages of its predecessor: http.ServeMux knows no replacing.
type pages struct {
	admin *telemetry.Admin

	mu    sync.Mutex // guards shown
	shown map[string]*page
}

type page struct{ current atomic.Pointer[http.Handler] }

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*p.current.Load()).ServeHTTP(w, r) }

// handle shows h under a pattern of http.ServeMux, instead of what was shown
// there before.
func (p *pages) handle(pattern string, h http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.shown[pattern]; old != nil {
		old.current.Store(&h)
		return
	}
	if p.shown == nil {
		p.shown = map[string]*page{}
	}
	fresh := &page{}
	fresh.current.Store(&h)
	p.shown[pattern] = fresh
	p.admin.Handle(pattern, fresh)
}
