package golden_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/testkit/golden"
)

// recorder is a test whose failures are what is tested.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Errorf(format string, args ...any) { r.said = fmt.Sprintf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	panic(r) // ends it, as a test would end
}

// compare returns what a test would say.
func compare(t *testing.T, file, got string) (said string) {
	t.Helper()
	r := &recorder{TB: t}
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
		said = r.said
	}()
	golden.Equal(r, file, []byte(got))
	return ""
}

func TestADifferenceFailsAndNamesTheWayOut(t *testing.T) {
	t.Setenv("MILLSTREAM_TEST_UPDATE", "")
	file := filepath.Join(t.TempDir(), "sub", "commit_v1.json")
	if said := compare(t, file, "a"); !strings.Contains(said, "make golden writes it") {
		t.Errorf("missing file: %q", said)
	}
	t.Setenv("MILLSTREAM_TEST_UPDATE", "1")
	if said := compare(t, file, "a"); said != "" {
		t.Errorf("update: %q", said)
	}
	t.Setenv("MILLSTREAM_TEST_UPDATE", "")
	if said := compare(t, file, "a"); said != "" {
		t.Errorf("same bytes: %q", said)
	}
	if said := compare(t, file, "b"); !strings.Contains(said, file+" differs") || !strings.Contains(said, "make golden") {
		t.Errorf("other bytes: %q", said)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "a" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}
