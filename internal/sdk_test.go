package internal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestBundleIsOfTheseSources compares the script that ingest embeds with the sources in sdk/js, without building it.
// make integration builds it and compares the bytes.
func TestBundleIsOfTheseSources(t *testing.T) {
	t.Parallel()
	files := []string{"package.json", "package-lock.json", "tsconfig.json", "scripts/build.mjs", "scripts/options.mjs"}
	err := fs.WalkDir(os.DirFS("../sdk/js"), "src", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == "src/node":
			return fs.SkipDir
		case !d.IsDir():
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var list strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join("../sdk/js", filepath.FromSlash(f)))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&list, "%s  %s\n", hexSum(raw), f)
	}
	script, err := os.ReadFile("../ingest/web/analytics.min.js")
	if err != nil {
		t.Fatal(err)
	}
	is := bundleOf(t)
	if is["sources"] != hexSum([]byte(list.String())) {
		t.Error("ingest/web/analytics.min.js is not of these sources: run make sdk, and commit what it writes")
	}
	if is["analytics.min.js"] != hexSum(script) {
		t.Error("ingest/web/analytics.min.js is not what make sdk wrote: run it again")
	}
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
