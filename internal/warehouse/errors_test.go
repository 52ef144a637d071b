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

// COPY that may not read the lake, or finds S3 away, says nothing of a file.
func TestRefusalsOfS3AreNoFaultOfAFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		message, detail string
		want            warehouse.Class
	}{
		{"S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid 7", "", warehouse.ClassDenied},
		{"Spectrum Scan Error", "code: 15001 context: HTTP response error code: 403 Message: AccessDenied Access Denied", warehouse.ClassDenied},
		{"User arn:aws:redshift:eu-west-1:1:dbuser:c/u is not authorized to assume IAM Role arn:aws:iam::1:role/load", "", warehouse.ClassDenied},
		{"S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown", "", warehouse.ClassBusy},
		{"Spectrum Scan Error", "HTTP response error code: 500 Message: InternalError", warehouse.ClassBusy},
		{"Spectrum Scan Error", "HTTP response error code: 404 Message: NoSuchKey", warehouse.ClassTarget},
		{"Spectrum Scan Error", "HTTP response error code: 416 Message: InvalidRange", warehouse.ClassTarget},
		{"File 's3://lake/app/access_denied/millstream.events-3-403-503-9f.parquet' has an incompatible Parquet schema", "", warehouse.ClassTarget},
	} {
		if got := warehouse.Classify(&pgconn.PgError{Code: "XX000", Message: tc.message, Detail: tc.detail}); got != tc.want {
			t.Errorf("%s | %s: %q, want %q", tc.message, tc.detail, got, tc.want)
		}
	}
}
