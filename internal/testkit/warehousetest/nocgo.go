//go:build !cgo

// Package warehousetest is empty without cgo, as the local Redshift needs it.
package warehousetest
