package cdc

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
)

// hexKey is how keys begin that are drawn at random: UUIDs and hashes.
var hexKey = regexp.MustCompile(`^[0-9A-Fa-f]{8}`)

// split cuts between the least and the greatest key, which the index knows:
// integers evenly, and what looks like UUIDs or hashes by its first digits.
func (o *mysqlOrigin) split(ctx context.Context, p *plan, after []string, n int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement)
	defer cancel()
	k := &p.rel.columns[p.key[0]]
	var out []string
	err := o.with(ctx, func(c *mysqlConn) error {
		d := mysqlDialect{}
		rows, err := c.texts(ctx, fmt.Sprintf("SELECT %s FROM %s AS t ORDER BY t.%s DESC LIMIT 1", d.text(k), mysqlName(&p.rel), d.ident(k.name)))
		if err == nil && len(rows) > 0 {
			out = bordersBetween(k, after[0], rows[0][0], n)
		}
		return err
	})
	return out, mysqlErr("borders of "+p.name, err)
}

func bordersBetween(k *column, lo, hi string, n int) []string {
	base, digits := 10, 0
	switch {
	case k.cursor == cursorInteger:
	case (k.binary || k.kind == valueText && k.origin != "uuid") && !k.numeric && hexKey.MatchString(lo) && hexKey.MatchString(hi):
		base, digits = 16, 8
		lo, hi = lo[:digits], hi[:digits]
	default:
		return nil
	}
	from, errLo := strconv.ParseInt(lo, base, 64)
	to, errHi := strconv.ParseInt(hi, base, 64)
	if errLo != nil || errHi != nil || to <= from {
		return nil // nothing is left to cut
	}
	out := evenBorders(from+1, to, n)
	if digits > 0 {
		for i, b := range out {
			v, err := strconv.ParseInt(b, 10, 64)
			if err != nil {
				panic("BUG: a border is no integer: " + b)
			}
			out[i] = fmt.Sprintf("%0*x", digits, v)
		}
	}
	return out
}
