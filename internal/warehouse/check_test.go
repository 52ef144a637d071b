//go:build cgo

package warehouse_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// noObjects is a store without objects.
type noObjects struct{}

func (noObjects) Size(context.Context, string, string) (int64, error) { return 0, fs.ErrNotExist }

func (noObjects) Open(context.Context, string, string) (io.ReadCloser, error) {
	return nil, fs.ErrNotExist
}

func serve(t *testing.T) (*redshift.Server, warehouse.Config) {
	t.Helper()
	cfg := redshift.DefaultConfig()
	cfg.Listen, cfg.Dir, cfg.Faults, cfg.Memory, cfg.Threads = "127.0.0.1:0", filepath.Join(t.TempDir(), "redshift"), true, 128*config.MiB, 1
	server, err := redshift.New(cfg, noObjects{}, testkit.Log(t))
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
	c := warehouse.DefaultConfig()
	c.DSN, c.Password, c.SSLMode = "postgres://millstream@"+server.Addr().String()+"/millstream", "millstream", "disable"
	return server, c
}

func TestCheckNamesTheWayOut(t *testing.T) {
	t.Parallel()
	server, good := serve(t)
	for _, c := range []struct {
		name   string
		change func(*warehouse.Config)
		fault  string
		want   string // "": nothing is wrong
	}{
		{"all is well", func(*warehouse.Config) {}, "", ""},
		{"wrong password", func(c *warehouse.Config) { c.Password = "x" }, "", "warehouse.password"},
		{"nobody listens", func(c *warehouse.Config) { c.DSN = "postgres://millstream@127.0.0.1:1/millstream" }, "", "security group"},
		{"no right to create schemas", func(*warehouse.Config) {}, "create schema", "GRANT CREATE ON DATABASE millstream TO millstream"},
		{"no right to temporary tables", func(*warehouse.Config) {}, "create temp", "GRANT TEMP ON DATABASE millstream TO millstream"},
	} {
		cfg := good
		c.change(&cfg)
		client, err := warehouse.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if c.fault != "" {
			server.Faults().Inject(redshift.Fault{Match: c.fault, Action: redshift.FailWith, Code: "42501", Text: "permission denied"})
		}
		err = client.Check(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	client, err := warehouse.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	res, err := conn.Exec(t.Context(), "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'millstream_check%'")
	if err != nil || len(res.Rows) != 0 {
		t.Errorf("left behind: %v, %v", res.Rows, err)
	}
}

func TestNULIsRefusedBeforeItCutsAStatement(t *testing.T) {
	t.Parallel()
	_, cfg := serve(t)
	client, err := warehouse.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Exec(t.Context(), "SELECT 1 \x00 FROM nowhere"); err == nil || !strings.Contains(err.Error(), "NUL") {
		t.Errorf("got %v", err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT "+warehouse.Literal(`it's \ odd`)); err != nil {
		t.Error(err)
	}
}

func TestCancelledStatementLeavesAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	server, cfg := serve(t)
	client, err := warehouse.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server.Faults().Inject(redshift.Fault{Match: "select 42", Action: redshift.CutBefore})
	_, err = conn.Exec(t.Context(), "SELECT 42")
	if warehouse.Classify(err) != warehouse.ClassUnknown || !conn.Closed() {
		t.Errorf("class %q of %v", warehouse.Classify(err), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = client.Connect(ctx); warehouse.Classify(err) != warehouse.ClassUnknown || !errors.Is(err, context.Canceled) {
		t.Errorf("class %q of %v", warehouse.Classify(err), err)
	}
}
