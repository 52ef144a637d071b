package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

// TestHostRule: a foreign page whose name resolves to 127.0.0.1 is of our origin, but cannot hide its name.
func TestHostRule(t *testing.T) {
	t.Parallel()
	s := newRig(t, 1).server(func(c *Config) { c.PublicURL = "https://wall.example.com" })
	_, port, _ := strings.Cut(s.Addr(), ":")
	for host, want := range map[string]int{
		"127.0.0.1:" + port: 200, "localhost:" + port: 200, "[::1]:" + port: 200, "localhost": 200, "wall.example.com": 200,
		"evil.example": 421, "evil.example:" + port: 421, "127.0.0.1.evil.example": 421, "localhost.evil.example:" + port: 421,
	} {
		for _, path := range []string{"/v1/metrics", "/", "/health"} {
			if r := get(t, s, path, "Host: "+host); r.status != want {
				t.Errorf("GET %s as %s: %d, want %d", path, host, r.status, want)
			}
		}
	}
}

// TestOriginMatrix: pages of other sites may neither ask nor open a socket, whatever they know.
func TestOriginMatrix(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(func(c *Config) {
		c.PublicURL = "https://wall.example.com"
		c.Origins = []string{"https://intranet.example.com"}
	})
	for origin, c := range map[string]struct {
		status int
		cors   string
	}{
		"":                                     {200, ""},
		"http://" + s.Addr():                   {200, ""},
		"https://wall.example.com":             {200, ""},
		"https://intranet.example.com":         {200, "https://intranet.example.com"},
		"http://wall.example.com":              {403, ""},
		"http://intranet.example.com":          {403, ""},
		"https://evil.example":                 {403, ""},
		"null":                                 {403, ""},
		"https://intranet.example.com.evil.de": {403, ""},
	} {
		var header []string
		if origin != "" {
			header = []string{"Origin: " + origin}
		}
		got := get(t, s, "/v1/metrics", header...)
		if got.status != c.status || got.header.Get("Access-Control-Allow-Origin") != c.cors {
			t.Errorf("origin %q: %d %q, want %d %q", origin, got.status, got.header.Get("Access-Control-Allow-Origin"), c.status, c.cors)
		}
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		ws, status, err := dial(t, s, h)
		if ok := err == nil; ok != (c.status == 200) {
			t.Errorf("socket with origin %q: %v", origin, err)
		}
		if err == nil {
			_ = ws.Close()
		} else if status != 403 {
			t.Errorf("socket with origin %q: %d, want 403 before the upgrade", origin, status)
		}
	}
}

func tokenOf(name string, boards []string, where map[string]Names) TokenConfig {
	sum := sha256.Sum256([]byte("mst_" + name))
	return TokenConfig{Name: name, SHA256: hex.EncodeToString(sum[:]), Boards: boards, Where: where}
}

