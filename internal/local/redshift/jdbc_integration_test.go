//go:build integration && cgo

package redshift

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDriversJDBC does through PostgreSQL's and Amazon's drivers what BI tools do; scripts/drivers/Drivers.java holds
// the steps.
func TestDriversJDBC(t *testing.T) {
	t.Parallel()
	classes := os.Getenv("MILLSTREAM_TEST_JDBC")
	if classes == "" {
		t.Fatal("MILLSTREAM_TEST_JDBC is not set: run this test by scripts/services.sh")
	}
	for scheme, extra := range map[string]string{"postgresql": "ApplicationName=millstream", "redshift": "ssl=false"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			out, err := exec.CommandContext(t.Context(), "java", "-cp", classes, "Drivers", "jdbc:"+scheme+"://"+w.Addr().String()+"/millstream", "user=millstream", "password=millstream", extra).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "ok after cancel") {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}
