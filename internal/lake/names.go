package lake

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// MaxName is the longest name of a table or column in bytes. Redshift cuts
// longer ones in silence.
const MaxName = 127

//go:embed names_reserved.txt
var reservedText string

// Namer makes names of tables and columns from the names that people gave to
// events and properties. It is safe for concurrent use.
type Namer struct{ reserved map[string]bool }

// NewNamer returns a Namer that knows Redshift's reserved words and system
// columns.
func NewNamer() *Namer {
	n := &Namer{reserved: map[string]bool{}}
	for word := range strings.FieldsSeq(reservedText) {
		n.reserved[word] = true
	}
	return n
}

// Name returns the snake_case name for the members of a path, joined with "_":
// at most MaxName bytes of [a-z0-9_], not a reserved word, no digit in front.
// Names that differ in letters outside ASCII never meet; those that differ in
// case, blanks or punctuation do.
func (n *Namer) Name(members ...string) string {
	parts := make([]string, len(members))
	for i, m := range members {
		parts[i] = member(m)
	}
	whole := strings.Join(parts, "_")
	if whole[0] >= '0' && whole[0] <= '9' || n.reserved[whole] {
		whole = "_" + whole
	}
	if len(whole) > MaxName {
		whole = whole[:MaxName-9] + "_" + hash8(whole)
	}
	return whole
}

// EventTable returns the name of the table of a track event.
func (n *Namer) EventTable(event string) string {
	name := n.Name(event)
	if IsFixedTable(name) {
		return n.Name("event", event)
	}
	return name
}

// Origin returns the name of a mirrored schema, table or column: the origin's
// own in lower case where Redshift can write it so, else the one that Name gives.
func (n *Namer) Origin(name string) string {
	lower := strings.ToLower(name)
	if lower == "" || len(lower) > MaxName {
		return n.Name(name)
	}
	for _, c := range []byte(lower) {
		if !isWord(c) {
			return n.Name(name)
		}
	}
	return lower
}

// MirrorSchema returns the folder and warehouse schema of the tables that cdc
// reads from a schema of a source.
func (n *Namer) MirrorSchema(source, schema string) string {
	return n.Origin(source) + "_" + n.Origin(schema)
}

// CheckFolders says how many folders of the lake, which are schemas of the
// warehouse, come of sources of events and of the schemas that cdc reads of its
// sources; or which of them would share one.
func CheckFolders(events []string, mirrored map[string][]string) (string, error) {
	n, owners := NewNamer(), map[string]string{}
	var errs []error
	claim := func(folder, owner string) {
		if first, taken := owners[folder]; taken {
			errs = append(errs, fmt.Errorf("%s and %s would both be %s in the lake and the warehouse: give one of the sources another name", first, owner, folder))
			return
		}
		owners[folder] = owner
	}
	for _, source := range events {
		claim(n.Origin(source), "the event source "+source)
	}
	for _, source := range slices.Sorted(maps.Keys(mirrored)) {
		for _, schema := range mirrored[source] {
			claim(n.MirrorSchema(source, schema), fmt.Sprintf("the schema %s of the cdc source %s", schema, source))
		}
	}
	return fmt.Sprintf("%d, each with one owner", len(owners)), errors.Join(errs...)
}

// member turns one name into words of [a-z0-9] joined with "_".
func member(original string) string {
	var (
		runes   []rune
		foreign bool // a letter or digit had no ASCII form
	)
	for _, r := range norm.NFKD.String(original) {
		switch {
		case unicode.IsMark(r) || unicode.IsControl(r):
		case r < unicode.MaxASCII && isWord(byte(r)) && r != '_' || r >= 'A' && r <= 'Z':
			runes = append(runes, r)
		default:
			foreign = foreign || r > unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsNumber(r))
			runes = append(runes, '_')
		}
	}
	out := splitWords(runes)
	if out == "" {
		out, foreign = "n", true
	}
	if foreign {
		out += "_" + hash8(original)
	}
	return out
}

// splitWords puts "_" between words of camelCase, lowers the letters, and
// leaves no "_" at the ends nor two in a row.
func splitWords(runes []rune) string {
	var b strings.Builder
	put := func(c rune) {
		if c == '_' && (b.Len() == 0 || b.String()[b.Len()-1] == '_') {
			return
		}
		b.WriteRune(c)
	}
	for i, r := range runes {
		if i > 0 && isUpper(r) {
			before := runes[i-1]
			ends := isUpper(before) && i+1 < len(runes) && isLower(runes[i+1])
			if isLower(before) || isDigit(before) || ends {
				put('_')
			}
		}
		put(unicode.ToLower(r))
	}
	return strings.TrimSuffix(b.String(), "_")
}

func isUpper(r rune) bool { return r >= 'A' && r <= 'Z' }
func isLower(r rune) bool { return r >= 'a' && r <= 'z' }
func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func isWord(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' }

func hash8(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// Tables of events that are the same for every source. Users and accounts
// have no files: the loader makes them from identifies and groups.
const (
	TableTracks     = "tracks"
	TableIdentifies = "identifies"
	TablePages      = "pages"
	TableScreens    = "screens"
	TableGroups     = "groups"
	TableAliases    = "aliases"
	TableUsers      = "users"
	TableAccounts   = "accounts"
	// TableTracksOther has the track events beyond the limit of tables.
	TableTracksOther = "tracks_other"
)

// IsFixedTable says whether name is one of the tables that every source has, so
// that no event can take it.
func IsFixedTable(name string) bool {
	return IsPrimary(name) || name == TableUsers || name == TableAccounts || name == TableTracksOther
}

// IsPrimary says whether name is a table that has one row for every accepted
// event of its type.
func IsPrimary(name string) bool {
	switch name {
	case TableTracks, TableIdentifies, TablePages, TableScreens, TableGroups, TableAliases:
		return true
	}
	return false
}

// Endings of siblings: columns beside one that has a narrower type. No other
// name has two "_" in a row before such an ending.
const (
	SuffixFloat = "__float"
	SuffixStr   = "__str"
)

// Sibling returns the name of the sibling of a column that suffix says.
func Sibling(column, suffix string) string {
	if len(column)+len(suffix) > MaxName {
		column = column[:MaxName-len(suffix)-9] + "_" + hash8(column)
	}
	return column + suffix
}

// IsSibling says whether a discovered column is the sibling of another one.
func IsSibling(column string) bool {
	return strings.HasSuffix(column, SuffixFloat) || strings.HasSuffix(column, SuffixStr)
}
