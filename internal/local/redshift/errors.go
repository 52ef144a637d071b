package redshift

import (
	"fmt"
	"strings"
)

// sqlError is an answer in Redshift's words. Texts that no public report shows word for word are marked (confirm)
// where they are made.
type sqlError struct {
	code   string // SQLSTATE
	msg    string
	detail string
	hint   string
	at     int  // character of the query string that is to blame, from 1; 0 if none is
	fatal  bool // ends the connection
}

func (e *sqlError) Error() string { return e.msg + " (SQLSTATE " + e.code + ")" }

func pgError(code, format string, args ...any) *sqlError {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	return &sqlError{code: code, msg: format}
}

func syntaxError(msg string) *sqlError { return pgError("42601", "%s", msg) }

// unsupported is for what Redshift may well have and this server lacks.
func unsupported(what string) *sqlError {
	return pgError("0A000", "the local Redshift does not support %s", what)
}

// withHint adds what to do instead.
func (e *sqlError) withHint(hint string) *sqlError {
	e.hint = hint
	return e
}

// internalError is one of Redshift's XX000 with a code of its own, which it prints in a block under DETAIL.
func internalError(code int, msg, context, location string) *sqlError {
	var b strings.Builder
	b.WriteString("\n  -----------------------------------------------\n")
	for _, line := range []struct{ name, value string }{
		{"error", msg}, {"code", fmt.Sprint(code)}, {"context", context}, {"query", "0"}, {"location", location}, {"process", "local"},
	} {
		fmt.Fprintf(&b, "  %-10s %s\n", line.name+":", line.value)
	}
	b.WriteString("  -----------------------------------------------\n")
	return &sqlError{code: "XX000", msg: msg, detail: b.String()}
}

func errAborted() *sqlError {
	return pgError("25P02", "current transaction is aborted, commands ignored until end of transaction block")
}

func errNoRelation(name string) *sqlError {
	return pgError("42P01", "relation %q does not exist", name)
}

func errRelationExists(name string) *sqlError {
	return pgError("42P07", "Relation %q already exists", name)
}

// errSerialisation is what Redshift answers to the loser of a conflict; the caller may try again.
func errSerialisation(table string) *sqlError {
	return &sqlError{code: "XX000", msg: "1023", detail: "Serializable isolation violation on table - " + table +
		", transactions forming the cycle are: 0, 0 (pid:0)"}
}

func errDeadlock() *sqlError { return pgError("40P01", "deadlock detected") }

func errTimeout() *sqlError { return pgError("57014", "canceling statement due to statement timeout") }

// errCancelled answers a cancel request. (confirm)
func errCancelled() *sqlError { return pgError("57014", "Query cancelled on user's request") }

// marker leads an error that the rewritten SQL raises itself: marker, SQLSTATE, a bar, the message. It is cut out of
// whatever DuckDB puts around it.
const marker = "rs!"

// raise is a DuckDB expression that fails with err; tail, if not empty, is an expression appended to the message.
func raise(code, msg, tail string) string {
	expr := quoteString(marker + code + "|" + msg)
	if tail != "" {
		expr = "concat(" + expr + ", " + tail + ")"
	}
	return "error(" + expr + ")"
}

// fromMarker finds an error that raise made.
func fromMarker(text string) (code, msg string, found bool) {
	_, rest, found := strings.Cut(text, marker)
	if !found || len(rest) < 6 || rest[5] != '|' {
		return "", "", false
	}
	msg, _, _ = strings.Cut(rest[6:], "\n")
	return rest[:5], msg, true
}
