// Package compact rewrites the small files of hours that are over as fewer ones
// with the same rows.
//
// # Promise
//
// Readers of the lake see the same rows before, during and after, whatever
// fails and however many compactors there are. Commits, offsets and the
// loader's work do not change.
//
// # Invariants
//
//  1. The files of a generation are durable before the object that names them,
//     and have the rows of what they replace: as many, with the same (_partition,
//     _offset), read back from what was written.
//  2. A generation follows those that were read and replaces what they and the
//     commits have left; it is claimed by If-None-Match. Who was first is right,
//     and nothing is replaced twice.
//  3. No object is deleted or overwritten. What a loser or a crash leaves is
//     millstream gc's, after gc.keep; an attempt ends within attemptTime, which
//     is far below that.
//  4. In memory are the values of a row group of each input that overlaps, one
//     column's pages, and a row group of the output; files of one partition do
//     not overlap. Inputs of 16 MiB with 34 columns take 97 MiB at most (172 when all columns were read side by side).
package compact
