// Package wire holds the bytes by which roles meet: names of topics, record
// keys and headers, codecs of values, and Redshift's manifest. Formats carry a
// version, are only ever added to, are described in FORMAT.md and pinned by
// golden files.
package wire

import "strings"

// Version is the value of the header "v" of every record that is written.
const Version = "1"

// DefaultPrefix leads the names of topics where the configuration says nothing.
const DefaultPrefix = "millstream"

// Topics names the topics of one installation by their common prefix.
type Topics struct{ Prefix string }

// Events returns the topic of accepted events.
func (t Topics) Events() string { return t.prefix() + ".events" }

// Rejected returns the topic of dead letters.
func (t Topics) Rejected() string { return t.prefix() + ".rejected" }

// Cells returns the topic of current metric cells.
func (t Topics) Cells() string { return t.prefix() + ".cells" }

// Changes returns the topic of a mirrored table. Bytes that a topic's name
// cannot hold become "_" in each member.
func (t Topics) Changes(source, schema, table string) string {
	return t.ChangesPrefix() + topicMember(source) + "." + topicMember(schema) + "." + topicMember(table)
}

// ChangesPrefix leads the names of all topics of changes.
func (t Topics) ChangesPrefix() string { return t.prefix() + ".changes." }

// OriginOf returns the source and the table, as schema.table, of a topic of
// changes; ok is false for other topics.
func OriginOf(topic string) (source, table string, ok bool) {
	_, name, _ := strings.Cut(topic, ".changes.")
	source, table, ok = strings.Cut(name, ".")
	return source, table, ok && source != "" && table != ""
}

// CDCState returns the topic in which cdc keeps the positions of a source.
func (t Topics) CDCState(source string) string { return t.prefix() + ".cdc.state." + source }

func (t Topics) prefix() string {
	if t.Prefix == "" {
		return DefaultPrefix
	}
	return t.Prefix
}

func topicMember(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, s)
}
