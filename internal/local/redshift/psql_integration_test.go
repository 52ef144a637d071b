//go:build integration && cgo

package redshift

import (
	"os/exec"
	"strings"
	"testing"
)

// TestPsql asks with a real psql, whose queries differ with its version.
func TestPsql(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.connect().do("CREATE SCHEMA app", "CREATE TABLE app.t (id VARCHAR(256), total NUMERIC(38,9) NOT NULL, n INT DEFAULT 7, items SUPER)",
		"CREATE TABLE public.seen (n INT)", "CREATE VIEW public.v AS SELECT n FROM seen")
	for command, line := range map[string]string{
		`\l`: "millstream|millstream|UNICODE", `\l+`: "|0 bytes|pg_default|", `\db`: "pg_default|millstream|", `\db+`: "pg_default|millstream|",
		`\d`: "public|seen|table|millstream", `\d+`: "public|v|view|millstream", `\dt`: "public|seen|table|millstream", `\dt app.*`: "app|t|table|millstream",
		`\dt+`: "public|seen|table|millstream", `\dv`: "public|v|view|millstream", `\dn`: "app|millstream", `\dn+`: "public|millstream",
		`\d app.t`: "total|numeric(38,9)||not null|", `\d+ app.t`: "n|integer|||7|", `\d v`: "n|integer|||", `\d+ v`: "select n from seen", `\sv v`: "select n from seen",
		`\du`: "millstream|Superuser", `\du+`: "millstream|Superuser", `\dp`: "public|seen|table||", `\z`: "public|v|view||",
		`\df`: "(0 rows)", `\df+`: "(0 rows)", `\da`: "(0 rows)", `\dT`: "(0 rows)", `\dT+`: "(0 rows)", `\dC`: "(0 rows)", `\dC+`: "(0 rows)", `\do`: "(0 rows)",
		`\dc`: "(0 rows)", `\dD`: "(0 rows)", `\dL`: "(0 rows)", `\ddp`: "(0 rows)", `\di`: "Did not find any relations.", `\ds`: "Did not find any relations.",
		`\dm`: "Did not find any relations.", `\conninfo`: `database "millstream" as user "millstream"`, "SELECT count(*) FROM app.t": "(1 row)",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), "psql", w.dsn(), "-X", "-A", "-c", command).CombinedOutput()
			if err != nil || !strings.Contains(string(out), line) {
				t.Errorf("%v, %q is missing in:\n%s", err, line, out)
			}
		})
	}
}
