//go:build integration

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// wallboard is Chromium in front of a board.
type wallboard struct {
	sys *system
	cmd *exec.Cmd
	in  io.WriteCloser

	mu     sync.Mutex
	seen   screen   // guarded by mu
	shot   string   // guarded by mu
	errors []string // guarded by mu
	ended  chan struct{}
}

// screen is what a person sees.
type screen struct {
	State  string
	Word   string
	Tiles  map[string]string
	Shot   string
	Errors *[]string
}

func openWallboard(t *testing.T, sys *system) *wallboard {
	t.Helper()
	w := &wallboard{sys: sys, ended: make(chan struct{})}
	w.cmd = exec.CommandContext(t.Context(), "node", filepath.Join(repository(t), "scripts/browser/wallboard.mjs"), need(t, "MILLSTREAM_TEST_CHROMIUM"), sys.serve+"/")
	w.cmd.Stderr = t.Output()
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go w.read(out)
	return w
}

func (w *wallboard) read(out io.Reader) {
	defer close(w.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s screen
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			continue
		}
		w.mu.Lock()
		switch {
		case s.Errors != nil:
			w.errors = *s.Errors
		case s.Shot != "":
			w.shot = s.Shot
		default:
			w.seen = s
		}
		w.mu.Unlock()
	}
}

func (w *wallboard) looks() screen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// shows waits until a tile's text holds all the words.
func (w *wallboard) shows(what, state, tile string, words ...string) {
	w.sys.tb.Helper()
	w.sys.eventually(what, 30*time.Second, func() error {
		s := w.looks()
		if s.State != state {
			return fmt.Errorf("want the board to be %s, it is %s (%s)", state, s.State, s.Word)
		}
		for _, word := range words {
			if !strings.Contains(s.Tiles[tile], word) {
				return fmt.Errorf("want %q on the tile %q, it shows %q", word, tile, s.Tiles[tile])
			}
		}
		return nil
	})
}

// screenshot keeps a picture where a person can look at it.
func (w *wallboard) screenshot(name, size string) {
	w.sys.tb.Helper()
	dir := os.Getenv("MILLSTREAM_TEST_SCREENSHOTS")
	if dir == "" {
		dir = w.sys.tb.TempDir()
	}
	path := filepath.Join(dir, name)
	if _, err := fmt.Fprintf(w.in, "shot %s %s\n", path, size); err != nil {
		w.sys.tb.Fatal(err)
	}
	w.sys.eventually("the screenshot is taken", 20*time.Second, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.shot != path {
			return errors.New("not yet")
		}
		return nil
	})
	if info, err := os.Stat(path); err != nil || info.Size() < 10_000 {
		w.sys.tb.Errorf("screenshot %s: %v", path, err)
	}
}

// close ends the browser and checks that the page had nothing to complain of.
func (w *wallboard) close() {
	w.sys.tb.Helper()
	if _, err := fmt.Fprintln(w.in, "quit"); err != nil {
		w.sys.tb.Error(err)
	}
	<-w.ended
	if err := w.cmd.Wait(); err != nil {
		w.sys.tb.Error(err)
	}
	if len(w.errors) > 0 {
		w.sys.tb.Errorf("the page complains:\n%s", strings.Join(w.errors, "\n"))
	}
}

func TestWallboardShowsTheNumberChangeAndHeals(t *testing.T) {
	t.Parallel()
	sys := newDev(t)
	sys.start()
	order := func(id string) {
		t.Helper()
		body := fmt.Sprintf(`{"userId":"u-%s","event":"Order Completed","messageId":%q,"properties":{"total":1250.5,"currency":"EUR","plan":"pro"}}`, id, id)
		if status, answer, err := sys.post("/v1/track", []byte(body)); err != nil || status != http.StatusOK {
			t.Fatalf("track: %d %s %v", status, answer, err)
		}
	}
	order("w1")
	w := openWallboard(t, sys)
	w.shows("the board is live and shows the first order", "live", "Orders today", "1")
	order("w2")
	w.shows("the number changes by itself", "live", "Orders today", "2")
	w.shows("revenue follows", "live", "Revenue today", "2,501")
	w.screenshot("wallboard-1080p.png", "1920x1080")
	w.screenshot("wallboard-phone.png", "390x844")
	sys.kill()
	w.shows("without a server it says so and keeps its values", "offline", "Orders today", "2")
	w.screenshot("wallboard-offline.png", "1920x1080")
	sys.start()
	order("w3")
	w.shows("it heals by itself", "live", "Orders today", "3")
	w.close()
	sys.stop()
}

func TestSegmentNodeSDKNeedsOnlyAnotherHost(t *testing.T) {
	t.Parallel()
	sys := newDev(t)
	sys.start()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", filepath.Join(repository(t), "scripts/browser/segment.mjs"), sys.ingest, "dev-server").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for table, column := range map[string]string{"tracks": "user_id", "identifies": "email", "pages": "name", "screens": "name", "groups": "group_id", "aliases": "previous_id"} {
		want := map[string]string{"tracks": "segment-user", "identifies": "segment@example.com", "pages": "Home", "screens": "Start", "groups": "segment-group", "aliases": "segment-anonymous"}[table]
		sys.eventually(table+" has its row", 30*time.Second, func() error { return sameCounts(sys, "SELECT "+column+" FROM app."+table, want) })
	}
	if err := sys.sameMetric("metric=revenue", "19.99"); err != nil {
		t.Error(err)
	}
	sys.stop()
}

func TestPsqlDescribesTables(t *testing.T) {
	t.Parallel()
	sys := newDev(t)
	sys.start()
	if status, answer, err := sys.post("/v1/track", []byte(`{"userId":"u1","event":"Order Completed","properties":{"total":12.5}}`)); err != nil || status != http.StatusOK {
		t.Fatalf("track: %d %s %v", status, answer, err)
	}
	psql := func(command string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "psql", sys.warehouse, "-X", "-A", "-t", "-c", command).CombinedOutput()
		return string(out), err
	}
	sys.eventually("psql counts the event", within, func() error {
		out, err := psql("select event, count(*) from app.tracks group by 1")
		if err == nil && strings.TrimSpace(out) != "order_completed|1" {
			err = errors.New("no row yet")
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	for command, want := range map[string]string{`\dn`: "app", `\dt app.*`: "order_completed", `\d app.order_completed`: "double precision"} {
		if out, err := psql(command); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: want %q, got %v:\n%s", command, want, err, out)
		}
	}
	sys.stop()
}
