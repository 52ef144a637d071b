package upload

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// maxColumns is what Redshift takes.
const maxColumns = 1600

// maxPlaces is how many decimal places a decimal is made for; numbers with more
// become floats.
const maxPlaces = 9

// Column is a column of the file.
type Column struct {
	Header  string // as the file has it
	Name    string // as the table has it
	Type    wire.LakeType
	Longest int // bytes of the longest text
	Nulls   int64
	Note    string // why a column of numbers became text

	declared bool
	counts   [forms]int64
	most     number
	odd      string // the first value that is text
	oddLine  int64
}

// Table is what the first pass finds.
type Table struct {
	Columns []*Column
	Rows    int64
}

// scan reads the whole file and finds names and types.
func scan(s *source, o Options, progress func(int64)) (*Table, error) {
	t := &Table{}
	nulls := o.nulls()
	err := s.rows(progress, func(line int64, fields []string) (err error) {
		if t.Columns == nil {
			t.Columns, err = header(fields, o.Types)
			return err
		}
		t.Rows++
		for i, f := range fields {
			if slices.Contains(nulls, f) {
				t.Columns[i].Nulls++
				continue
			}
			t.Columns[i].observe(f, line)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, c := range t.Columns {
		if !c.declared {
			c.decide()
		}
	}
	return t, nil
}

// header makes columns of the names in the first line.
func header(fields []string, types map[string]wire.LakeType) ([]*Column, error) {
	if len(fields) > maxColumns {
		return nil, &LineError{1, fmt.Sprintf("has %d columns: Redshift takes %d; is the delimiter right?", len(fields), maxColumns)}
	}
	names, first := lake.NewNamer(), map[string]int{}
	out := make([]*Column, len(fields))
	data, used := true, map[string]bool{}
	var errs []error
	for i, f := range fields {
		f = strings.TrimSpace(f)
		if form, _ := classify(f); form == formText && f != "" {
			data = false
		}
		if f == "" {
			errs = append(errs, &LineError{1, fmt.Sprintf("column %d has no name: the first line holds the names of the columns", i+1)})
			continue
		}
		c := &Column{Header: f, Name: names.Name(f)}
		if twin, taken := first[c.Name]; taken {
			errs = append(errs, &LineError{1, fmt.Sprintf("columns %d (%s) and %d (%s) would both be %s: rename one", twin+1, fields[twin], i+1, f, c.Name)})
		} else {
			first[c.Name] = i
		}
		for _, key := range []string{c.Name, f} {
			if typ, ok := types[key]; ok {
				c.Type, c.declared, used[key] = typ, true, true
			}
		}
		out[i] = c
	}
	if data {
		return nil, &LineError{1, fmt.Sprintf("begins with %s, which is data: the first line must hold the names of the columns", quote(fields[0]))}
	}
	for key := range types {
		if !used[key] {
			errs = append(errs, fmt.Errorf("--type %s: the file has no such column%s", key, didYouMean(key, fields)))
		}
	}
	return out, errors.Join(errs...)
}

func didYouMean(word string, known []string) string {
	if best := config.Nearest(word, known); best != "" {
		return "; did you mean " + best + "?"
	}
	return "; it has " + strings.Join(known[:min(len(known), 20)], ", ")
}

// observe takes note of a value.
func (c *Column) observe(v string, line int64) {
	c.Longest = max(c.Longest, len(v))
	if c.declared {
		return
	}
	f, n := classify(v)
	c.counts[f]++
	if f == formText && c.oddLine == 0 {
		c.odd, c.oddLine = quote(v), line
	}
	c.most.digits, c.most.places = max(c.most.digits, n.digits), max(c.most.places, n.places)
}

// noNumber is how programs write what is no number, quoted.
var noNumber = regexp.MustCompile(`(?i)^"[-+]?(nan|inf|infinity)"$`)

// decimalComma is how much of Europe writes a fraction.
var decimalComma = regexp.MustCompile(`^"-?[0-9][0-9. ]*,[0-9]+"$`)

// decide finds the type that holds every value without changing it; a fraction
// of more than maxPlaces is the exception, and becomes a float.
func (c *Column) decide() {
	var all int64
	for _, n := range c.counts {
		all += n
	}
	numbers := c.counts[formInt] + c.counts[formDecimal] + c.counts[formFloat]
	times := c.counts[formDate] + c.counts[formTimestamp]
	c.Type = wire.String
	switch {
	case all == 0:
	case c.counts[formBool] == all:
		c.Type = wire.Bool
	case c.counts[formInt] == all:
		c.Type = wire.Int64
	case numbers == all:
		c.Type = c.decideNumber()
	case c.counts[formDate] == all:
		c.Type = wire.Date
	case times == all:
		c.Type = wire.Timestamp
	case numbers > 0 && noNumber.MatchString(c.odd):
		c.Note = fmt.Sprintf("text because of %s in line %d: --null %s makes it null", c.odd, c.oddLine, strings.Trim(c.odd, `"`))
	case decimalComma.MatchString(c.odd):
		c.Note = fmt.Sprintf("text because of the decimal comma of %s in line %d: write numbers with a point", c.odd, c.oddLine)
	case c.oddLine > 0 && 2*(numbers+times) >= all:
		c.Note = fmt.Sprintf("text because of %s in line %d", c.odd, c.oddLine)
	}
}

func (c *Column) decideNumber() wire.LakeType {
	switch {
	case c.counts[formFloat] == 0 && c.most.places <= maxPlaces && c.most.digits+c.most.places <= 38:
		return wire.Decimal(38, c.most.places)
	case c.counts[formFloat] == 0 && c.most.places <= maxPlaces: // a float would lose some digits
		c.Note = fmt.Sprintf("text because NUMERIC takes 38 digits, and its numbers have up to %d before the point and %d behind", c.most.digits, c.most.places)
		return wire.String
	}
	return wire.Float64
}
