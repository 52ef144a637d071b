package metric

import "time"

// year2000 in unix milliseconds: no app with our SDK was running before.
const year2000 = 946_684_800_000

func (e *Evaluator) eventTime(ev Event) (ms int64, ok bool) {
	v := e.view.vals[e.p.time]
	if v.kind != isString {
		return 0, false
	}
	if ms, ok = parseTime(v.raw); !ok {
		return 0, false
	}
	switch {
	case ms > ev.ReceivedMS+e.p.future:
		e.Clock, ms = ClockFuture, ev.ReceivedMS
	case ms < year2000:
		e.Clock, ms = ClockPast, ev.ReceivedMS
	}
	return ms, true
}

// parseTime reads RFC 3339. What ingest writes, UTC with three or six decimals,
// is read without allocation.
func parseTime(b []byte) (ms int64, ok bool) {
	if len(b) >= 20 && b[len(b)-1] == 'Z' && b[4] == '-' && b[7] == '-' && b[10] == 'T' && b[13] == ':' && b[16] == ':' {
		y, ok1 := atoi(b[0:4])
		mo, ok2 := atoi(b[5:7])
		d, ok3 := atoi(b[8:10])
		h, ok4 := atoi(b[11:13])
		mi, ok5 := atoi(b[14:16])
		s, ok6 := atoi(b[17:19])
		frac, ok7 := millis(b[19 : len(b)-1])
		if ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && mo >= 1 && h < 24 && mi < 60 && s < 60 {
			// A month or day that does not exist comes back as another one.
			if t := time.Date(y, time.Month(mo), d, h, mi, s, 0, time.UTC); t.Day() == d && int(t.Month()) == mo {
				return t.Unix()*1000 + frac, true
			}
		}
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return 0, false
	}
	return t.UnixMilli(), true
}

func atoi(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// millis reads ".123…" or nothing.
func millis(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, true
	}
	if b[0] != '.' || len(b) == 1 || len(b) > 10 {
		return 0, false
	}
	n, ok := atoi(b[1:min(len(b), 4)])
	for i := len(b); i < 4; i++ {
		n *= 10
	}
	_, rest := atoi(b[1:])
	return int64(n), ok && rest
}
