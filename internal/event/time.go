package event

import "time"

// AppendTime appends t in UTC as RFC 3339 with three fractional digits, or six
// if its microseconds are not zero; what is below a microsecond is cut off.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if t.Nanosecond()/1000%1000 == 0 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}

// FormatTime is AppendTime as a string.
func FormatTime(t time.Time) string { return string(AppendTime(nil, t)) }
