package conformance

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// stamp is how the SDKs write a time of their own.
var stamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// judgeWire compares every request with section 5 of the specification.
func (o *outcome) judgeWire() {
	for i, r := range o.requests {
		if r.raw == nil {
			continue // cut before it was read
		}
		before := len(o.said)
		if o.sdk == "browser" {
			o.simpleRequest(r)
		} else {
			o.serverRequest(r)
		}
		o.envelope(r)
		if len(o.said) > before {
			o.errorf("… in request %d: %s %s %v %s", i+1, r.method, r.path, r.header, tail(string(r.body)))
			return
		}
	}
}

func (o *outcome) serverRequest(r request) {
	o.equal("request line", r.method+" "+r.path, "POST /v1/batch")
	o.equal("Authorization", r.header.Get("Authorization"), "Basic "+base64.StdEncoding.EncodeToString([]byte(o.in.WriteKey+":")))
	o.equal("Content-Type", r.header.Get("Content-Type"), "application/json")
	if ua := r.header.Get("User-Agent"); !strings.HasPrefix(ua, "millstream-"+o.sdk+"/") {
		o.errorf("User-Agent: %q, want millstream-%s/ and the version", ua, o.sdk)
	}
	wantGzip := o.in.Config["gzip"] != false && len(r.body) >= 1024
	o.equal("gzip", r.header.Get("Content-Encoding") == "gzip", wantGzip)
	o.equal("writeKey in the body", r.batch.WriteKey, "")
}

// own lists the headers that a browser sets by itself; any other would cost a preflight.
var own = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Connection", "Content-Length", "Content-Type", "Host", "Origin", "Pragma",
	"Referer", "User-Agent", "Dnt", "Sec-Gpc", "Priority",
}

func (o *outcome) simpleRequest(r request) {
	o.equal("request line", r.method+" "+r.path, "POST /v1/b")
	o.equal("Content-Type", strings.ToLower(r.header.Get("Content-Type")), "text/plain;charset=utf-8")
	o.equal("writeKey in the body", r.batch.WriteKey, o.in.WriteKey)
	for name := range r.header {
		if !slices.Contains(own, name) && !strings.HasPrefix(name, "Sec-Fetch-") && !strings.HasPrefix(name, "Sec-Ch-") {
			o.errorf("header %s of ours", http.CanonicalHeaderKey(name))
		}
	}
}

func (o *outcome) envelope(r request) {
	if !json.Valid(r.body) {
		o.errorf("the body is no JSON")
		return
	}
	if !stamp.MatchString(r.batch.SentAt) {
		o.errorf("sentAt: %q is no time in UTC with milliseconds", r.batch.SentAt)
	}
	if len(r.batch.events) == 0 {
		o.errorf("the batch is empty")
	}
	for _, e := range r.batch.events {
		id, _ := e["messageId"].(string)
		at, _ := e["timestamp"].(string)
		kind, _ := e["type"].(string)
		library := map[string]any{}
		if c, ok := e["context"].(map[string]any); ok {
			library, _ = c["library"].(map[string]any)
		}
		name := map[string]string{"go": "millstream-go", "node": "millstream-node", "python": "millstream-python", "browser": "millstream-js"}[o.sdk]
		if id == "" || kind == "" || !stamp.MatchString(at) {
			o.errorf("event %q of type %q at %q", id, kind, at)
		}
		if library["name"] != name && o.in.Config["spoolDir"] == nil || library["version"] == nil { // a spool may be another's
			o.errorf("library of context: %v, want %s and its version", library, name)
		}
		if c, _ := e["context"].(map[string]any); c["ip"] != nil {
			o.errorf("context.ip is set")
		}
	}
}

// ids returns the message ids of a request.
func (r request) ids() []string {
	out := make([]string, len(r.batch.events))
	for i, e := range r.batch.events {
		out[i], _ = e["messageId"].(string)
	}
	return out
}

// plain makes values comparable: JSON numbers stay text.
func plain(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	out, err := exact(raw)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return out
}

func same(a, b any) bool { return reflect.DeepEqual(plain(a), plain(b)) }