// TestLocksHoldEverywhere: a token that is locked to some rows gets what a store with only those rows would give, by
// every route.
func TestLocksHoldEverywhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	for i, plan := range []string{"free", "pro", "pro", "team"} {
		r.add(0, "orders", time.Now(), 0, plan)
		r.add(0, "dau", time.Now(), int64(i), plan)
	}
	r.commit(time.Now())
	s := r.server(func(c *Config) {
		c.Auth.Tokens = []TokenConfig{
			tokenOf("all", nil, nil), tokenOf("pro", nil, map[string]Names{"plan": {"pro"}}), tokenOf("tv", []string{"shop"}, nil),
			tokenOf("land", nil, map[string]Names{"country": {"DE"}}),
		}
		writeBoard(t, c.Boards, "shop", "version: 1\ntiles: [{number: orders, tz: UTC, size: 2x2}]\n")
	})
	for _, c := range []struct {
		token, query string
		status       int
		want         string
	}{
		{"", "metric=orders&tz=UTC", 401, "unauthorized"},
		{"wrong", "metric=orders&tz=UTC", 401, "unauthorized"},
		{"all", "metric=orders&tz=UTC", 200, `"rows":[["4"]]`},
		{"pro", "metric=orders&tz=UTC", 200, `"rows":[["2"]]`},
		{"pro", "metric=orders&tz=UTC&by=plan", 200, `"rows":[["pro","2"]]`},
		{"pro", "metric=orders&tz=UTC&where=plan:free", 200, `"rows":[["0"]]`},
		{"pro", "metric=orders&tz=UTC&where=plan:!pro", 200, `"rows":[["0"]]`},
		{"pro", "metric=dau&tz=UTC", 200, `"rows":[["2"]]`},
		{"land", "metric=orders&tz=UTC", 403, "forbidden_metric"},
		{"tv", "metric=orders&tz=UTC", 200, `"rows":[["4"]]`},
		{"tv", "metric=orders&tz=UTC&by=plan", 403, "forbidden_metric"},
	} {
		var header []string
		if c.token != "" {
			header = []string{"Authorization: Bearer mst_" + c.token}
		}
		if got := get(t, s, "/v1/query?"+c.query, header...); got.status != c.status || !strings.Contains(string(got.body), c.want) {
			t.Errorf("%s as %q: %d %s, want %d with %s", c.query, c.token, got.status, got.body, c.status, c.want)
		}
	}
	if got := get(t, s, "/v1/boards", "Authorization: Bearer mst_tv"); !strings.Contains(string(got.body), `"shop"`) {
		t.Errorf("the board's token does not see the board: %s", got.body)
	}
	ws, _, err := dial(t, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	p := &peer{t: t, ws: ws, tables: map[string]*client{}, streams: map[int64]string{}}
	p.send(map[string]any{"op": "hello", "v": 1, "token": "mst_pro"})
	p.sub(1, today, nil)
	p.value(1, "2")
}

