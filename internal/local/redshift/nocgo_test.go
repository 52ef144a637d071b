//go:build !cgo

package redshift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestWithoutCgoEveryConnectionIsToldWhy(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	s, err := New(cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for _, mode := range []string{"disable", "prefer"} { // prefer asks for TLS first, and again without
		for range 20 {
			_, err := pgconn.Connect(t.Context(), fmt.Sprintf("postgres://millstream:millstream@%s/millstream?sslmode=%s", s.Addr(), mode))
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Severity != "FATAL" || pg.Code != "0A000" || pg.Message != noCgo {
				t.Fatalf("sslmode=%s: got %v, want FATAL 0A000 %s", mode, err, noCgo)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
