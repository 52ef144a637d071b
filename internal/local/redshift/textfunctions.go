package redshift

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// patterns keeps compiled regular expressions: a statement uses one for every row.
var patterns sync.Map

// maxPatterns bounds what patterns keeps; beyond it expressions are compiled again each time.
const maxPatterns = 1000

var patternCount struct {
	sync.Mutex
	n int
}

// compile reads a POSIX pattern with Redshift's parameters: c, i case; e a subexpression; p Perl's classes.
func compile(pattern, params string) (*regexp.Regexp, error) {
	flags := ""
	if strings.Contains(params, "i") {
		flags = "(?i)"
	}
	if re, found := patterns.Load(flags + pattern); found {
		return re.(*regexp.Regexp), nil
	}
	re, err := regexp.Compile(flags + pattern)
	if err != nil {
		return nil, pgError("2201B", "invalid regular expression: %q", pattern)
	}
	patternCount.Lock()
	defer patternCount.Unlock()
	if patternCount.n < maxPatterns {
		patterns.Store(flags+pattern, re)
		patternCount.n++
	}
	return re, nil
}

// from cuts text at a position that counts characters from 1 and returns the bytes left out too.
func from(text string, position int) (rest string, skipped int, err error) {
	if position < 1 {
		return "", 0, pgError("22023", "position must be greater than zero")
	}
	for i := range text {
		if position--; position == 0 {
			return text[i:], i, nil
		}
	}
	return "", len(text), nil
}

func regexpSubstr(text, pattern string, position, occurrence int, params string) (string, error) {
	re, err := compile(pattern, params)
	if err != nil {
		return "", err
	}
	rest, _, err := from(text, position)
	if err != nil || occurrence < 1 {
		return "", err
	}
	all := re.FindAllStringSubmatch(rest, occurrence)
	if len(all) < occurrence {
		return "", nil
	}
	found := all[occurrence-1]
	if strings.Contains(params, "e") && len(found) > 1 {
		return found[1], nil
	}
	return found[0], nil
}

func regexpCount(text, pattern string, position int, params string) (int64, error) {
	re, err := compile(pattern, params)
	if err != nil {
		return 0, err
	}
	rest, _, err := from(text, position)
	return int64(len(re.FindAllStringIndex(rest, -1))), err
}

// regexpInstr takes position, occurrence and option: 1 asks for the character behind the match.
func regexpInstr(text, pattern string, at [3]int, params string) (int64, error) {
	re, err := compile(pattern, params)
	if err != nil {
		return 0, err
	}
	rest, skipped, err := from(text, at[0])
	if err != nil || at[1] < 1 {
		return 0, err
	}
	all := re.FindAllStringIndex(rest, at[1])
	if len(all) < at[1] {
		return 0, nil
	}
	edge := all[at[1]-1][min(at[2], 1)]
	return int64(len([]rune(text[:skipped+edge])) + 1), nil
}

var groupReference = regexp.MustCompile(`\\(\d)`)

func regexpReplaceFrom(text, pattern, replacement string, position int, params string) (string, error) {
	re, err := compile(pattern, params)
	if err != nil {
		return "", err
	}
	rest, skipped, err := from(text, position)
	if err != nil {
		return "", err
	}
	replacement = groupReference.ReplaceAllString(replacement, "$${$1}")
	replacement = dollarGroup.ReplaceAllString(replacement, "$${$1}")
	return text[:skipped] + re.ReplaceAllString(rest, replacement), nil
}

var dollarGroup = regexp.MustCompile(`\$(\d)`)

// similarPattern turns a pattern of SIMILAR TO into a regular expression over the whole string.
func similarPattern(pattern string) string {
	var b strings.Builder
	class := false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		case class:
			b.WriteByte(c)
			class = c != ']'
		case c == '[':
			b.WriteByte(c)
			class = true
		case c == '%':
			b.WriteString(`[\s\S]*`)
		case c == '_':
			b.WriteString(`[\s\S]`)
		case c == '.' || c == '^' || c == '$':
			b.WriteString(`\` + string(c))
		default:
			b.WriteByte(c)
		}
	}
	return "(?:" + b.String() + ")"
}

// parseBase is STRTOL.
func parseBase(text string, base int) (any, error) {
	if base < 2 || base > 36 {
		return nil, pgError("22023", "base %d is not between 2 and 36", base)
	}
	trimmed := strings.TrimSpace(text)
	if base == 16 {
		trimmed = strings.TrimPrefix(strings.TrimPrefix(trimmed, "0x"), "0X")
	}
	n, err := strconv.ParseInt(trimmed, base, 64)
	if err != nil {
		return nil, pgError("22P02", "The input %s is not valid to be converted to base %d", text, base)
	}
	return n, nil
}

// initCap raises the first letter of each word and lowers the others.
func initCap(text string) string {
	inside := false
	return strings.Map(func(r rune) rune {
		word := unicode.IsLetter(r) || unicode.IsDigit(r)
		first := word && !inside
		inside = word
		if first {
			return unicode.ToUpper(r)
		}
		return unicode.ToLower(r)
	}, text)
}

// soundex is the American code of a word.
func soundex(text string) string {
	const codes = "01230120022455012623010202" // of a to z
	out := []byte{}
	last := byte('0')
	for _, r := range strings.ToUpper(text) {
		if r < 'A' || r > 'Z' {
			continue
		}
		code := codes[r-'A']
		switch {
		case len(out) == 0:
			out = append(out, byte(r))
		case code != '0' && code != last:
			out = append(out, code)
		}
		if r != 'H' && r != 'W' {
			last = code
		}
		if len(out) == 4 {
			break
		}
	}
	if len(out) == 0 {
		return ""
	}
	return string(append(out, "000"...)[:4])
}

// quoteIfNeeded is QUOTE_IDENT.
func quoteIfNeeded(name string) string {
	plain := name != "" && !reserved(name)
	for i := range len(name) {
		c := name[i]
		plain = plain && (c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9')
	}
	if plain {
		return name
	}
	return quoteIdent(name)
}
