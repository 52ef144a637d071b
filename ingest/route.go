package ingest

import (
	"net/http"
	"strings"

	"github.com/millstream-data/millstream/internal/event"
)

// routeKind is what a route does.
type routeKind uint8

const (
	routeOther routeKind = iota // no route: 404
	routeEvent
	routeBatch
	routeImport
	routeMetrics
	routePixel
	routeSettings
	routeBundle
	routeHealth
	routeRobots
	routeRejections
	routeRejection
	routeTail
)

// route is where a path leads.
type route struct {
	kind routeKind
	typ  event.Type
	name string // for metrics: the canonical path
	key  string // of settings and bundle; the id of a rejection
}

// allow lists the methods that the route knows.
func (rt route) allow() string {
	if rt.posts() {
		return "POST, OPTIONS"
	}
	return "GET, HEAD, OPTIONS"
}

func (rt route) takes(method string) bool {
	if rt.posts() {
		return method == http.MethodPost
	}
	return method == http.MethodGet || method == http.MethodHead
}

func (rt route) posts() bool {
	return rt.kind == routeEvent || rt.kind == routeBatch || rt.kind == routeImport || rt.kind == routeMetrics
}

// router finds routes. It is our own because http.ServeMux redirects unclean paths, and to some SDKs a redirect means
// delivered.
type router struct {
	canonical map[string]route // by the path as it should be
	rest      map[string]route // by the path without its v1
	prefix    []string
}

func newRouter(prefix string) *router {
	rr := &router{canonical: map[string]route{}, rest: map[string]route{}}
	add := func(rt route, paths ...string) {
		rt.name = paths[0]
		for _, p := range paths {
			rr.canonical[p] = rt
			rr.rest[strings.Join(clean(p), "/")] = rt
		}
	}
	for _, t := range event.Types() {
		add(route{kind: routeEvent, typ: t}, "/v1/"+string(t), "/v1/"+string(t[:1]))
		add(route{kind: routePixel, typ: t}, "/v1/pixel/"+string(t))
	}
	add(route{kind: routeBatch}, "/v1/batch", "/v1/b", "/v1/batch/b", "/v1/b/b")
	add(route{kind: routeImport}, "/v1/import")
	add(route{kind: routeMetrics}, "/v1/m")
	add(route{kind: routeHealth}, "/health", "/")
	add(route{kind: routeRobots}, "/robots.txt")
	add(route{kind: routeRejections}, "/v1/rejections")
	add(route{kind: routeTail}, "/v1/tail")
	rr.prefix = clean(prefix)
	return rr
}

// clean returns the segments of a path that are neither empty nor v1.
func clean(path string) []string {
	var out []string
	for seg := range strings.SplitSeq(path, "/") {
		if seg != "" && seg != "v1" {
			out = append(out, seg)
		}
	}
	return out
}

// find returns the route of a path: as it stands, else without empty segments, v1 and our own prefix, for SDKs drop,
// keep or double a path in their host setting.
func (rr *router) find(path string) route {
	if rt, ok := rr.canonical[path]; ok {
		return rt
	}
	segs := clean(path)
	if rest := segs; len(rest) >= len(rr.prefix) && strings.Join(rest[:len(rr.prefix)], "/") == strings.Join(rr.prefix, "/") {
		segs = rest[len(rr.prefix):]
	}
	if rt, ok := rr.rest[strings.Join(segs, "/")]; ok {
		return rt
	}
	if n := len(segs); n == 4 && segs[0] == "projects" || n == 3 {
		segs = segs[n-3:]
		if segs[0] == "projects" && segs[2] == "settings" {
			return route{kind: routeSettings, name: "/v1/projects/{key}/settings", key: segs[1]}
		}
		if segs[0] == "analytics.js" && segs[2] == "analytics.min.js" {
			return route{kind: routeBundle, name: "/analytics.js/v1/{key}/analytics.min.js", key: segs[1]}
		}
	}
	if len(segs) == 2 && segs[0] == "rejections" {
		return route{kind: routeRejection, name: "/v1/rejections/{id}", key: segs[1]}
	}
	return route{name: "other"}
}
