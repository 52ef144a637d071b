package serve

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed web/index.html web/*.css web/*.js web/*.svg
var webFiles embed.FS

// pages serves the page and its assets, which carry the hash of all of them in their path and so never change.
type pages struct {
	hash   string
	index  []byte
	assets map[string]asset
}

type asset struct {
	kind        string
	plain, gzip []byte
}

func newPages() (*pages, error) {
	p := &pages{assets: map[string]asset{}}
	sum := sha256.New()
	entries, err := fs.ReadDir(webFiles, "web")
	if err != nil {
		return nil, fmt.Errorf("read pages: %w", err)
	}
	for _, e := range entries {
		data, err := fs.ReadFile(webFiles, "web/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("read page %s: %w", e.Name(), err)
		}
		fmt.Fprintf(sum, "%s %d\n", e.Name(), len(data))
		sum.Write(data)
		if e.Name() == "index.html" {
			p.index = data
			continue
		}
		a := asset{kind: mime.TypeByExtension(path.Ext(e.Name())), plain: data}
		if a.gzip, err = zip(data); err != nil {
			return nil, fmt.Errorf("compress page %s: %w", e.Name(), err)
		}
		p.assets[e.Name()] = a
	}
	p.hash = hex.EncodeToString(sum.Sum(nil))[:8]
	p.index = bytes.ReplaceAll(p.index, []byte("{{hash}}"), []byte(p.hash))
	return p, nil
}

func zip(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// page serves the one page; which board it shows it reads from its own address.
func (p *pages) page(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	// Older browsers do not count a WebSocket of the same host as 'self'.
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws://"+
		hostForPolicy(r.Host)+" wss://"+hostForPolicy(r.Host)+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(p.index)
}

// hostForPolicy keeps a header that the client chose from ending the directive that it stands in.
func hostForPolicy(host string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == ';' || r == ',' || r == '\'' || r == '"' || r > '~' {
			return -1
		}
		return r
	}, host)
}

func (p *pages) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[r.PathValue("file")]
	if !ok || r.PathValue("hash") != p.hash {
		writeFault(w, fault(codeUnknownRoute, "", "there is no such asset; load the page again"))
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.gzip
	}
	_, _ = w.Write(body)
}