func TestSocketWithoutTokenIsRefused(t *testing.T) {
	t.Parallel()
	s := newRig(t, 1).server(func(c *Config) { c.Auth.Tokens = []TokenConfig{tokenOf("all", nil, nil)} })
	for _, token := range []string{"", "mst_other"} {
		ws, _, err := dial(t, s, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = ws.WriteMessage(websocket.TextMessage, mustJSON(map[string]any{"op": "hello", "v": 1, "token": token}))
		p := &peer{t: t, ws: ws}
		if got := p.closeCode(); got != closeUnauthorized {
			t.Errorf("token %q: closed with %d, want %d", token, got, closeUnauthorized)
		}
		_ = ws.Close()
	}
}

func TestOpenAddressNeedsADecision(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Listen = "0.0.0.0:0"
	_, err := New(cfg, Deps{Log: testkit.Log(t), Registry: prometheus.NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), "serve.auth.mode: open") || !strings.Contains(err.Error(), "serve.auth.tokens") {
		t.Errorf("got %v; want an error that names the ways out", err)
	}
	cfg.Auth.Mode = authOpen
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func TestTakenPortNamesItsKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(nil)
	cfg := DefaultConfig()
	cfg.Listen = s.Addr()
	_, err := New(cfg, Deps{Kafka: r.kafka, Store: r.store, Log: testkit.Log(t), Registry: prometheus.NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), "serve.listen") || !strings.Contains(err.Error(), s.Addr()) {
		t.Errorf("got %v; want an error that names the key and the address", err)
	}
}

func TestConfigDocumented(t *testing.T) {
	t.Parallel()
	if missing := config.Undocumented(DefaultConfig()); len(missing) > 0 {
		t.Errorf("without a doc tag: %v", missing)
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestQueryOverHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	for _, plan := range []string{"=cmd()", "pro", "a,b", "pro"} {
		r.add(0, "revenue", time.Now(), 1250, plan)
	}
	r.commit(time.Now())
	s := r.server(nil)
	a := get(t, s, "/v1/query?metric=revenue&tz=UTC&by=plan&limit=2")
	var body struct {
		View Question    `json:"view"`
		Rows [][]*string `json:"rows"`
		Cols []string    `json:"cols"`
		AsOf int64       `json:"asof"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.AsOf == 0 || len(body.Rows) != 3 || *body.Rows[0][1] != "25.00" || *body.Rows[2][0] != other {
		t.Errorf("%v: %s", err, a.body)
	}
	if b := get(t, s, "/v1/query?metric=revenue&tz=UTC&by=plan&limit=2", "If-None-Match: "+a.header.Get("ETag")); b.status != http.StatusNotModified || len(b.body) > 0 {
		t.Errorf("with the etag: %d %s", b.status, b.body)
	}
	csv := get(t, s, "/v1/query?metric=revenue&tz=UTC&by=plan&format=csv&order=key")
	if want := "plan,value\r\n'=cmd(),12.50\r\n\"a,b\",12.50\r\npro,25.00\r\n"; string(csv.body) != want {
		t.Errorf("CSV is %q, want %q", csv.body, want)
	}
	if got := values(t, s, `metric=revenue&tz=UTC&where=plan:a\,b,pro`); got[0][0] != "37.50" {
		t.Errorf("a filter with a comma in a value: %v", got)
	}
	for query, want := range map[string]string{
		"":                               `"code":"bad_request"`,
		"metric=revnue":                  `"code":"unknown_metric"`,
		"metric=revenue&by=contry":       `revenue has no dimension \"contry\"; it has plan`,
		"metric=revenue&wher=plan:x":     `"field":"wher"`,
		"metric=revenue&range=1y":        `"code":"bad_range"`,
		"metric=revenue&limit=0":         `"field":"limit"`,
		"metric=revenue&grain=fortnight": `"field":"grain"`,
	} {
		if got := get(t, s, "/v1/query?"+query); got.status != http.StatusBadRequest || !strings.Contains(string(got.body), want) {
			t.Errorf("%s: %d %s, want 400 with %s", query, got.status, got.body, want)
		}
	}
	if got := get(t, s, "/v1/nothing"); got.status != http.StatusNotFound || !strings.Contains(string(got.body), "unknown_route") {
		t.Errorf("unknown route: %d %s", got.status, got.body)
	}
}

// TestBoardErrors: a broken file says where and keeps the version before it.
func TestBoardErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(nil)
	dir := s.cfg.Boards
	good := "version: 1\ntitle: Good\ntiles:\n  - {number: orders, size: 2x2}\n"
	writeBoard(t, dir, "shop", good)
	s.boards.read()
	for text, want := range map[string]string{
		"version: 1\ntiles:\n  - {number: orders, sise: 2x2}\n":                                 `shop.yaml:3:22: tiles[0].sise: unknown key; did you mean size?`,
		"version: 1\ntiles:\n  - {number: ordrs}\n":                                             `shop.yaml:3:14: tiles[0].number: there is no metric "ordrs"`,
		"version: 1\ntiles:\n  - {line: orders, by: contry}\n":                                  `shop.yaml:3:24: tiles[0].by: orders has no dimension "contry"; it has plan`,
		"version: 1\ntiles:\n  - {line: orders, size: 9x9}\n":                                   `tiles[0].size: must be columns x rows, 1x1 to 6x6, such as 2x1 (got "9x9")`,
		"version: 1\ncolumns: 2\ntiles:\n  - {line: orders, size: 3x1}\n":                       `tiles[0].size: is 3 columns wide; the board has 2`,
		"version: 1\ntiles:\n  - {line: orders, bar: orders}\n":                                 `tiles[0]: must have exactly one of number, line, bar, table`,
		"version: 1\ntiles:\n  - {title: x}\n":                                                  `has 0`,
		"version: 2\ntiles:\n  - {number: orders}\n":                                            `version: must be 1 (got 2)`,
		"version: 1\ntz: Mars\ntiles:\n  - {number: orders}\n":                                  `tz: "Mars" is no IANA time zone`,
		"version: 1\ntiles:\n  - {number: orders, range: soon}\n":                               `tiles[0].range: range is today`,
		"version: 1\ntiles:\n  - {table: [orders]}\n":                                           `tiles[0].by: a table needs the dimension`,
		"version: 1\ntiles:\n  - {number: orders, thresholds: [{below: x, is: bad}]}\n":         `thresholds[0]: below and above are numbers`,
		"version: 1\ntiles:\n  - {number: orders, thresholds: [{below: 1, is: ugly}]}\n":        `must be one of good, warn, bad`,
		"version: 1\ntiles:\n  - {bar: orders, by: plan, goal: {value: 1}}\n":                   `only a number has a goal`,
		"version: 1\ntiles: []\n":                                                               `tiles`,
		"version: 1\ntiles:\n  - {line: orders}\n  - {line: orders, grain: minute}\n":           `tiles[1].grain`,
		"version: 1\ntiles:\n  - {line: orders, where: {plan: pro}, compare: last_decade}\n":    `tiles[0].compare`,
		"version: 1\ntiles:\n  - {bar: orders, by: plan, grain: hour, limit: 3, every: soon}\n": `tiles[0].every: must be a whole number`,
	} {
		writeBoard(t, dir, "shop", text)
		s.boards.read()
		board, broken, ok := s.boards.get("shop")
		if !ok || board == nil || board.Title != "Good" {
			t.Errorf("the last good version is gone after:\n%s", text)
		}
		if !strings.Contains(broken, want) {
			t.Errorf("%s\ngives  %s\nwants  %s", text, broken, want)
		}
	}
	if got := get(t, s, "/v1/boards/shop"); got.status != 200 || !strings.Contains(string(got.body), `"error":"`) {
		t.Errorf("the board does not say that its file is broken: %d %s", got.status, got.body)
	}
	writeBoard(t, dir, "shop", strings.Replace(good, "Good", "Better", 1))
	s.boards.read()
	if board, broken, _ := s.boards.get("shop"); broken != "" || board.Title != "Better" {
		t.Errorf("a mended file is not taken over: %q", broken)
	}
}

// TestBoardExamples loads each board of deploy/ with the definitions beside it and asks all that it asks.
func TestBoardExamples(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.defineFile(filepath.Join("..", "deploy", "examples", "metrics", "shop.yaml"))
	s := r.server(func(c *Config) { c.Boards = filepath.Join("..", "deploy", "examples", "boards") })
	s.boards.read()
	s.boards.mu.Lock()
	defer s.boards.mu.Unlock()
	if len(s.boards.files) == 0 {
		t.Fatal("no boards")
	}
	for name, f := range s.boards.files {
		if f.err != "" {
			t.Errorf("%s: %s", name, f.err)
			continue
		}
		kinds := map[string]bool{}
		for _, tile := range f.board.Tiles {
			kind, _, _ := tile.kind()
			kinds[kind] = true
			for _, v := range s.boards.views(f.board, tile) {
				if v.Error != nil {
					t.Errorf("%s: %v", name, v.Error)
				} else if _, err := s.engine.Answer(t.Context(), *v.View); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if len(kinds) < 4 {
			t.Errorf("%s shows only %v", name, kinds)
		}
	}
}

// TestPageBudget: a board page is at most 60 KB over the wire, and policy keeps it from asking anybody else.
func TestPageBudget(t *testing.T) {
	t.Parallel()
	s := newRig(t, 1).server(nil)
	total := 0
	for name, a := range s.pages.assets {
		total += len(a.gzip)
		got := get(t, s, "/assets/"+s.pages.hash+"/"+name)
		if got.status != 200 || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, got.status, got.header)
		}
	}
	if total > 60<<10 {
		t.Errorf("the page has %d bytes gzipped", total)
	}
	page := get(t, s, "/")
	if strings.Contains(string(page.body), "{{") || strings.Contains(string(page.body), "style=") || strings.Contains(string(page.body), "<script>") {
		t.Error("the page has something inline, or a hole")
	}
	policy := page.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "ws://" + s.Addr()} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
}
