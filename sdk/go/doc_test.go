package millstream

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestFailuresOfTheDocumentationAreTested(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := ""
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests += string(text)
	}
	found := regexp.MustCompile(`Test\w+`).FindAllString(string(doc), -1)
	if len(found) < 15 {
		t.Errorf("doc.go names %d tests", len(found))
	}
	for _, name := range found {
		if !strings.Contains(tests, "func "+name+"(") {
			t.Errorf("doc.go names %s, which is not there", name)
		}
	}
}
