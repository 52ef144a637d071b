//go:build cgo

package redshift

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// blamed finds the word that a message names: the one in quotes, or a function's.
var blamed = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`"(?:[^"]*\.)?([^".]+)"|(?:function|statement) ([\w.#$]+)`)
})

// located is err with the place in text where one of toks, which come from it, bears the name that the message names.
func located(err error, text string, toks []token) error {
	e := *translate(err)
	if e.at != 0 || !strings.HasPrefix(e.code, "42") && e.code != "0A000" {
		return err
	}
	m := blamed().FindStringSubmatch(e.msg)
	if m == nil {
		return err
	}
	name := strings.ToLower(m[1] + m[2])
	for _, t := range toks {
		if t.kind != tokString && strings.ToLower(t.val) == name {
			e.at = utf8.RuneCountInString(text[:t.at]) + 1
			return &e
		}
	}
	return err
}
