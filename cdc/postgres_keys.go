package cdc

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/cdc/keystore"
)

// within opens a page's transaction for several statements. What f has read is
// dropped if the table is not what the plan says.
func (o *pgOrigin) within(ctx context.Context, p *plan, f func(snapshot) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Snapshot)
	defer cancel()
	err := o.with(ctx, func(c *pgconn.PgConn) error {
		if _, err := c.Exec(ctx, o.frame(p.name+"/"+p.strategy.Name, p.rel.schema, p.rel.table)).ReadAll(); err != nil {
			return err
		}
		res := c.ExecParams(ctx, pagePrint, [][]byte{[]byte(p.oid()), []byte(quoteIdent(p.rel.schema) + "." + quoteIdent(p.rel.table))}, []uint32{26, 25}, nil, nil)
		same := samePrint(res, p)
		if _, err := res.Close(); err != nil {
			return err
		}
		if !same {
			return errChanged
		}
		if err := f(pgSnapshot{c, o.faults}); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "COMMIT").ReadAll()
		return err
	})
	return pgErr("read "+p.name, err)
}

// pgSnapshot is a connection within a repeatable-read transaction.
type pgSnapshot struct {
	c      *pgconn.PgConn
	faults faults
}

func (s pgSnapshot) rows(ctx context.Context, p *plan, q query) (*page, error) {
	began := time.Now()
	st := selectPage(pgDialect{s.faults}, p, q)
	res := s.c.ExecParams(ctx, st.sql.String(), pgParams(st), st.oids, nil, pgFormats(p, q))
	pg, err := pgRows(res, p, q)
	if _, closed := res.Close(); closed != nil {
		return nil, closed
	}
	pg.at, pg.took = began, time.Since(began)
	return pg, err
}

func (s pgSnapshot) digest(ctx context.Context, p *plan, q query) (keystore.Digest, error) {
	st := selectDigest(pgDialect{s.faults}, p, q, pgDigest(p))
	r := s.c.ExecParams(ctx, st.sql.String(), pgParams(st), st.oids, nil, nil).Read()
	if r.Err != nil {
		return keystore.Digest{}, r.Err
	}
	rows, err := strconv.ParseInt(string(r.Rows[0][0]), 10, 64)
	if err != nil {
		return keystore.Digest{}, fmt.Errorf("digest of %s: %w", p.name, err)
	}
	sum, err := strconv.ParseInt(string(r.Rows[0][1]), 10, 64)
	if err != nil {
		return keystore.Digest{}, fmt.Errorf("digest of %s: %w", p.name, err)
	}
	return keystore.Digest{Rows: rows, Sum: uint64(sum)}, nil //nolint:gosec // any bits
}

// pgDigest is the XOR of a hash of each key, with the version as the hash's
// seed. The hash functions are those of hash partitioning, and differ between
// servers.
func pgDigest(p *plan) string {
	names := make([]string, len(p.key))
	for i, n := range p.key {
		names[i] = quoteIdent(p.rel.columns[n].name)
	}
	hash := ""
	switch p.strategy.Digest {
	case digestMD5:
		all := make([]string, len(p.rel.columns))
		for i, c := range p.rel.columns {
			all[i] = quoteIdent(c.name)
		}
		hash = "('x' || left(md5(ROW(" + strings.Join(all, ", ") + ")::text), 16))::bit(64)::bigint"
	case digestStamp:
		hash = "hash_record_extended(ROW(" + strings.Join(append(names, quoteIdent(p.stampName())), ", ") + "), 0)"
	default:
		if c := &p.rel.columns[p.key[0]]; len(p.key) == 1 && c.kind == valueInt {
			hash = "hashint8extended(" + names[0] + ", xmin::text::bigint)"
		} else {
			hash = "hash_record_extended(ROW(" + strings.Join(names, ", ") + "), xmin::text::bigint)"
		}
	}
	return "coalesce(bit_xor(" + hash + "), 0)"
}

// stampName is the first column of stamps that a strategy of the table follows.
func (p *plan) stampName() string {
	for _, c := range p.cfg.Strategies {
		if len(c.Timestamp) > 0 {
			return c.Timestamp[0]
		}
	}
	return ""
}

// formula holds the server's major version, since another one may hash otherwise.
func (o *pgOrigin) formula(p *plan) string {
	return p.rel.server + "/" + pgDigest(p)
}

func pgParams(st *statement) [][]byte {
	params := make([][]byte, len(st.values))
	for i, v := range st.values {
		params[i] = []byte(v)
	}
	return params
}

// pgFormats are the formats of a page's columns.
func pgFormats(p *plan, q query) []int16 {
	formats := make([]int16, len(p.rel.columns)+1+len(p.order(q.kind))+2)
	for i := range p.rel.columns {
		if p.rel.columns[i].binary {
			formats[i] = 1
		}
	}
	return formats
}
