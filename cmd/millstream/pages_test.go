package main

import (
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/telemetry"
)

func TestARoleBuiltAnewTakesOverItsPages(t *testing.T) {
	t.Parallel()
	admin, err := telemetry.NewAdmin(t.Context(), telemetry.AdminConfig{Listen: "127.0.0.1:0"}, telemetry.NewHealth(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(slog.New(slog.DiscardHandler), telemetry.NewHealth())
	s.task(t.Context(), "admin", admin.Run)
	t.Cleanup(s.stop)
	p := &pages{admin: admin}
	for _, want := range []string{"first", "second"} {
		p.handle("GET /keys", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, want) }))
		resp, err := http.Get("http://" + admin.Addr() + "/keys")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
