package event

import "time"

// AppendTime appends t in UTC as RFC 3339 with three fractional digits, or six
// if its microseconds are not zero; what is below a microsecond is cut off.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z") // as the standard library has it; nobody can read it
	}
	hour, minute, sec := t.Clock()
	// Written by hand: every event has three times, and a layout is parsed anew each time.
	dst = append2(append2(dst, year/100), year%100)
	dst = append2(append(dst, '-'), int(month))
	dst = append2(append(dst, '-'), day)
	dst = append2(append(dst, 'T'), hour)
	dst = append2(append(dst, ':'), minute)
	dst = append2(append(dst, ':'), sec)
	ms, us := t.Nanosecond()/1e6, t.Nanosecond()/1e3%1000
	dst = append2(append(dst, '.', byte('0'+ms/100)), ms%100) //nolint:gosec // a digit
	if us > 0 {
		dst = append2(append(dst, byte('0'+us/100)), us%100) //nolint:gosec // a digit
	}
	return append(dst, 'Z')
}

// append2 appends v, which is below 100, as two digits.
func append2(dst []byte, v int) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) } //nolint:gosec // digits

// FormatTime is AppendTime as a string.
func FormatTime(t time.Time) string { return string(AppendTime(nil, t)) }
