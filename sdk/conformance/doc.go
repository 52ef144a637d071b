// Package conformance holds the SDKs to one behaviour: its tests run each SDK's program on the cases of cases/, play the
// server that each case describes, and compare what came of it. FORMAT.md is the contract with the programs and the
// format of the files.
package conformance
