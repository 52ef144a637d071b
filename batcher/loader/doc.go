// Package loader is the role that brings the lake's commits into Redshift,
// exactly once.
package loader
