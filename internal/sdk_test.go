package internal

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// bundleOf reads what make sdk wrote about the copy of the browsers' script.
func bundleOf(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../ingest/web/bundle.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		out[name] = value
	}
	return out
}

// TestBundleIsAsSmallAsPromised reads the sizes after gzip -9 that make sdk has measured.
func TestBundleIsAsSmallAsPromised(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int{"core": 6 << 10, "all": 10 << 10} {
		if n, err := strconv.Atoi(bundleOf(t)[name]); err != nil || n < 1<<10 || n > most {
			t.Errorf("%s is %q bytes, and should be at most %d", name, bundleOf(t)[name], most)
		}
	}
}

// TestSDKsHaveOneVersion wants the same number in each language, and the licence beside it.
func TestSDKsHaveOneVersion(t *testing.T) {
	t.Parallel()
	versions := map[string]string{}
	for file, pattern := range map[string]string{
		"go/options.go":                     `(?m)^const Version = "([^"]+)"`,
		"js/package.json":                   `(?m)^  "version": "([^"]+)"`,
		"js/package-lock.json":              `(?m)^  "version": "([^"]+)"`,
		"python/src/millstream/_version.py": `(?m)^__version__ = "([^"]+)"`,
	} {
		raw, err := os.ReadFile(filepath.Join("../sdk", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindSubmatch(raw)
		if m == nil {
			t.Fatalf("sdk/%s has no version like %s", file, pattern)
		}
		versions[string(m[1])] += " sdk/" + file
	}
	if len(versions) != 1 {
		t.Errorf("the SDKs have different versions: %v", versions)
	}
	licence, err := os.ReadFile("../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"go", "js", "python"} {
		if own, err := os.ReadFile(filepath.Join("../sdk", folder, "LICENSE")); err != nil || !bytes.Equal(own, licence) {
			t.Errorf("sdk/%s/LICENSE is not the one of the repository: %v", folder, err)
		}
	}
}
