package redshift

import (
	"strconv"
	"strings"
	"time"
)

// dateScan gathers the parts of a date while its text is read.
type dateScan struct {
	year, month, day, dayOfYear int
	hour, minute, second, nanos int
	twelve, bc, julian, isPM    bool
	julianDay                   int64
}

// parseTime reads text as TO_DATE and TO_TIMESTAMP do: fields by the format, separators of any kind skipped. Unless it
// is strict, 31 June is 1 July.
func parseTime(text, format string, strict bool) (time.Time, error) {
	scan := dateScan{month: 1, day: 1}
	rest := strings.TrimSpace(text)
	for format != "" && rest != "" {
		if quoted, after, found := quotedAt(format); found {
			rest, format = rest[min(len(quoted), len(rest)):], after
			continue
		}
		if len(format) >= 2 && (strings.EqualFold(format[:2], "FM") || strings.EqualFold(format[:2], "TH")) {
			format = format[2:]
			continue
		}
		f, found := dateFieldAt(format)
		if !found {
			format = format[1:]
			if len(rest) > 0 && (rest[0] < '0' || rest[0] > '9') {
				rest = rest[1:]
			}
			continue
		}
		format = format[len(f.name):]
		var err error
		if rest, err = scan.field(f.name, strings.TrimLeft(rest, " "), format); err != nil {
			return time.Time{}, err
		}
	}
	return scan.time(text, strict)
}

// field reads one part off the front of text; digits that follow without a separator bound its width.
func (s *dateScan) field(name, text, following string) (string, error) {
	into := map[string]*int{
		"YYYY": &s.year, "YYY": &s.year, "YY": &s.year, "Y": &s.year, "IYYY": &s.year, "MM": &s.month, "DD": &s.day, "DDD": &s.dayOfYear,
		"HH24": &s.hour, "HH12": &s.hour, "HH": &s.hour, "MI": &s.minute, "SS": &s.second,
	}
	switch name {
	case "MONTH", "MON":
		return s.monthName(text)
	case "DAY", "DY":
		return strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), nil
	case "AM", "PM", "A.M.", "P.M.":
		s.isPM = text != "" && (text[0] == 'p' || text[0] == 'P')
		s.twelve = true
		return text[min(len(name), len(text)):], nil
	case "MS", "US":
		digits := leadingDigits(text, 6)
		s.nanos, _ = strconv.Atoi((digits + "000000000")[:9])
		return text[len(digits):], nil
	case "J":
		digits := leadingDigits(text, 7)
		s.julianDay, _ = strconv.ParseInt(digits, 10, 64)
		s.julian = true
		return text[len(digits):], nil
	case "BC", "AD", "B.C.", "A.D.":
		s.bc = strings.HasPrefix(strings.ToUpper(text), "B")
		return text[min(len(name), len(text)):], nil
	}
	field := into[name]
	if field == nil {
		return "", pgError("0A000", "the local Redshift does not support %s in formats to read by", name)
	}
	width := map[string]int{"YYYY": 4, "IYYY": 4, "YYY": 3, "DDD": 3, "Y": 1}[name]
	if width == 0 {
		width = 2
	}
	if _, next := dateFieldAt(following); !next && name == "YYYY" {
		width = 5
	}
	digits := leadingDigits(text, width)
	if digits == "" {
		return "", pgError("22007", "invalid value for %q in source string: %q", name, text)
	}
	*field, _ = strconv.Atoi(digits)
	if name == "YY" {
		*field += 2000
		if *field >= 2070 {
			*field -= 100
		}
	}
	s.twelve = s.twelve || name == "HH12" || name == "HH" && s.isPM
	return text[len(digits):], nil
}

func leadingDigits(text string, most int) string {
	n := 0
	for n < len(text) && n < most && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return text[:n]
}

func (s *dateScan) monthName(text string) (string, error) {
	for m := time.January; m <= time.December; m++ {
		for _, name := range []string{m.String(), m.String()[:3]} {
			if len(text) >= len(name) && strings.EqualFold(text[:len(name)], name) {
				s.month = int(m)
				return text[len(name):], nil
			}
		}
	}
	return "", pgError("22007", "invalid value for MONTH in source string: %q", text)
}

// time puts the parts together; what overflows is an error only if strict.
func (s *dateScan) time(text string, strict bool) (time.Time, error) {
	if s.julian {
		return time.Unix((s.julianDay-2440588)*86400, 0).UTC(), nil
	}
	if s.dayOfYear > 0 {
		s.month, s.day = 1, s.dayOfYear
	}
	hour := s.hour
	if s.twelve {
		if hour %= 12; s.isPM {
			hour += 12
		}
	}
	if s.bc {
		s.year = 1 - s.year
	}
	out := time.Date(s.year, time.Month(s.month), s.day, hour, s.minute, s.second, s.nanos, time.UTC)
	if strict && (s.month < 1 || s.month > 12 || s.dayOfYear == 0 && out.Day() != s.day || hour > 23 || s.minute > 59 || s.second > 59) {
		return out, pgError("22008", "date/time field value out of range: %q", text)
	}
	return out, nil
}
