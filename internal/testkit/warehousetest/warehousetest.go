//go:build cgo

// Package warehousetest gives tests a local Redshift. It stands apart from
// testkit because it links an engine, which tests without a warehouse need not
// wait for.
package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Server returns a local Redshift that runs until the test ends, with faults
// switched on, whose COPY reads from store. change, if not nil, changes its
// configuration before it starts.
func Server(t testing.TB, store *objstore.Client, change func(*redshift.Config)) *redshift.Server {
	t.Helper()
	cfg := redshift.DefaultConfig()
	cfg.Listen, cfg.Dir, cfg.Faults = "127.0.0.1:0", filepath.Join(t.TempDir(), "redshift"), true
	cfg.Memory, cfg.Threads = 256*config.MiB, 1
	if change != nil {
		change(&cfg)
	}
	server, err := redshift.New(cfg, objects{store}, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("redshift: %v", err)
		}
	})
	return server
}

// Client returns a client of server.
func Client(t testing.TB, server *redshift.Server) *warehouse.Client {
	t.Helper()
	cfg := warehouse.DefaultConfig()
	cfg.DSN, cfg.Password, cfg.SSLMode = "postgres://millstream@"+server.Addr().String()+"/millstream", "millstream", "disable"
	c, err := warehouse.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// objects serves COPY from the lake.
type objects struct{ store *objstore.Client }

func (o objects) Size(ctx context.Context, _, key string) (int64, error) {
	info, err := o.store.Head(ctx, key)
	return info.Size, missing(err)
}

func (o objects) Open(ctx context.Context, _, key string) (io.ReadCloser, error) {
	r, _, err := o.store.Open(ctx, key)
	return r, missing(err)
}

func missing(err error) error {
	if errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}
