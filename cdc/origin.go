package cdc

import (
	"context"
	"errors"
	"fmt"
)

// origin is a database that is read. It is the seam between dialects; what it
// returns is the same for all. Its methods are safe for concurrent use but for
// look, which the sampler serialises.
type origin interface {
	surveyor
	// describe reads a table's definition; stamps are the columns that strategies
	// take for moments.
	// A table that cannot be read is a *refusal.
	describe(ctx context.Context, schema, table string, stamps []string) (relation, error)
	// look asks which transactions are open.
	look(ctx context.Context) (reading, error)
	// largest returns the greatest id as decimal text, "" of an empty table.
	largest(ctx context.Context, p *plan) (string, error)
	// split returns at most n-1 borders that cut the keys behind the position
	// after into parts of about the same size, in the origin's order: values of
	// the key's first column, each the last of its part. None are fine.
	split(ctx context.Context, p *plan, after []string, n int) ([]string, error)
	// read reads a page in a snapshot of its own. It returns errChanged if the
	// table is no longer what the plan says, errBusy if it has to come again.
	read(ctx context.Context, p *plan, q query) (*page, error)
	// within gives f a snapshot that lasts as long as it runs. Errors are those of read.
	within(ctx context.Context, p *plan, f func(snapshot) error) error
	// formula names what computes the digests of ranges: those of another formula
	// or server are not compared.
	formula(p *plan) string
	// name is the database's own name, for source.db.
	name() string
	close()
}

var (
	errChanged = errors.New("the table's definition has changed")
	errBusy    = errors.New("the page has to come again")
)

// openOrigin does not connect; the first use does.
func openOrigin(source string, c SourceConfig) (origin, error) {
	switch c.Kind {
	case kindSQLite:
		return newSQLite(c)
	case kindPostgres:
		return newPostgres(source, c)
	case kindMySQL, kindMariaDB:
		return newMySQL(source, c)
	}
	return nil, fmt.Errorf("cdc.sources.%s.kind: unknown %q", source, c.Kind)
}

// connector is the name of a kind of source in Debezium's envelope.
func connector(kind string) string {
	if kind == kindPostgres {
		return "postgresql"
	}
	return kind
}
