// Package ingest is the HTTP edge.
package ingest
