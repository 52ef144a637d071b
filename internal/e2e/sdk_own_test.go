//go:build integration

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guide is docs/sdk.md as a person would try it: with the address of a running ingest.
type guide struct {
	text string
	edge *edge
}

// block returns the first block of code in a language behind a heading, with the address replaced.
func (g *guide) block(t *testing.T, heading, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(g.text, heading)
	if ok {
		_, rest, ok = strings.Cut(rest, "```"+language+"\n")
	}
	code, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatalf("docs/sdk.md has no block of %s behind %q", language, heading)
	}
	return strings.ReplaceAll(code, "http://127.0.0.1:8080", g.edge.ingest)
}

// arrives waits for a record whose value holds all of want.
func (g *guide) arrives(t *testing.T, want ...string) {
	t.Helper()
	g.edge.eventually("an event with "+strings.Join(want, " and "), time.Minute, func() error {
		for _, list := range g.edge.records(t) {
		next:
			for _, r := range list {
				for _, w := range want {
					if !bytes.Contains(r.Value, []byte(w)) {
						continue next
					}
				}
				return nil
			}
		}
		return errors.New("none")
	})
}

// TestGuideOfOurSDKs does what docs/sdk.md says, with what ingest serves and the packages hold.
func TestGuideOfOurSDKs(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(repository(t), "docs/sdk.md"))
	if err != nil {
		t.Fatal(err)
	}
	g := &guide{text: string(raw), edge: newEdge(t)}
	t.Run("a page with the script that ingest serves", g.page)
	t.Run("Node", g.node)
	t.Run("Python", g.python)
}

func (g *guide) page(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>Bread</title>%s", g.block(t, "**Browser.**", "html"))
	}))
	defer site.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join(repository(t), "scripts/browser/page.mjs"), need(t, "MILLSTREAM_TEST_CHROMIUM"), site.URL+"/shop?utm_source=mail")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.arrives(t, `"type":"page"`, `"name":"millstream-js"`, `"title":"Bread"`, `"ip":"127.0.0.1"`)
	g.arrives(t, `"event":"Order Completed"`, `"name":"millstream-js"`, `"source":"mail"`)
	in.Close()
	if err := cmd.Wait(); err != nil || strings.Contains(out.String(), "error: ") {
		t.Errorf("the page says: %v %s", err, out.String())
	}
}

func (g *guide) node(t *testing.T) {
	dir := t.TempDir()
	modules := filepath.Join(dir, "node_modules", "@millstream-data")
	if err := errors.Join(os.MkdirAll(modules, 0o755), os.Symlink(filepath.Join(repository(t), "sdk/js"), filepath.Join(modules, "analytics"))); err != nil {
		t.Fatal(err)
	}
	g.program(t, dir, g.block(t, "**Node.**", "ts"), nil, "node", "guide.mjs")
	g.arrives(t, `"event":"Order Completed"`, `"name":"millstream-node"`)
}

func (g *guide) python(t *testing.T) {
	g.program(t, t.TempDir(), g.block(t, "**Python.**", "python"), []string{"PYTHONPATH=" + filepath.Join(repository(t), "sdk/python/src"), "PYTHONDONTWRITEBYTECODE=1"}, "python3", "guide.py")
	g.arrives(t, `"event":"Order Completed"`, `"name":"millstream-python"`)
}

// program runs code as a file in dir.
func (g *guide) program(t *testing.T, dir, code string, env []string, name, file string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, file)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
