//go:build integration

package cdc

import (
	"fmt"
	"testing"
)

// Updates that stamp nothing, and rows of subtransactions that commit late, are
// row versions like any other.
func TestXminSeesEveryVersion(t *testing.T) {
	t.Parallel()
	for name, ddl := range map[string]string{
		"plain": "CREATE TABLE orders (id bigint PRIMARY KEY, note text, pad text)",
		"partitioned": `CREATE TABLE orders (id bigint PRIMARY KEY, note text, pad text) PARTITION BY RANGE (id);
CREATE TABLE orders_a PARTITION OF orders FOR VALUES FROM (0) TO (100); CREATE TABLE orders_b PARTITION OF orders FOR VALUES FROM (100) TO (100000)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupPG(t, ddl)
			s.edit(func(src *SourceConfig) {
				src.Tables = map[string]TableConfig{s.schema + ".orders": polledBy(StrategyConfig{Kind: kindXmin, Name: kindXmin})}
			})
			s.sql("INSERT INTO orders SELECT i, 'old', repeat('x', 500) FROM generate_series(1, 300) i")
			s.run(nil)
			s.await(300, "old")
			s.sql("UPDATE orders SET note = 'unstamped' WHERE id = 7")
			s.await(7, "unstamped")
			long := s.connect()
			s.sqlOn(long, fmt.Sprintf("SET search_path = %s; BEGIN; SAVEPOINT a; INSERT INTO orders VALUES (1001, 'late'); RELEASE a; SAVEPOINT b; UPDATE orders SET note = 'late' WHERE id = 8; RELEASE b", s.schema))
			for i := 2000; i < 2003; i++ {
				s.sql(fmt.Sprintf("INSERT INTO orders VALUES (%d, 'meanwhile')", i))
				s.await(i, "meanwhile")
			}
			s.sql("DELETE FROM orders WHERE id = 9")
			s.sql("VACUUM (FREEZE) orders")
			s.sqlOn(long, "COMMIT")
			s.await(1001, "late")
			s.await(8, "late")
			times, got := map[string]int{}, s.changes()
			for i, h := range got.headers {
				if h.Strategy == kindXmin {
					times[got.keys[i]+" "+h.Version]++
				}
			}
			for v, n := range times {
				if n != 1 {
					t.Errorf("version %s was published %d times", v, n)
				}
			}
		})
	}
}

// After a rewrite rows are in other blocks: the walk begins again.
func TestXminRewrite(t *testing.T) {
	t.Parallel()
	s := setupPG(t, "CREATE TABLE orders (id bigint PRIMARY KEY, note text)")
	s.edit(func(src *SourceConfig) {
		src.Tables = map[string]TableConfig{s.schema + ".orders": polledBy(StrategyConfig{Kind: kindXmin, Name: kindXmin})}
	})
	s.run(nil)
	for i := range 4 {
		s.sql(fmt.Sprintf("INSERT INTO orders VALUES (%d, 'x')", i))
		s.sql("VACUUM FULL orders")
		s.await(i, "x")
	}
}
