//go:build integration && cgo

package redshift

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// psqlShows is what a line of a command's output must hold; what is not here must be free of errors all the same.
var psqlShows = map[string]string{
	`\d`: "public|keyed|table|millstream", `\d app.t`: "total|numeric(38,9)||not null|", `\d+ keyed`: "v|character(2)||||plain||a column", `\d keyed`: `"keyed_pkey" PRIMARY KEY, btree (a, b)`,
	`\d refers`: `FOREIGN KEY (a) REFERENCES keyed(a)`, `\d v`: "a|integer|||", `\d scratch`: "n|integer", `\dt+`: "a table with keys", `\dn+`: "app|millstream|", `\dp`: `"group analysts"=r/millstream`,
	`\sv v`: "select a, v from keyed", `\l`: "millstream|millstream|UNICODE", `\du`: "millstream|Superuser", `\di`: "public|keyed_pkey|index|millstream|keyed", `\ds`: "Did not find any relations.",
	`\conninfo`: `database "millstream" as user "millstream"`, `\encoding`: "UTF8", `SELECT a, b FROM keyed \gdesc`: "b|character varying", `SELECT 1.5::NUMERIC(18,2) AS n \gdesc`: "n|numeric(18,2)",
	`\copy keyed FROM '/dev/null'`: "LOAD source is not supported", `\copy keyed TO '/dev/null'`: "use UNLOAD", `\copy (SELECT 1) TO '/dev/null'`: "use UNLOAD", `SELECT nope FROM keyed;`: "LINE 1: SELECT nope FROM keyed;",
	`BEGIN; \set FETCH_COUNT 1`: "BEGIN", `SELECT 1 AS n UNION ALL SELECT 2 ORDER BY 1;`: "(2 rows)",
}

// TestPsql asks with a real psql, whose questions differ with its version. With MILLSTREAM_TEST_RECORD set and psql 15
// it writes them anew for TestPsqlBackslash, whose answers MILLSTREAM_TEST_UPDATE then writes.
func TestPsql(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var script strings.Builder
	for _, s := range psqlSetup {
		script.WriteString(s + ";\n")
	}
	commands := append([]string{}, psqlCommands...)
	commands = append(commands, `\conninfo`, `\encoding`, `SELECT a, b FROM keyed \gdesc`, `SELECT 1.5::NUMERIC(18,2) AS n \gdesc`, `\copy keyed FROM '/dev/null'`, `\copy keyed TO '/dev/null'`,
		`\copy (SELECT 1) TO '/dev/null'`, `SELECT nope FROM keyed;`, `BEGIN; \set FETCH_COUNT 1`, `SELECT 1 AS n UNION ALL SELECT 2 ORDER BY 1;`)
	for _, command := range commands {
		script.WriteString(`\echo '### ` + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(command) + "'\n" + command + "\n")
	}
	cmd := exec.CommandContext(t.Context(), "psql", w.dsn(), "-X", "-A", "-E")
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	const begin, end = "********* QUERY **********\n", "\n**************************"
	var record strings.Builder
	for i, part := range strings.Split(string(out), "\n### ")[1:] {
		command, answer, _ := strings.Cut(part, "\n")
		if command != commands[i] {
			t.Fatalf("%q where %q should be", command, commands[i])
		}
		if !strings.Contains(answer, psqlShows[command]) || psqlShows[command] == "" && strings.Contains(answer, "ERROR") {
			t.Errorf("%s: %q is missing in, or there is an error in:\n%s", command, psqlShows[command], answer)
		}
		for _, q := range strings.Split(answer, begin)[1:] {
			query, _, _ := strings.Cut(q, end)
			record.WriteString(psqlQuestion{command: command, query: query}.String())
		}
	}
	if os.Getenv("MILLSTREAM_TEST_RECORD") != "" {
		if err := os.WriteFile(psqlGolden, []byte(record.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
