package redshift

import (
	"math/big"
	"slices"
	"strings"
)

// numberFormat is a pattern of TO_CHAR or TO_NUMBER for numbers, taken apart.
type numberFormat struct {
	parts    []string // of the whole part: digits 9 and 0, separators, literals, in order
	fraction int
	zeros    int // digits of the whole part from the first 0 on
	digits   int // of the whole part
	point    bool
	fill     bool
	sign     string // S, MI, PL, SG, PR or empty
	leading  bool   // the sign stands before the digits
	currency bool
	zeroFrac int // digits behind the point up to the last 0
}

// readNumberFormat reads a pattern: 9 0 . D , G FM S MI PL SG PR L $.
func readNumberFormat(pattern string) (numberFormat, error) {
	f := numberFormat{}
	for rest := strings.ToUpper(pattern); rest != ""; {
		two := rest[:min(2, len(rest))]
		switch {
		case two == "FM":
			f.fill = true
			rest = rest[2:]
			continue
		case two == "MI", two == "PL", two == "SG", two == "PR":
			f.sign, f.leading = two, f.digits+f.fraction == 0
			rest = rest[2:]
			continue
		case rest[0] == 'S':
			f.sign, f.leading = "S", f.digits+f.fraction == 0
		case rest[0] == '.' || rest[0] == 'D':
			f.point = true
		case rest[0] == ',' || rest[0] == 'G':
			f.parts = append(f.parts, ",")
		case rest[0] == '$' || rest[0] == 'L':
			f.currency = true
		case rest[0] == '9' || rest[0] == '0':
			f.digit(rest[0] == '0')
		case rest[0] == ' ':
			f.parts = append(f.parts, " ")
		default:
			return f, pgError("0A000", "the local Redshift does not support %q in the number format %q", rest[:1], pattern)
		}
		rest = rest[1:]
	}
	return f, nil
}

func (f *numberFormat) digit(zero bool) {
	if f.point {
		f.fraction++
		if zero {
			f.zeroFrac = f.fraction
		}
		return
	}
	f.parts = append(f.parts, "9")
	f.digits++
	if zero || f.zeros > 0 {
		f.zeros++
	}
}

// formatNumber is TO_CHAR of a number, given as decimal text.
func formatNumber(text, pattern string) (string, error) {
	f, err := readNumberFormat(pattern)
	if err != nil {
		return "", err
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return "", pgError("22P02", "invalid input syntax for type numeric: %q", text)
	}
	negative := n.Sign() < 0
	whole, fraction, _ := strings.Cut(new(big.Rat).Abs(n).FloatString(f.fraction), ".")
	if strings.Trim(whole+fraction, "0") == "" {
		negative = false
	}
	if whole == "0" && f.fraction > 0 && f.zeros == 0 {
		whole = ""
	}
	if len(whole) > f.digits {
		whole, fraction = strings.Repeat("#", f.digits), strings.Repeat("#", f.fraction)
	}
	body := f.whole(whole)
	if f.point {
		if f.fill {
			fraction = fraction[:f.zeroFrac] + strings.TrimRight(fraction[f.zeroFrac:], "0")
		}
		body += "." + fraction
	}
	return f.signed(body, negative), nil
}

// whole lays digits into the pattern from the right; what is left over is blank or, from the first 0 on, zero.
func (f numberFormat) whole(digits string) string {
	out := make([]byte, 0, len(f.parts))
	left, places := len(digits), 0
	for _, part := range slices.Backward(f.parts) {
		switch {
		case part == "9" && left > 0:
			left--
			out = append(out, digits[left])
			places++
		case part == "9" && places < f.zeros:
			out = append(out, '0')
			places++
		case part == "9":
			out = append(out, ' ')
		case left > 0 || places < f.zeros:
			out = append(out, part[0])
		default:
			out = append(out, ' ')
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}

// signed puts the sign and the currency where the pattern has them; without a pattern it stands at the first digit.
func (f numberFormat) signed(body string, negative bool) string {
	blanks := len(body) - len(strings.TrimLeft(body, " "))
	pad, digits := body[:blanks], body[blanks:]
	if f.currency {
		digits = "$" + digits
	}
	plus, minus := " ", "-"
	switch f.sign {
	case "S", "SG":
		plus = "+"
	case "PL":
		plus, minus = "+", " "
	}
	sign := plus
	if negative {
		sign = minus
	}
	var out string
	switch {
	case f.sign == "PR" && negative:
		out = pad + "<" + digits + ">"
	case f.sign == "PR":
		out = pad + " " + digits + " "
	case f.sign != "" && !f.leading:
		out = pad + digits + sign
	case f.sign == "MI" || f.sign == "SG" || f.sign == "PL":
		out = sign + pad + digits
	default:
		out = pad + sign + digits
	}
	if f.fill {
		out = strings.TrimSpace(out)
	}
	return out
}

// parseNumber is TO_NUMBER: the digits of text, its sign wherever it stands.
func parseNumber(text, pattern string) (string, error) {
	f, err := readNumberFormat(pattern)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	negative := strings.Contains(text, "-") || strings.Contains(text, "<")
	for _, r := range text {
		if r >= '0' && r <= '9' || r == '.' && f.point {
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return "", pgError("22P02", "invalid input syntax for type numeric: %q", text)
	}
	if negative {
		return "-" + b.String(), nil
	}
	return b.String(), nil
}
