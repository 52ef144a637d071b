// Package upload brings a CSV file into a table of the warehouse.
//
// # Promise
//
// The table shows what it showed before or the whole file, once. No value is
// changed but fractions of more than nine places, which become floats; what
// cannot be read is an error that names its line, and changes nothing. Memory
// does not grow with the file.
//
//	file ─▶ types from all rows ─▶ rows ─▶ Parquet, a file at a time ─▶ <prefix>/_uploads ──COPY──▶ staging, counted
//	     ─▶ x__new_<id> ─▶ [gate │ renames, grants, millstream.loads │ COMMIT] ─▶ drop x__old_<id>, remove the objects
//
// # Failures
//
//	event                                            what happens                                   test
//	ragged, undecodable or badly quoted line, CR     an error with its number; nothing is changed   TestUploadMistakesNameTheLine
//	a quote that is never closed                     an error after 16 MiB with where it began      TestUploadMistakesNameTheLine
//	byte order mark, CRLF, line breaks in quotes     read as they are meant                         TestUploadReplacesTheTable
//	gzip, no rows, standard input, odd names         read as they are meant                         TestUploadOddFiles
//	codes with leading zeros, odd numbers and dates  the type that keeps every value                TestUploadTypes
//	columns of an append that the table lacks        refused with the nearest name                  TestUploadAppendsByName
//	5 GiB                                            streamed                                       TestUploadStreams
//	numbers with a decimal comma, or n/a among them  text, and the summary says why                 TestUploadSaysWhyNumbersAreText
//	connection cut at any statement                  old rows or new ones, the next removes what is left  TestUploadCutAnywhereShowsAllOrNothing
//	COMMIT's answer is lost                          the history tells whether it was done          TestUploadAsksTheLedgerWhereTheAnswerIsLost
//	somebody reads or locks the table                waited for in short turns, loads pass; named      TestUploadLetsLoadsPassWhileItsTableIsRead
//	a table that no upload has made, bound views     refused; what is called x__old stays           TestUploadDoesNotTakeOthersTables
//	a named pipe                                     read once, into a temporary file               TestUploadReadsAPipe
//	the file changes between the passes              an error, nothing is changed                   TestUploadOfAFileThatChangesLoadsNothing
//	the process is killed                            its objects are garbage for millstream gc      (internal/lake: GC)
//
// # Non-obvious
//
// encoding/csv reads a record whole: the reader below it bounds what a record
// takes. A field of the reader is its own until the next record.
package upload
