// Package golden compares bytes with files that are reviewed like code. `make golden` writes them anew.
package golden

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update is the variable by which `make golden` asks for new files.
const update = "MILLSTREAM_TEST_UPDATE"

// Equal fails t unless got is what file holds. A file of a format's version (commit_v1_empty.json) is added once and
// never changed: old bytes must decode for ever.
func Equal(t testing.TB, file string, got []byte) {
	t.Helper()
	if os.Getenv(update) != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make golden writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-file +got); if that is meant, run make golden and review it\n%s", file, diff)
	}
}
