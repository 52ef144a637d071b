package redshift

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// kind is what a statement does; it decides state, locks and rewriting.
type kind uint8

const (
	kindSelect kind = iota
	kindInsert
	kindUpdate
	kindDelete
	kindMerge
	kindCreateTable
	kindCreateView
	kindCreateSchema
	kindDropTable
	kindDropView
	kindDropSchema
	kindAlterTable
	kindTruncate
	kindLock
	kindCopy
	kindBegin
	kindCommit
	kindRollback
	kindSet
	kindReset
	kindShow
	kindExplain
	kindVacuum
	kindAnalyze
	kindAccepted // parsed and answered, without effect here
	kindPrepare
	kindExecute
	kindDeallocate
	kindDeclare
	kindFetch
	kindClose
	kindCancel
	kindGrant // and REVOKE
	kindComment
)

// statement is one command with its tokens.
type statement struct {
	kind kind
	tag  string // command tag, without a count
	toks []token
	text string   // blanks normalised; what faults match against
	want []column // what the client was told that it returns, if anything
}

// kindRule recognises a statement by its first words; in order, the first that fits wins.
type kindRule struct {
	words   string
	kind    kind
	tag     string
	refusal string // not empty: Redshift's own answer, 0A000
}

// kindRules is the allow-list of statements: what is not here is refused.
var kindRules = [...]kindRule{
	{words: "select", kind: kindSelect, tag: "SELECT"},
	{words: "with", kind: kindSelect, tag: "SELECT"},
	{words: "(", kind: kindSelect, tag: "SELECT"},
	{words: "values", kind: kindSelect, tag: "SELECT"},
	{words: "insert into", kind: kindInsert, tag: "INSERT 0"},
	{words: "update", kind: kindUpdate, tag: "UPDATE"},
	{words: "delete", kind: kindDelete, tag: "DELETE"},
	{words: "merge into", kind: kindMerge, tag: "MERGE"},
	{words: "create table", kind: kindCreateTable, tag: "CREATE TABLE"},
	{words: "create temp table", kind: kindCreateTable, tag: "CREATE TABLE"},
	{words: "create temporary table", kind: kindCreateTable, tag: "CREATE TABLE"},
	{words: "create local temp table", kind: kindCreateTable, tag: "CREATE TABLE"},
	{words: "create local temporary table", kind: kindCreateTable, tag: "CREATE TABLE"},
	{words: "create view", kind: kindCreateView, tag: "CREATE VIEW"},
	{words: "create or replace view", kind: kindCreateView, tag: "CREATE VIEW"},
	{words: "create schema", kind: kindCreateSchema, tag: "CREATE SCHEMA"},
	{words: "drop table", kind: kindDropTable, tag: "DROP TABLE"},
	{words: "drop view", kind: kindDropView, tag: "DROP VIEW"},
	{words: "drop schema", kind: kindDropSchema, tag: "DROP SCHEMA"},
	{words: "alter table", kind: kindAlterTable, tag: "ALTER TABLE"},
	{words: "truncate", kind: kindTruncate, tag: "TRUNCATE TABLE"},
	{words: "lock", kind: kindLock, tag: "LOCK TABLE"},
	{words: "copy", kind: kindCopy, tag: "COPY"},
	{words: "begin", kind: kindBegin, tag: "BEGIN"},
	{words: "start transaction", kind: kindBegin, tag: "START TRANSACTION"},
	{words: "commit", kind: kindCommit, tag: "COMMIT"},
	{words: "end", kind: kindCommit, tag: "COMMIT"},
	{words: "rollback to", refusal: `SQL command "ROLLBACK TO SAVEPOINT" not supported`},
	{words: "rollback", kind: kindRollback, tag: "ROLLBACK"},
	{words: "abort", kind: kindRollback, tag: "ROLLBACK"},
	{words: "savepoint", refusal: `SQL command "SAVEPOINT" not supported`},
	{words: "release", refusal: `SQL command "RELEASE SAVEPOINT" not supported`},
	{words: "create index", refusal: `SQL command "CREATE INDEX" not supported`},
	{words: "create unique index", refusal: `SQL command "CREATE INDEX" not supported`},
	{words: "create trigger", refusal: `SQL command "CREATE TRIGGER" not supported`},
	{words: "set", kind: kindSet, tag: "SET"},
	{words: "reset", kind: kindReset, tag: "RESET"},
	{words: "show", kind: kindShow, tag: "SHOW"},
	{words: "explain", kind: kindExplain, tag: "EXPLAIN"},
	{words: "vacuum", kind: kindVacuum, tag: "VACUUM"},
	{words: "analyze", kind: kindAnalyze, tag: "ANALYZE"},
	{words: "analyse", kind: kindAnalyze, tag: "ANALYZE"},
	{words: "grant", kind: kindGrant, tag: "GRANT"},
	{words: "revoke", kind: kindGrant, tag: "REVOKE"},
	{words: "comment on", kind: kindComment, tag: "COMMENT"},
	{words: "alter schema", kind: kindAccepted, tag: "ALTER SCHEMA"},
	{words: "alter default privileges", kind: kindAccepted, tag: "ALTER DEFAULT PRIVILEGES"},
	{words: "prepare", kind: kindPrepare, tag: "PREPARE"},
	{words: "execute", kind: kindExecute, tag: "EXECUTE"},
	{words: "deallocate", kind: kindDeallocate, tag: "DEALLOCATE"},
	{words: "declare", kind: kindDeclare, tag: "DECLARE CURSOR"},
	{words: "fetch", kind: kindFetch, tag: "FETCH"},
	{words: "close", kind: kindClose, tag: "CLOSE CURSOR"},
	{words: "cancel", kind: kindCancel, tag: "CANCEL"},
}

// parse cuts text into statements and recognises each.
func parse(text string) ([]statement, error) {
	toks, err := lex(text)
	if err != nil {
		return nil, err
	}
	var out []statement
	for _, part := range splitStatements(toks) {
		st, err := classify(part)
		if err != nil {
			if e, ok := errors.AsType[*sqlError](err); ok {
				e.at = utf8.RuneCountInString(text[:part[0].at]) + 1
			}
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

func classify(toks []token) (statement, error) {
	if err := balanced(toks); err != nil {
		return statement{}, err
	}
	for _, r := range kindRules {
		if !leads(toks, strings.Fields(r.words)...) {
			continue
		}
		if r.refusal != "" {
			return statement{}, pgError("0A000", "%s", r.refusal)
		}
		return statement{kind: r.kind, tag: r.tag, toks: toks, text: render(tree(toks))}, nil
	}
	first := strings.ToUpper(toks[0].val)
	if toks[0].kind != tokWord {
		return statement{}, syntaxError("syntax error at or near " + `"` + toks[0].val + `"`)
	}
	return statement{}, unsupported("the statement " + first)
}

// balanced refuses brackets that nothing closes, or that close nothing.
func balanced(toks []token) error {
	var open []string
	for _, t := range toks {
		if t.kind != tokOp {
			continue
		}
		switch t.val {
		case "(", "[":
			open = append(open, map[string]string{"(": ")", "[": "]"}[t.val])
		case ")", "]":
			if len(open) == 0 || open[len(open)-1] != t.val {
				return syntaxError(`syntax error at or near "` + t.val + `"`)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return syntaxError("syntax error at end of input")
	}
	return nil
}

// leads reports whether toks begin with these words or symbols.
func leads(toks []token, words ...string) bool {
	if len(toks) < len(words) {
		return false
	}
	for i, w := range words {
		if toks[i].val != w || toks[i].kind != tokWord && toks[i].kind != tokOp {
			return false
		}
	}
	return true
}
