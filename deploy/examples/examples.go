// Package examples holds the metrics and boards that `millstream dev` copies
// into its data folder, and example configurations; tests load every file.
package examples

import "embed"

// Files holds the folders metrics and boards.
//
//go:embed metrics boards
var Files embed.FS
