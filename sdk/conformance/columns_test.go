//go:build !integration

package conformance

// columns are the SDKs that run: make test has Go alone, the others come with the integration tag.
var columns = []string{"go"}
