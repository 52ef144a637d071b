package cdc

import (
	"fmt"
	"strconv"
)

// Types of parameters of heap ranges.
const (
	oidInt8 = 20
	oidTID  = 27
)

// heapBlocks is the size of a table in blocks; of a partitioned one, that of its
// largest leaf.
const heapBlocks = `SELECT (greatest(pg_relation_size($1::oid), (SELECT max(pg_relation_size(relid)) FROM pg_partition_tree($1::oid) WHERE isleaf))
  / current_setting('block_size')::bigint)::text`

// heap are the conditions of a range of blocks; in a partitioned table these
// blocks of every leaf. Raw xmin survives freezing and rewriting, so no page is
// left out for being frozen. xmin::text::bigint, not age(xmin), which would
// forbid parallel scans.
func (d pgDialect) heap(b *statement, q query) []string {
	where := []string{"ctid >= " + b.param(oidTID, tid(q.block))}
	if q.blocks > 0 {
		where = append(where, "ctid < "+b.param(oidTID, tid(q.block+q.blocks)))
	}
	if q.kind == queryXmin && q.cursor != "" {
		where = append(where, "xmin::text::bigint > 2", d.since(b, q.cursor))
	}
	return where
}

// since is the condition that a row's xmin is xid or later, in the circular
// order of 32 bits.
func (d pgDialect) since(b *statement, xid string) string {
	n, err := strconv.ParseUint(xid, 10, 64)
	if err != nil {
		panic("BUG: a transaction id in the state: " + err.Error())
	}
	mark := b.param(oidInt8, strconv.FormatUint(n&0xffffffff, 10))
	if d.faults.unwrapped {
		return "xmin::text::bigint >= " + mark
	}
	return fmt.Sprintf("(((xmin::text::bigint - %s) << 32) >> 32) >= 0", mark)
}

func tid(block int64) string { return fmt.Sprintf("(%d,0)", block) }

// param appends a parameter of a type of its own.
func (b *statement) param(oid uint32, text string) string {
	b.values, b.oids = append(b.values, text), append(b.oids, oid)
	return "$" + strconv.Itoa(len(b.values))
}
