package warehouse

import (
	"context"
	"fmt"
	"math"
	"strconv"
)

// TableInfo is what svv_table_info says of a table. A figure that the view
// leaves open is -1. The view knows no empty tables.
type TableInfo struct {
	Name        Name
	MB          int64   // blocks of 1 MB
	AllRows     int64   // with those that are deleted and not yet reclaimed
	Rows        int64   // visible ones
	Unsorted    float64 // percent
	StatsOff    float64 // percent
	SortBenefit float64 // percent that a full sort would make range scans faster
	Skew        float64 // rows of the fullest slice by those of the emptiest
	DistStyle   string  // EVEN, ALL, KEY(column), AUTO(…)
	Sorted      bool    // has a sort key
}

// Dead is the share of deleted rows, in percent.
func (t TableInfo) Dead() float64 {
	if t.AllRows <= 0 || t.Rows < 0 {
		return 0
	}
	return 100 * float64(t.AllRows-min(t.Rows, t.AllRows)) / float64(t.AllRows)
}

// TableInfos reads svv_table_info of all tables in schemas. A user other than a
// superuser needs the right to read it.
func (c *Conn) TableInfos(ctx context.Context, schemas []string) (map[Name]TableInfo, error) {
	out := map[Name]TableInfo{}
	if len(schemas) == 0 {
		return out, nil
	}
	res, err := c.Exec(ctx, `SELECT "schema", "table", size, tbl_rows, estimated_visible_rows, unsorted, stats_off, vacuum_sort_benefit, skew_rows, diststyle, sortkey_num FROM svv_table_info WHERE "schema" IN (`+literals(unique(schemas))+")")
	if err != nil {
		return nil, err
	}
	for _, row := range res.Rows {
		t := TableInfo{Name: Name{row[0], row[1]}, DistStyle: row[9], Sorted: row[10] != "" && row[10] != "0"}
		figures := make([]float64, 7)
		for i, text := range row[2:9] {
			figures[i] = -1
			if text == "" {
				continue
			}
			if figures[i], err = strconv.ParseFloat(text, 64); err != nil {
				return nil, fmt.Errorf("svv_table_info of %s: %w", t.Name, err)
			}
		}
		t.MB, t.AllRows, t.Rows = int64(figures[0]), int64(figures[1]), int64(figures[2])
		t.Unsorted, t.StatsOff, t.SortBenefit, t.Skew = figures[3], figures[4], figures[5], figures[6]
		if t.Rows < 0 {
			t.Rows = t.AllRows
		}
		out[t.Name] = t
	}
	return out, nil
}

// Cluster is how a cluster is cut up.
type Cluster struct{ Nodes, Slices int }

// Cluster reads how many slices hold tables. Serverless does not tell.
func (c *Conn) Cluster(ctx context.Context) (Cluster, error) {
	res, err := c.Exec(ctx, "SELECT COUNT(DISTINCT node), COUNT(*) FROM stv_slices")
	if err != nil {
		return Cluster{}, err
	}
	n, err := numbers(res.Rows[0]...)
	if err != nil {
		return Cluster{}, fmt.Errorf("stv_slices: %w", err)
	}
	return Cluster{int(n[0]), int(n[1])}, nil
}

// DataMB estimates how much of a table's size its rows take, once. A table
// takes a block of 1 MB for each column, three of the system's among them, on
// each slice, twice where it has a sort key (AWS re:Post, "minimum
// table size"); with DISTSTYLE ALL each node has a copy on one slice.
func (t TableInfo) DataMB(columns int, c Cluster) int64 {
	segments := 1
	if t.Sorted {
		segments = 2
	}
	parts, copies := c.Slices, 1
	if t.DistStyle == "ALL" || t.DistStyle == "AUTO(ALL)" {
		parts, copies = c.Nodes, c.Nodes
	}
	least := int64((columns + 3) * parts * segments)
	return int64(math.Ceil(float64(max(0, t.MB-least)) / float64(max(copies, 1))))
}

// StoredColumn is a column as the catalogue has it, with its place on disk.
type StoredColumn struct {
	Name, Type, Encoding string
	SortKey              int // place in the sort key, from 1; 0: not in it
	DistKey              bool
}

// StoredColumns reads the columns of a table in order. Unlike pg_table_def the
// view does not depend on the search path.
func (c *Conn) StoredColumns(ctx context.Context, n Name) ([]StoredColumn, error) {
	res, err := c.Exec(ctx, fmt.Sprintf("SELECT column_name, data_type, encoding, sortkey, CASE WHEN distkey THEN 1 ELSE 0 END FROM svv_redshift_columns WHERE schema_name = %s AND table_name = %s ORDER BY ordinal_position", Literal(n.Schema), Literal(n.Table)))
	if err != nil {
		return nil, err
	}
	out := make([]StoredColumn, len(res.Rows))
	for i, row := range res.Rows {
		key, err := numbers(row[3])
		if err != nil {
			return nil, fmt.Errorf("column %s of %s: %w", row[0], n, err)
		}
		out[i] = StoredColumn{Name: row[0], Type: row[1], Encoding: row[2], SortKey: int(key[0]), DistKey: row[4] == "1"}
	}
	return out, nil
}
