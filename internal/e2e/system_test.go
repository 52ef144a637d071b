package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// within is how long after the first event everything must be visible.
const within = 15 * time.Second

// system is Millstream under test: one process, which can be killed and
// started again over the same data.
type system struct {
	tb   testing.TB
	dir  string
	args []string

	ingest, serve, admin string // base URLs
	warehouse            string // DSN
	probe                string // of admin: what says that it has started; /readyz if empty

	cmd    *exec.Cmd
	exited chan error
	mu     sync.Mutex
	output bytes.Buffer // of the last process; guarded by mu
}

// binary is the program under test; TestMain builds it.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "millstream-e2e-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	binary = filepath.Join(dir, "millstream")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "github.com/millstream-data/millstream/cmd/millstream").CombinedOutput()
	if err != nil {
		fmt.Printf("build millstream: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// ports counts upwards below the range from which the system takes the ports of
// outgoing connections: an address has to stay free from one start to the next.
var ports = func() *atomic.Int32 {
	var p atomic.Int32
	p.Store(20_000 + rand.Int32N(10_000))
	return &p
}()

// freeAddr returns a loopback address that nobody listens on at the moment.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", ports.Add(1))
		ln, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			tb.Fatal(err)
		}
		return addr
	}
	tb.Fatal("no port is free")
	return ""
}

// newDev returns `millstream dev` over an empty folder; it is not started.
func newDev(tb testing.TB, more ...string) *system {
	tb.Helper()
	s := &system{tb: tb, dir: filepath.Join(tb.TempDir(), "data")}
	ingest, serve, admin, redshift := freeAddr(tb), freeAddr(tb), freeAddr(tb), freeAddr(tb)
	s.ingest, s.serve, s.admin = "http://"+ingest, "http://"+serve, "http://"+admin
	s.warehouse = "postgres://millstream:millstream@" + redshift + "/millstream?sslmode=disable"
	s.args = append([]string{
		"dev", "--data-dir", s.dir, "--ingest-listen", ingest, "--serve-listen", serve, "--admin-listen", admin,
		"--redshift-listen", redshift, "--kafka-listen", freeAddr(tb), "--s3-listen", freeAddr(tb),
	}, more...)
	tb.Cleanup(s.kill)
	return s
}

// start runs the process and waits until it is ready.
func (s *system) start() {
	s.tb.Helper()
	s.mu.Lock()
	s.output.Reset()
	s.mu.Unlock()
	s.cmd = exec.Command(binary, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.exited = make(chan error, 1)
	cmd := s.cmd
	go func() { s.exited <- cmd.Wait() }()
	s.eventually("the process becomes ready", time.Minute, func() error {
		select {
		case err := <-s.exited:
			s.exited <- err
			return permanent{fmt.Errorf("it ended: %w", err)}
		default:
		}
		_, err := s.get(s.admin + cmp.Or(s.probe, "/readyz"))
		return err
	})
}

// Write gathers what the process prints.
func (s *system) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.Write(b)
}

func (s *system) printed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.output.String()
	return out[max(0, len(out)-8000):]
}

// kill ends the process as kill -9 does.
func (s *system) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	if err := <-s.exited; err == nil {
		s.tb.Log("the process had ended by itself")
	}
	s.cmd = nil
}

// stop ends the process as an operator does, and checks that it drains.
func (s *system) stop() {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.tb.Fatal(err)
	}
	select {
	case err := <-s.exited:
		if err != nil {
			s.tb.Errorf("after SIGTERM: %v\n%s", err, s.printed())
		}
	case <-time.After(time.Minute):
		s.tb.Errorf("a minute after SIGTERM it still runs:\n%s", s.printed())
		s.kill()
	}
	s.cmd = nil
}

// permanent is an error that waiting cannot mend.
type permanent struct{ error }

// eventually polls ok until it returns nil, and fails the test with its last
// error after limit.
func (s *system) eventually(what string, limit time.Duration, ok func() error) {
	s.tb.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if errors.As(err, new(permanent)) || time.Now().After(deadline) {
			s.tb.Fatalf("%s: %v\n%s", what, err, s.printed())
		}
		<-tick.C
	}
}

var client = &http.Client{Timeout: 10 * time.Second}

func (s *system) get(url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d: %s", url, resp.StatusCode, b)
	}
	return b, err
}

// post sends a batch and returns the status and the answer.
func (s *system) post(path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.ingest+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth("dev", "")
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// query asks the warehouse and returns the rows as text.
func (s *system) query(sql string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.warehouse)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	var out [][]string
	for _, row := range results[len(results)-1].Rows {
		texts := make([]string, len(row))
		for i, v := range row {
			texts[i] = string(v)
		}
		out = append(out, texts)
	}
	return out, nil
}

// metric asks serve for a view and returns its rows.
func (s *system) metric(query string) ([][]string, error) {
	b, err := s.get(s.serve + "/v1/query?" + query)
	if err != nil {
		return nil, err
	}
	var view struct{ Rows [][]*string }
	if err := json.Unmarshal(b, &view); err != nil {
		return nil, fmt.Errorf("%s: %w", b, err)
	}
	var out [][]string
	for _, row := range view.Rows {
		texts := make([]string, len(row))
		for i, v := range row {
			if v != nil {
				texts[i] = *v
			}
		}
		out = append(out, texts)
	}
	return out, nil
}

// succeeds runs the process, which must end by itself without an error, and
// returns what it printed.
func (s *system) succeeds() string {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, s.args...).CombinedOutput()
	if err != nil {
		s.tb.Fatalf("millstream %v: %v:\n%s", s.args, err, out)
	}
	return string(out)
}

// fails runs the process, which must end by itself with an error, and returns
// what it printed.
func (s *system) fails() string {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, s.args...).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		s.tb.Fatalf("millstream %v: want it to fail, got %v:\n%s", s.args, err, out)
	}
	return string(out)
}
