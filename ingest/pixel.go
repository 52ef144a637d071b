package ingest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// gif is one transparent dot.
var gif = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

// servePixel takes the event in the query. Every answer is the image: nobody retries one, and nobody reads its body.
func (s *Server) servePixel(w http.ResponseWriter, r *http.Request, rq *request) int {
	status := http.StatusOK
	rq.fromQuery(r.URL.Query())
	if ref := rq.collect(r); ref != nil {
		status = ref.status()
		s.note(ref)
		setRetryAfter(w.Header(), ref)
	}
	return answerGIF(w, status)
}

func answerGIF(w http.ResponseWriter, status int) int {
	h := w.Header()
	h["Content-Type"] = []string{"image/gif"}
	h["Cache-Control"] = headerNoStore
	w.WriteHeader(status)
	_, _ = w.Write(gif) // the client has gone
	return status
}

// fromQuery makes the body of a pixel's event: data holds it whole in base64, else each parameter is a member.
func (rq *request) fromQuery(q url.Values) {
	var body []byte
	if data := strings.TrimRight(q.Get("data"), "="); data != "" {
		// A space is a plus sign that nobody escaped.
		data = strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(data)
		raw, err := base64.RawStdEncoding.DecodeString(data)
		if err != nil {
			raw = []byte(data) // becomes invalid_json, with what was sent as the dead letter
		}
		body = raw
	} else {
		body = flatEvent(q)
	}
	rq.body = &buffer{b: body, class: -1}
	rq.size = len(body)
}

// flatEvent writes the parameters as one event of strings, those with a known prefix one level deep.
func flatEvent(q url.Values) []byte {
	out := []byte{'{'}
	names := make([]string, 0, len(q))
	for name := range q {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch name {
		case "userId", "anonymousId", "groupId", "previousId", "event", "name", "category", "messageId", "timestamp", "sentAt":
			out = append(appendQuoted(appendMember(out, 1, ""), []byte(name)), ':')
			out = appendQuoted(out, []byte(q.Get(name)))
		}
	}
	for _, group := range []string{"properties", "traits", "context"} {
		lo := 0
		for _, name := range names {
			member, ok := strings.CutPrefix(name, group+".")
			if !ok || member == "" {
				continue
			}
			if lo == 0 {
				out = append(appendQuoted(appendMember(out, 1, ""), []byte(group)), ':', '{')
				lo = len(out)
			}
			out = append(appendQuoted(appendMember(out, lo, ""), []byte(member)), ':')
			out = appendQuoted(out, []byte(q.Get(name)))
		}
		if lo > 0 {
			out = append(out, '}')
		}
	}
	return append(out, '}')
}
