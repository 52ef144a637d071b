package upload

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// maxRecord bounds a record: a quote that is never closed would else swallow
// the file, and Redshift takes rows of 4 MB.
const maxRecord = 16 << 20

// source is a CSV file that can be read twice.
type source struct {
	path  string
	gzip  bool
	info  os.FileInfo // of the file as it lies on disk; both passes must find it so
	limit int64       // of what is read, unpacked
	comma rune
}

// LineError is something wrong in a line of the file, counted from 1.
type LineError struct {
	Line int64
	Text string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// openSource looks at the beginning of the file at path. comma 0 is guessed.
func openSource(path string, comma rune, limit int64) (*source, error) {
	s := &source{path: path, comma: comma, limit: limit}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: name a CSV file", path)
	}
	if s.info = info; info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes: uploads.max_bytes is %d; split the file and upload the parts with --append", path, info.Size(), limit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	head := make([]byte, 2)
	n, _ := io.ReadFull(f, head) // a shorter file is no gzip
	s.gzip = n == 2 && head[0] == 0x1f && head[1] == 0x8b
	r, err := s.open(nil)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // the same
	return s, s.look(r.r)
}

// look refuses what is no UTF-8 CSV, and guesses the delimiter.
func (s *source) look(r *bufio.Reader) error {
	head, err := r.Peek(64 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	switch {
	case len(bytes.TrimSpace(head)) == 0:
		return fmt.Errorf("%s is empty: its first line must hold the names of the columns", s.path)
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return fmt.Errorf("%s is UTF-16: save it as \"CSV UTF-8\"", s.path)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return fmt.Errorf("%s is a workbook or zip archive: export the sheet as CSV", s.path)
	case bytes.HasPrefix(head, []byte("PAR1")):
		return fmt.Errorf("%s is Parquet: upload takes CSV", s.path)
	}
	if bareCR(head) {
		return &LineError{1, "ends with CR alone, as old spreadsheets on the Mac write it: save the file with line ends of LF or CRLF"}
	}
	if s.comma == 0 {
		s.comma = guess(head)
	}
	return nil
}

// bareCR says that the header ends with CR and not with LF or CRLF: all lines
// would be one header.
func bareCR(head []byte) bool {
	quoted := false
	for i, c := range head {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\n' && !quoted:
			return false
		case c == '\r' && !quoted && i+1 < len(head) && head[i+1] != '\n':
			return true
		}
	}
	return false
}

// guess returns the delimiter that the first line has most often outside of
// quotes.
func guess(head []byte) rune {
	counts, quoted := map[byte]int{}, false
	for _, c := range head {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if !quoted {
			counts[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte(";\t|") {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return rune(best)
}

// opened is the file being read, unpacked and without its byte order mark.
type opened struct {
	r      *bufio.Reader
	close  []io.Closer
	record int64 // bytes read since the record began
	total  int64
	limit  int64
}

func (o *opened) Close() error {
	var errs []error
	for _, c := range o.close {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

var (
	errRecord = errors.New("record too large")
	errLimit  = errors.New("file too large")
)

// counter counts what its reader gives and stops it at the bounds.
type counter struct {
	*opened
	from io.Reader
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.record += int64(n)
	c.total += int64(n)
	switch {
	case c.total > c.limit:
		return n, errLimit
	case c.record > maxRecord:
		return n, errRecord
	}
	return n, err
}

// open opens the file; progress, if not nil, is told the bytes read from disk.
func (s *source) open(progress func(int64)) (*opened, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	o := &opened{close: []io.Closer{f}, limit: s.limit}
	var r io.Reader = bufio.NewReaderSize(&ticker{r: f, told: progress}, 256<<10)
	if s.gzip {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("unpack %s: %w", s.path, err), f.Close())
		}
		o.close = append(o.close, z)
		r = z
	}
	o.r = bufio.NewReaderSize(counter{o, r}, 64<<10)
	if mark, _ := o.r.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = o.r.Discard(3) // they are there
	}
	return o, nil
}

// ticker tells how far its reader is.
type ticker struct {
	r    io.Reader
	n    int64
	told func(int64)
}

func (t *ticker) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	if t.told != nil {
		t.told(t.n)
	}
	return n, err
}

// rows reads the records of the file. The header comes first. row gets the line
// at which a record begins, and fields that are the reader's.
func (s *source) rows(progress func(int64), row func(line int64, fields []string) error) (err error) {
	o, err := s.open(progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	r := csv.NewReader(o.r)
	r.Comma, r.ReuseRecord = s.comma, true
	width, after := 0, int64(1)
	for {
		o.record = 0
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return s.same()
		}
		if err != nil {
			return s.fault(err, fields, width, after)
		}
		at, _ := r.FieldPos(0)
		line := int64(at)
		if width == 0 {
			width, after = len(fields), line
		}
		for i, f := range fields {
			if why := unfit(f); why != "" {
				_, column := r.FieldPos(i)
				return &LineError{line, fmt.Sprintf("field %d (character %d) %s", i+1, column, why)}
			}
		}
		for ; width == 1 && after < line; after++ { // of one column, an empty line is an empty field
			if err := row(after, []string{""}); err != nil {
				return err
			}
		}
		if err := row(line, fields); err != nil {
			return err
		}
		end, _ := r.FieldPos(len(fields) - 1)
		after = int64(end+strings.Count(fields[len(fields)-1], "\n")) + 1
	}
}

// errChanged says that the two passes do not read the same file.
var errChanged = errors.New("the file was changed while it was read: nothing was loaded; run the upload again")

// same returns errChanged if the file is another one than openSource has found.
func (s *source) same() error {
	now, err := os.Stat(s.path)
	if err == nil && (!os.SameFile(s.info, now) || now.Size() != s.info.Size() || !now.ModTime().Equal(s.info.ModTime())) {
		err = errChanged
	}
	return err
}

// unfit says why a field cannot be text of a table.
func unfit(field string) string {
	if strings.IndexByte(field, 0) >= 0 {
		return "holds a NUL, which no table takes: is this a text file?"
	}
	if !utf8.ValidString(field) {
		return "is not UTF-8: save the file as UTF-8, for example by iconv -f WINDOWS-1252 -t UTF-8"
	}
	return ""
}

// fault says in which line reading ended, and what to do. after is the line
// behind the last good record.
func (s *source) fault(err error, fields []string, width int, after int64) error {
	switch {
	case errors.Is(err, errRecord):
		return &LineError{after, fmt.Sprintf("the record that begins here has more than %d MiB: is a quote not closed?", maxRecord>>20)}
	case errors.Is(err, errLimit):
		return fmt.Errorf("%s has more than %d bytes: that is uploads.max_bytes; split it and upload the parts with --append", s.path, s.limit)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
		return &LineError{after, "the packed file is damaged from here on: " + err.Error()}
	}
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	line := int64(parse.StartLine)
	switch {
	case errors.Is(err, csv.ErrFieldCount):
		return &LineError{line, fmt.Sprintf("fields: %d, in the header: %d; put fields that hold %q into double quotes, or name the delimiter by --delimiter", len(fields), width, s.comma)}
	case errors.Is(err, csv.ErrQuote) && parse.Line > parse.StartLine:
		return &LineError{line, fmt.Sprintf("a quote that opens in this record is not closed where it should be (line %d): within quotes, write a quote twice", parse.Line)}
	case errors.Is(err, csv.ErrQuote), errors.Is(err, csv.ErrBareQuote):
		return &LineError{line, fmt.Sprintf("a quote stands within a field (character %d): put the field into quotes and write the quote twice", parse.Column)}
	}
	return &LineError{line, parse.Err.Error()}
}
