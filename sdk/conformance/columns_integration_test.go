//go:build integration

package conformance

// columns are the SDKs that run; a tool that is missing is a failure.
var columns = all
