package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// principal is who asks, and what that opens.
type principal struct {
	name   string
	boards []string // nil: any question
	locks  map[string]Filter
	tiles  func(board string) []Question // canonical questions of a board's tiles
}

// mayAsk says whether the canonical question q, before locks, is open to p.
func (p *principal) mayAsk(q Question) error {
	if p.boards == nil {
		return nil
	}
	key := q.key()
	for _, b := range p.boards {
		for _, t := range p.tiles(b) {
			if t.key() == key {
				return nil
			}
		}
	}
	return fault(codeForbiddenMetric, "metric", "the token opens the tiles of %s and no other question", strings.Join(p.boards, ", "))
}

func (p *principal) mayOpen(board string) bool {
	return p.boards == nil || slices.Contains(p.boards, board)
}

// auth knows the credentials and the rules about hosts and origins.
type auth struct {
	tokens    []token
	required  bool
	loopback  bool // only loopback names are hosts of ours
	publicURL *url.URL
	origins   []string
	tiles     func(board string) []Question
}

type token struct {
	sum [sha256.Size]byte
	who principal
}

func newAuth(cfg Config, tiles func(string) []Question) *auth {
	a := &auth{required: cfg.needsCredentials(), origins: cfg.Origins, tiles: tiles}
	a.loopback = isLoopback(cfg.Listen) && len(cfg.Auth.Tokens) == 0
	if cfg.PublicURL != "" {
		a.publicURL, _ = url.Parse(cfg.PublicURL) // Validate has parsed it
	}
	for _, t := range cfg.Auth.Tokens {
		tok := token{who: principal{name: t.Name, tiles: tiles}}
		b, _ := hex.DecodeString(t.SHA256)
		copy(tok.sum[:], b)
		if len(t.Boards) > 0 && !slices.Contains(t.Boards, "*") {
			tok.who.boards = t.Boards
		}
		for d, values := range t.Where {
			if tok.who.locks == nil {
				tok.who.locks = map[string]Filter{}
			}
			tok.who.locks[d] = Filter{In: sortedSet(values)}
		}
		a.tokens = append(a.tokens, tok)
	}
	return a
}

// identify returns who has the credential. A program sends no Origin, so its word is all there is: without a
// credential it is let in only where everybody is.
func (a *auth) identify(credential string, _ bool) (*principal, *faultError) {
	if credential == "" {
		if a.required {
			return nil, fault(codeUnauthorized, "", "a token is needed")
		}
		return &principal{name: "anyone", tiles: a.tiles}, nil
	}
	sum := sha256.Sum256([]byte(credential))
	for i := range a.tokens {
		if subtle.ConstantTimeCompare(sum[:], a.tokens[i].sum[:]) == 1 {
			return &a.tokens[i].who, nil
		}
	}
	if !a.required && len(a.tokens) == 0 {
		return &principal{name: "anyone", tiles: a.tiles}, nil // a page that kept an old token
	}
	return nil, fault(codeUnauthorized, "", "the token is not known")
}

func (a *auth) ofRequest(r *http.Request) (*principal, *faultError) {
	credential, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return a.identify(credential, hasOrigin(r))
}

func hasOrigin(r *http.Request) bool { return r.Header.Get("Origin") != "" }

// checkHost refuses names that are not ours, as far as the address says which those are: a page of a foreign site
// whose name has been made to resolve to 127.0.0.1 is of the same origin as we are, but cannot hide its name.
func (a *auth) checkHost(r *http.Request) *faultError {
	if !a.loopback {
		return nil
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	switch {
	case host == "localhost", host == "127.0.0.1", host == "::1":
		return nil
	case a.publicURL != nil && host == a.publicURL.Hostname():
		return nil
	}
	return fault(codeForbiddenHost, "Host", "this server answers to localhost, 127.0.0.1 and [::1]; set serve.public_url for another name")
}

// checkOrigin lets pages of our own host, of public_url and of the listed origins ask. Others may not, even with a
// credential.
func (a *auth) checkOrigin(r *http.Request) *faultError {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(a.origins, origin) {
		return nil
	}
	u, err := url.Parse(origin)
	if err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) && (u.Scheme == "http" || u.Scheme == "https") {
		return nil
	}
	if err == nil && a.publicURL != nil && u.Scheme == a.publicURL.Scheme && strings.EqualFold(u.Host, a.publicURL.Host) {
		return nil
	}
	return fault(codeForbiddenOrigin, "Origin", "pages of %s may not ask; list it in serve.origins if they should", origin)
}

// allowCORS answers the listed origins, and no others, so that their pages can read what they get.
func (a *auth) allowCORS(w http.ResponseWriter, r *http.Request) (preflight bool) {
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(a.origins, origin) {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Access-Control-Allow-Headers", "Authorization, If-None-Match")
	h.Set("Access-Control-Allow-Methods", "GET")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
