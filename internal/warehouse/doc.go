// Package warehouse is the Redshift client: sessions, statements, types and
// the ledger. What makes SQL text is a function of values and is pinned by
// golden files; what talks to the server is Conn.
//
// conn.go opens sessions and sends text statements, iam.go fetches temporary
// credentials for them; quote.go quotes; errors.go
// says what an error means; types.go, table.go and tables.go make types and DDL from
// lake types; loaderrors.go and catalog.go read what is there; load.go, latest.go and mirror.go make
// the statements that bring staged rows into tables; ledger.go, held.go and
// lease.go keep positions, history, held work and the fence; check.go tells an
// operator what is wrong.
package warehouse
