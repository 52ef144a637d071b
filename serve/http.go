package serve

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// routes wires what is answered. Pages and assets hold no data and need no credential.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	open := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, s.watchRoute(pattern, h)) }
	data := func(pattern string, h func(http.ResponseWriter, *http.Request, *principal)) {
		open(pattern, func(w http.ResponseWriter, r *http.Request) {
			who, f := s.auth.ofRequest(r)
			if f != nil {
				s.metrics.authFailures.WithLabelValues(string(f.Code)).Inc()
				s.refuse(w, f)
				return
			}
			h(w, r, who)
		})
	}
	data("GET /v1/query", s.query)
	data("GET /v1/metrics", s.listMetrics)
	data("GET /v1/boards", s.listBoards)
	data("GET /v1/boards/{board}", s.showBoard)
	data("GET /v1/status", s.status)
	open("GET /v1/ws", s.upgrade)
	open("GET /health", s.health)
	open("GET /assets/{hash}/{file}", s.pages.asset)
	open("GET /{$}", s.pages.page)
	open("GET /b/{board}", s.pages.page)
	open("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, fault(codeUnknownRoute, "", "there is nothing at %s", r.URL.Path))
	})
	return s.guard(mux)
}

// guard asks the rules about hosts and origins before anything else is done.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if f := s.auth.checkHost(r); f != nil {
			s.refuse(w, f)
			return
		}
		if f := s.auth.checkOrigin(r); f != nil {
			s.refuse(w, f)
			return
		}
		if s.auth.allowCORS(w, r) {
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.refuse(w, fault(codeMethod, "", "%s is not answered here; use GET", r.Method))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) watchRoute(pattern string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		if pattern == "GET /v1/ws" {
			h(w, r) // gorilla takes the connection over and needs the writer as it is
		} else {
			h(rec, r)
		}
		s.metrics.requests.WithLabelValues(pattern, strconv.Itoa(rec.status)).Inc()
		s.metrics.requestSeconds.WithLabelValues(pattern).Observe(time.Since(start).Seconds())
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (s *Server) refuse(w http.ResponseWriter, f *faultError) {
	s.metrics.rejected.WithLabelValues(string(f.Code)).Inc()
	writeFault(w, f)
}

func (s *Server) query(w http.ResponseWriter, r *http.Request, who *principal) {
	q, format, err := parseQuery(r)
	if err != nil {
		s.refuse(w, asFault(err))
		return
	}
	v, err := s.hub.ask(r.Context(), q, who)
	if err != nil {
		if f := asFault(err); f.Code == codeStoreAway {
			s.log.Warn("question not answered", "metric", q.Metric, "err", err)
		}
		s.refuse(w, asFault(err))
		return
	}
	wm, _ := s.engine.Fresh()
	body, etag, name := v.answerBody(format, wm)
	tag := `"` + etag + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, max-age=1")
	h.Add("Vary", "Authorization")
	if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if format == formatCSV {
		h.Set("Content-Type", "text/csv; charset=utf-8")
		h.Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	} else {
		h.Set("Content-Type", "application/json")
	}
	_, _ = w.Write(body)
}

// The formats of an answer.
const (
	formatJSON = "json"
	formatCSV  = "csv"
)

// parseQuery reads a question from the members of a query string.
func parseQuery(r *http.Request) (q Question, format string, err error) {
	values := r.URL.Query()
	format = formatJSON
	for name, vs := range values {
		if len(vs) > 1 && name != "where" {
			return q, "", fault(codeBadRequest, name, "%s stands twice", name)
		}
		v := vs[0]
		switch name {
		case "metric":
			q.Metric = v
		case "by":
			q.By = splitList(v)
		case "where":
			if q.Where, err = parseWhere(vs); err != nil {
				return q, "", err
			}
		case "range":
			q.Range = v
		case "grain":
			q.Grain = v
		case "tz":
			q.TZ = v
		case "compare":
			q.Compare = v
		case "order":
			q.Order = v
		case "limit":
			if q.Limit, err = strconv.Atoi(v); err != nil || q.Limit < 1 {
				return q, "", fault(codeBadRequest, "limit", "limit must be a number between 1 and %d (got %q)", maxLimit, v)
			}
		case "format":
			if format = v; v != formatJSON && v != formatCSV {
				return q, "", fault(codeBadRequest, "format", "format is json or csv (got %q)", v)
			}
		default:
			return q, "", fault(codeBadRequest, name, "there is no parameter %q; there are metric, by, where, range, grain, tz, compare, order, limit, format", name)
		}
	}
	if q.Metric == "" {
		return q, "", fault(codeBadRequest, "metric", "name a metric: /v1/query?metric=orders; /v1/metrics lists them")
	}
	return q, format, nil
}

// parseWhere reads where=plan:pro,team and where=country:!US.
func parseWhere(list []string) (map[string]Filter, error) {
	where := map[string]Filter{}
	for _, w := range list {
		dim, values, ok := strings.Cut(w, ":")
		if !ok || dim == "" || values == "" {
			return nil, fault(codeBadRequest, "where", "a filter is written where=plan:pro,team or where=country:!US (got %q)", w)
		}
		f := Filter{In: splitList(values)}
		if not, ok := strings.CutPrefix(values, "!"); ok {
			f = Filter{Not: splitList(not)}
		}
		if had, ok := where[dim]; ok {
			f = had.and(f)
		}
		where[dim] = f
	}
	return where, nil
}

// splitList splits at commas; one that belongs to a value is written \,.
func splitList(s string) []string {
	var out []string
	var cur strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == ',' || s[i+1] == '\\'):
			i++
			cur.WriteByte(s[i])
		case s[i] == ',':
			out = append(out, cur.String())
			cur.Reset()
		default:
			cur.WriteByte(s[i])
		}
	}
	return append(out, cur.String())
}

