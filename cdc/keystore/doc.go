// Package keystore remembers which version of which key of a table was
// published last, on disk, in about 30 bytes a key. Strategies that see deletes
// compare the origin with it.
//
// # Promise
//
// A store is a cache of what its owner can read elsewhere (the changes topics):
// each batch holds, beside the keys, the positions that it covers. The store's
// own log is off, so a crash loses the newest batches, whole and in order; what
// is left says by its positions where replaying begins. What is torn is dropped,
// and the store begins anew: Open never returns a store that may be wrong.
//
// # Layout
//
// Pebble, one database for all tables of a slot, under four bytes of the
// table's number and one for the part:
//
//	table 'a'                      → JSON: name, meaning, formula, positions, keys, first range
//	table 'b' range (four bytes)   → JSON: border, next range, digest, dirty
//	table 'c' window (eight bytes) key →
//	table 'd' key                  → version and, if wanted, window and row
//
// A key of ordered columns is encoded so that bytes compare as the server
// compares (key.go); any other is its JSON as it stands in the topic.
//
// # Ranges
//
// The ranges of a table cover all keys without gap or overlap, in the server's
// order: from a border up to the next one's. A range is dirty when one of its
// keys was written since its digest was stored: a row that is inserted, published
// and deleted between two digests leaves the digest as it was, and its key here.
// Keys that are not ordered have ranges, too, but no dirty bits: where a key of
// theirs belongs, only the server can tell.
//
// # Goroutines
//
// A Store starts none of its own (Pebble does), and its methods may be called
// from any: one mutex guards the open batch and all tables.
package keystore
