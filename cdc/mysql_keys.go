package cdc

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"

	"github.com/millstream-data/millstream/cdc/keystore"
)

// within opens a page's transaction for several statements, if the table is
// what the plan says.
func (o *mysqlOrigin) within(ctx context.Context, p *plan, f func(snapshot) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Snapshot)
	defer cancel()
	err := o.with(ctx, func(c *mysqlConn) error {
		return o.frame(ctx, c, &p.rel, func() error {
			if err := mysqlSame(ctx, c, p); err != nil {
				return err
			}
			return f(mysqlSnapshot{o, c})
		})
	})
	if err != nil {
		return mysqlErr("read "+p.name, err)
	}
	return nil
}

// mysqlSnapshot is a connection within a repeatable-read transaction.
type mysqlSnapshot struct {
	o *mysqlOrigin
	c *mysqlConn
}

func (s mysqlSnapshot) rows(ctx context.Context, p *plan, q query) (*page, error) {
	return s.o.rows(ctx, s.c, p, q)
}

func (s mysqlSnapshot) digest(ctx context.Context, p *plan, q query) (d keystore.Digest, err error) {
	st := selectDigest(mysqlDialect{}, p, q, mysqlDigest(p))
	err = s.c.each(ctx, s.o.comment(p)+st.sql.String(), func(v []driver.Value) error {
		var err error
		if d.Rows, err = strconv.ParseInt(mysqlPosition(v[0]), 10, 64); err == nil {
			d.Sum, err = strconv.ParseUint(mysqlPosition(v[1]), 10, 64)
		}
		if err != nil {
			return fmt.Errorf("digest of %s: %w", p.name, err)
		}
		return nil
	})
	return d, err
}

// mysqlDigest is the XOR of a hash of each row. QUOTE makes NULL and separators
// unambiguous; MD5 of long columns keeps the text below max_allowed_packet.
func mysqlDigest(p *plan) string {
	var members []string
	add := func(c *column) {
		expr := c.expr
		if expr == "" {
			expr = mysqlDialect{}.ident(c.name)
		}
		switch c.kind {
		case valueText, valueJSON, valueBytes:
			expr = "MD5(" + expr + ")"
		default:
		}
		members = append(members, "QUOTE("+expr+")")
	}
	if stamp := p.rel.index(p.stampName()); p.strategy.Digest == digestStamp && stamp >= 0 {
		for _, i := range append(append([]int(nil), p.key...), stamp) {
			add(&p.rel.columns[i])
		}
	} else {
		for i := range p.rel.columns {
			add(&p.rel.columns[i])
		}
	}
	row := "CONCAT_WS(',', " + strings.Join(members, ", ") + ")"
	if p.strategy.Digest == digestCRC32 {
		return "BIT_XOR(CRC32(" + row + "))"
	}
	return "BIT_XOR(CAST(CONV(LEFT(MD5(" + row + "), 16), 16, 10) AS UNSIGNED))"
}

// formula names no version: every server computes MD5 and CRC32 alike.
func (o *mysqlOrigin) formula(p *plan) string { return mysqlDigest(p) }
