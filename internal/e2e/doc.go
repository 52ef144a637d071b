// Package e2e runs the built binary as its users do: it sends events over HTTP,
// changes rows of a database, kills the process, and compares what arrives in
// the warehouse and on wallboards with what was acknowledged. It holds tests
// only; `make integration` runs those that real services may change on them, and
// kills longer.
package e2e
