// Package internal holds nothing but the test of Millstream's architecture: which package may import which, how errors
// are worded, and that the tests that documents name exist.
package internal
