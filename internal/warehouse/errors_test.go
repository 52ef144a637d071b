package warehouse_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// COPY names files and lengths under the code of error 1023.
func TestOnlyError1023IsAConflict(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		message, detail string
		want            warehouse.Class
	}{
		{"1023", "Serializable isolation violation on table - 108", warehouse.ClassConflict},
		{"ERROR: 1023 DETAIL: Serializable isolation violation on table - 108", "", warehouse.ClassConflict},
		{"File 's3://lake/millstream.events-3-110235-9f.parquet' has an incompatible Parquet schema", "", warehouse.ClassTarget},
		{"Spectrum Scan Error", "code: 15001 context: value of 1023 bytes is longer than 256", warehouse.ClassTarget},
	} {
		if got := warehouse.Classify(&pgconn.PgError{Code: "XX000", Message: tc.message, Detail: tc.detail}); got != tc.want {
			t.Errorf("%s | %s: %q, want %q", tc.message, tc.detail, got, tc.want)
		}
	}
}
