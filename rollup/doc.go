// Package rollup counts events into the cells of declared metrics, exactly once.
package rollup
