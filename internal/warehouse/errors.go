package warehouse

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Class says what an error means for the one who loads.
type Class string

// The classes of errors. Redshift has few codes, so XX000 is told apart by the
// numbers in its texts.
const (
	ClassNone     Class = ""
	ClassConflict Class = "conflict" // another transaction won; the same again may succeed
	ClassUnknown  Class = "unknown"  // the session is gone and with it the answer
	ClassBusy     Class = "busy"     // the cluster will not work now
	ClassDenied   Class = "denied"   // COPY may not read the lake: its role, or the bucket's policy
	ClassSlow     Class = "slow"     // statement_timeout
	ClassRaced    Class = "raced"    // somebody else made the column or table
	ClassTooLong  Class = "too_long" // a value is longer than its column
	ClassTarget   Class = "target"   // the table itself: rights, shape, existence
)

// Classify says what err means. Whatever no rule knows is the target's fault:
// it is held and named, and the others go on.
func Classify(err error) Class {
	if err == nil {
		return ClassNone
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var statement *StatementError
		var dial *pgconn.ConnectError
		if errors.As(err, &statement) || errors.As(err, &dial) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return ClassUnknown
		}
		return ClassTarget
	}
	return classifyCode(pg)
}

func classifyCode(pg *pgconn.PgError) Class {
	switch code := pg.Code; {
	case code == "40001", code == "40P01", code == "XX000" && overtaken(pg):
		return ClassConflict
	case code == "57014" && !mentions(pg, "resize mode"):
		return ClassSlow
	case code == "XX000" && refused.MatchString(pg.Message+"\n"+pg.Detail):
		return ClassDenied
	case code == "XX000" && storeAway.MatchString(pg.Message+"\n"+pg.Detail):
		return ClassBusy
	case code == "57014", code == "57P01", code == "57P03", strings.HasPrefix(code, "53"):
		return ClassBusy
	case strings.HasPrefix(code, "08"):
		return ClassUnknown
	case code == "42701", code == "42P07", code == "42P06":
		return ClassRaced
	case code == "22001":
		return ClassTooLong
	}
	return ClassTarget
}

// overtaken knows error 1023. COPY quotes keys and numbers in texts of the same
// code, so the number alone, anywhere, says nothing.
func overtaken(pg *pgconn.PgError) bool {
	number, _, _ := strings.Cut(strings.TrimPrefix(pg.Message, "ERROR: "), " ")
	return number == "1023" || mentions(pg, "Serializable isolation violation")
}

// What COPY says when S3, or IAM before it, does not let it read, and when S3
// does not work. Status and error stand in fixed places, as numbers are in keys
// and values too; names in keys are of lower case.
var (
	refused   = regexp.MustCompile(`Access ?Denied|not authorized to (assume|get credentials)|ExpiredToken|InvalidAccessKeyId|(Status|response error code:|response code:) ?403\b`)
	storeAway = regexp.MustCompile(`SlowDown|Error (InternalError|ServiceUnavailable|RequestTimeout)\b|(Status|response error code:|response code:) ?5\d\d\b`)
)

func mentions(pg *pgconn.PgError, word string) bool {
	return strings.Contains(pg.Message, word) || strings.Contains(pg.Detail, word)
}

// Reason returns the server's own words and its code, for people.
func Reason(err error) (code, words string) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return "", err.Error()
	}
	words = pg.Message
	if pg.Detail != "" {
		words += " | " + strings.Join(strings.Fields(pg.Detail), " ")
	}
	return pg.Code, words
}

// FaultAt returns where in the statement the server found fault, counted in
// characters from 1; 0 if it does not say.
func FaultAt(err error) int {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return int(pg.Position)
	}
	return 0
}

// IsCode says that the server answered with one of codes.
func IsCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	return slices.Contains(codes, pg.Code)
}

// SameSize says that a VARCHAR already has the width that it was to get.
func SameSize(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "0A000" && mentions(pg, "target column size should be different")
}
