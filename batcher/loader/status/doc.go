// Package status says how the warehouse stands, for an operator: of each target
// how fresh and how large it is and what is still to be loaded; what is held,
// why in plain words, and the command that mends it; chains with gaps; what
// maintenance did and will do; and what an analyst will stumble over.
//
//	ledger ────────┐
//	catalogue ─────┼─▶ Read ─▶ Report ─▶ Write: a page of 100 columns
//	S3: commits ───┘              └────▶ JSON
//
// Read changes nothing, takes no lock and needs no lease. Where a view of the
// catalogue may not be read or does not exist, the report says so and goes on
// without it. words.go holds what errors mean and how they are mended, as data.
package status
