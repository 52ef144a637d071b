package models

import (
	"errors"
	"regexp"
	"strings"

	"github.com/millstream-data/millstream/internal/warehouse"
)

var quotedWord = regexp.MustCompile(`"([^"]+)"`)

// locate says at which line of the model's file Redshift found fault: where its
// answer points, else where a name that it quotes stands.
func (m *Model) locate(err error) error {
	if _, ok := errors.AsType[*FileError](err); ok {
		return err
	}
	return &FileError{m.File, m.lineAt(err), words(err)}
}

func (m *Model) lineAt(err error) int {
	var statement *warehouse.StatementError
	if !errors.As(err, &statement) || !strings.HasPrefix(statement.Statement, "CREATE") {
		return m.line
	}
	if n := warehouse.FaultAt(err); n > 0 {
		upTo := []rune(statement.Statement)
		upTo = upTo[:min(n, len(upTo))]
		return m.line + max(0, strings.Count(string(upTo), "\n")-1) // the SELECT begins on the second line
	}
	toks, lexErr := lex(m.sql)
	if lexErr != nil {
		return m.line
	}
	_, text := warehouse.Reason(err)
	for _, found := range quotedWord.FindAllStringSubmatch(text, -1) {
		word := strings.ToLower(found[1][strings.LastIndexByte(found[1], '.')+1:])
		for _, t := range toks {
			if t.text == word {
				return m.line + t.line - 1
			}
		}
	}
	return m.line
}
