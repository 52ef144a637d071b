// make test runs these with the race detector; real services would change nothing.

//go:build !integration

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// verdict is what millstream verify printed, and its exit code.
type verdict struct {
	code     int
	printed  string
	Balanced bool
	Lines    []struct {
		Source    string
		Accepted  int64
		Lake      int64
		Warehouse *int64
		Metrics   *int64
		Due       int64 `json:"not_loaded"`
	}
	Rows, Findings []string
	NotCompared    []string `json:"not_compared"`
}

// verify runs the command against a running dev.
func (s *system) verify(more ...string) verdict {
	s.tb.Helper()
	flag := func(name string) string { return s.args[slices.Index(s.args, name)+1] }
	args := append([]string{"verify", "--json"}, more...)
	for _, set := range []string{
		"kafka.brokers=" + flag("--kafka-listen"), "s3.endpoint=http://" + flag("--s3-listen"), "s3.path_style=true", "s3.access_key_id=a", "s3.secret_access_key=b",
		"lake.bucket=lake", "warehouse.dsn=postgres://millstream@" + flag("--redshift-listen") + "/millstream", "warehouse.password=millstream",
		"warehouse.sslmode=disable", "metric_store.dsn=sqlite:" + filepath.Join(s.dir, "metrics.db"),
	} {
		args = append(args, "--set", set)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, args...).Output()
	v := verdict{printed: string(out)}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		v.code = exit.ExitCode()
		v.printed += string(exit.Stderr)
	} else if err != nil {
		s.tb.Error(err)
	}
	if v.code < 2 {
		if err := json.Unmarshal(out, &v); err != nil {
			s.tb.Errorf("%v:\n%s", err, v.printed)
		}
	}
	return v
}

// hammer verifies over and over, for as long as traffic flows. Every verdict has
// to be balanced, and the returned function says how many differed and how.
func hammer(sys *system) (stop func() (balanced, busy int)) {
	done, ended := make(chan struct{}), make(chan struct{})
	var balanced, busy int
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			v := sys.verify()
			if v.code != 0 {
				sys.tb.Errorf("while traffic flows: exit code %d:\n%s", v.code, v.printed)
			}
			balanced++
			for _, l := range v.Lines {
				if l.Due > 0 {
					busy++
				}
			}
		}
	}()
	return func() (int, int) { close(done); <-ended; return balanced, busy }
}

// loses takes a row away and wants verify to name it.
func loses(t *testing.T, sys *system) {
	t.Helper()
	for _, l := range sys.verify("--rows").Lines {
		if l.Source == "app" && (l.Warehouse == nil || l.Metrics == nil || l.Accepted != *l.Warehouse || l.Accepted != *l.Metrics || l.Accepted != l.Lake) {
			t.Errorf("all is quiet, and the four are not equal: %+v", l)
		}
	}
	row, err := sys.query(`SELECT "_partition", "_offset", "id" FROM app.tracks ORDER BY "received_at", "id" LIMIT 1`)
	if err == nil {
		_, err = sys.query("DELETE FROM app.tracks WHERE id = '" + row[0][2] + "'")
	}
	if err != nil {
		t.Fatal(err)
	}
	v := sys.verify("--rows")
	want := fmt.Sprintf("app.tracks: partition %s, offset %s: is missing from the warehouse", row[0][0], row[0][1])
	if v.code != 1 || v.Balanced || len(v.Rows) != 1 || !strings.HasPrefix(v.Rows[0], want) {
		t.Errorf("exit code %d, want %q:\n%s", v.code, want, v.printed)
	}
	if v := sys.verify("--from", "yesterday"); v.code != 2 {
		t.Errorf("--from yesterday: exit code %d:\n%s", v.code, v.printed)
	}
}
