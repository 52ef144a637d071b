package telemetry_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/telemetry"
)

// setup runs an admin server and returns it with its health and the function that stops it and returns what Run did.
func setup(t *testing.T) (*telemetry.Admin, *telemetry.Health, func() error) {
	t.Helper()
	health := telemetry.NewHealth()
	a, err := telemetry.NewAdmin(t.Context(), telemetry.AdminConfig{Listen: "127.0.0.1:0"}, health, telemetry.NewRegistry(), discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop := func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return a, health, stop
}

func get(t *testing.T, url string, header ...string) (status int, body string, h http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

func TestAdminShowsWhatItHas(t *testing.T) {
	t.Parallel()
	a, _, _ := setup(t)
	a.Handle("GET /rejections", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "none\n") }))
	for path, want := range map[string]string{
		"/": "GET /rejections", "/metrics": "millstream_build_info{", "/livez": "alive", "/readyz": "ready\n",
		"/debug/pprof/": "goroutine", "/debug/pprof/cmdline": "telemetry", "/rejections": "none",
	} {
		if status, body, _ := get(t, "http://"+a.Addr()+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: got %d %.200s, want %s", path, status, body, want)
		}
	}
	if status, _, _ := get(t, "http://"+a.Addr()+"/absent"); status != http.StatusNotFound {
		t.Errorf("/absent: got %d", status)
	}
}

func TestReadyzAnswersPeopleAndMachines(t *testing.T) {
	t.Parallel()
	a, health, _ := setup(t)
	url := "http://" + a.Addr() + "/readyz"
	health.Register("kafka", constant(telemetry.Degraded("Partition 3 has no leader.")))
	if status, body, _ := get(t, url); status != http.StatusOK || body != "degraded\nkafka: degraded: Partition 3 has no leader.\n" {
		t.Errorf("got %d %s", status, body)
	}
	health.Register("kafka", constant(telemetry.NotReady("No broker answers.")))
	status, body, header := get(t, url, "Accept", "application/json")
	var report struct {
		State  string
		Checks []struct{ Name, State, Sentence string }
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || report.State != "not ready" ||
		len(report.Checks) != 1 || report.Checks[0].Sentence != "No broker answers." || report.Checks[0].State != "not ready" {
		t.Errorf("got %d %v %s", status, header, body)
	}
	if _, body, _ := get(t, url+"?format=json"); !strings.HasPrefix(body, "{") {
		t.Errorf("got %s", body)
	}
}

func TestTakenPortNamesItsKey(t *testing.T) {
	t.Parallel()
	a, _, _ := setup(t)
	_, err := telemetry.NewAdmin(t.Context(), telemetry.AdminConfig{Listen: a.Addr()}, telemetry.NewHealth(), telemetry.NewRegistry(), discard())
	if err == nil || !strings.Contains(err.Error(), a.Addr()) || !strings.Contains(err.Error(), "--set admin.listen=") {
		t.Errorf("got %v", err)
	}
}

func TestAdminFinishesRequestsAtStop(t *testing.T) {
	t.Parallel()
	a, _, stop := setup(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	a.Handle("GET /slow", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "whole")
	}))
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + a.Addr() + "/slow")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		answer <- string(data)
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	// The listener closes first: once the address is free, the server is stopping with the request still in flight.
	for {
		ln, err := telemetry.Listen(t.Context(), "admin.listen", a.Addr())
		if err == nil {
			_ = ln.Close()
			break
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("Run returned %v with a request in flight", err)
	default:
	}
	close(finish)
	if got := <-answer; got != "whole" {
		t.Errorf("got %s", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestCloseMayBeCalledTwice(t *testing.T) {
	t.Parallel()
	a, err := telemetry.NewAdmin(t.Context(), telemetry.AdminConfig{Listen: "127.0.0.1:0"}, telemetry.NewHealth(), telemetry.NewRegistry(), discard())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