// answerBody encodes the view's present answer. asof is not part of the etag: it moves while nothing changes.
func (v *view) answerBody(format string, wm int64) (body []byte, etag, name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name = v.question.Metric + "_" + strings.ReplaceAll(v.question.Range, "..", "_")
	if format == formatCSV {
		return v.encodeCSV(), v.table.etagText() + "-csv", name
	}
	var b bytes.Buffer
	b.WriteString(`{"view":` + v.subject + `,"asof":`)
	if wm > 0 {
		b.WriteString(strconv.FormatInt(wm, 10))
	} else {
		b.WriteString("null")
	}
	b.WriteString(`,"etag":"` + v.table.etagText() + `",`)
	v.encodeTable(&b)
	b.WriteString("}\n")
	return b.Bytes(), v.table.etagText(), name
}

// encodeCSV guards texts that a spreadsheet would run as a formula.
func (v *view) encodeCSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	_ = w.Write(v.table.cols)
	for _, r := range v.table.order {
		var cells []*string
		if err := json.Unmarshal(r.enc, &cells); err != nil {
			panic("BUG: decode row: " + err.Error())
		}
		out := make([]string, len(cells))
		for i, c := range cells {
			if c == nil {
				continue
			}
			out[i] = *c
			if i < v.table.keys && len(*c) > 0 && strings.ContainsRune("=+-@\t\r", rune((*c)[0])) {
				out[i] = "'" + *c
			}
		}
		_ = w.Write(out)
	}
	w.Flush()
	return b.Bytes()
}

func (s *Server) listMetrics(w http.ResponseWriter, _ *http.Request, who *principal) {
	type item struct {
		Name        string   `json:"name"`
		Version     int      `json:"ver"`
		Title       string   `json:"title"`
		Description string   `json:"description,omitempty"`
		Kind        string   `json:"kind"`
		Unit        string   `json:"unit"`
		Scale       int      `json:"scale"`
		Dimensions  []string `json:"dimensions"`
		Zones       []string `json:"zones"`
		Fine        bool     `json:"fine"`
	}
	out := []item{}
	for _, v := range s.engine.current() {
		if who.boards != nil {
			break // such a token opens tiles, not metrics
		}
		sub := s.engine.subject(v)
		out = append(out, item{
			Name: v.Name, Version: v.Ver, Title: v.Def.Title, Description: v.Def.Description, Kind: string(v.Def.Kind), Unit: v.Def.Unit,
			Scale: scaleOf(v.Def), Dimensions: append([]string{}, sub.dims...), Zones: sub.zones, Fine: sub.fine,
		})
	}
	writeJSON(w, map[string]any{"metrics": out})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request, _ *principal) {
	wm, src := s.engine.Fresh()
	ready, reason := s.follower.state()
	now := s.hub.now().UnixMilli()
	out := map[string]any{"node": s.hub.node, "now": now, "wm": nil, "lag": nil, "src": src, "ready": ready, "page": s.pages.hash}
	if wm > 0 {
		out["wm"], out["lag"] = wm, max(0, now-wm)
	}
	if reason != "" {
		out["reason"] = reason
	}
	s.engine.mu.Lock()
	out["set"] = s.engine.reg.No
	s.engine.mu.Unlock()
	writeJSON(w, out)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s.hub.isDraining() {
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("draining\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(mustJSON(v), '\n'))
}
