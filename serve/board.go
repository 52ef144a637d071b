package serve

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millstream-data/millstream/internal/config"
)

// Board is a file of the boards folder. Its JSON is what the page draws from.
type Board struct {
	Version int              `yaml:"version" json:"-" doc:"1"`
	Title   string           `yaml:"title" json:"title" doc:"shown on top; the file's name if empty"`
	TZ      string           `yaml:"tz" json:"tz" doc:"time zone of all tiles; the metric's first one if empty"`
	Theme   string           `yaml:"theme" json:"theme" doc:"dark, light or auto (the device's)"`
	Locale  string           `yaml:"locale" json:"locale" doc:"how numbers are written, such as de-DE; the device's if empty"`
	Columns int              `yaml:"columns" json:"columns" doc:"of the grid; rows follow from the tiles"`
	Filters map[string]Names `yaml:"filters" json:"-" doc:"values by dimension, for every tile whose metric has the dimension"`
	Tiles   []Tile           `yaml:"tiles" json:"-" doc:"in reading order"`

	metrics func(name string) (subject, bool) // nil: not known yet, so nothing is checked against them
}

// Tile is one question, or several, and a way to draw them. Exactly one of its first four keys is set.
type Tile struct {
	Number string `yaml:"number" json:"-" doc:"metric shown as one big number"`
	Line   string `yaml:"line" json:"-" doc:"metric shown over time"`
	Bar    string `yaml:"bar" json:"-" doc:"metric shown as bars, over time or by a dimension"`
	Table  Names  `yaml:"table" json:"-" doc:"metrics shown as columns, by dimensions"`

	Title      string           `yaml:"title" json:"title" doc:"the metric's title if empty"`
	By         Names            `yaml:"by" json:"by,omitempty" doc:"dimensions to split by"`
	Where      map[string]Names `yaml:"where" json:"-" doc:"values by dimension"`
	Range      string           `yaml:"range" json:"-" doc:"today, yesterday, 7d, 24h, 2026-03-01..2026-03-28"`
	Grain      string           `yaml:"grain" json:"-" doc:"15m, hour or day; of lines and of bars over time"`
	TZ         string           `yaml:"tz" json:"-" doc:"another zone than the board's"`
	Compare    string           `yaml:"compare" json:"-" doc:"none, prev_day, prev_week or prev_year"`
	Limit      int              `yaml:"limit" json:"-" doc:"values that are shown; the others become one"`
	Spark      string           `yaml:"spark" json:"-" doc:"of a number: grain of the small line below it"`
	Goal       Goal             `yaml:"goal" json:"goal" doc:"of a number: what it should reach"`
	Better     string           `yaml:"better" json:"better,omitempty" doc:"higher or lower: which change is a good one"`
	Thresholds []Threshold      `yaml:"thresholds" json:"thresholds,omitempty" doc:"the first that holds gives colour, icon and word"`
	Format     Format           `yaml:"format" json:"format" doc:"how numbers are written"`
	Every      int              `yaml:"every" json:"every,omitempty" doc:"milliseconds between changes of the picture"`
	Size       Size             `yaml:"size" json:"size" doc:"columns x rows, 1x1 to 6x6"`
	Note       string           `yaml:"note" json:"note,omitempty" doc:"a line below"`
}

// Names is a list of words; one word need not stand in brackets.
type Names []string

// UnmarshalText reads a list of one.
func (n *Names) UnmarshalText(b []byte) error {
	*n = Names{string(b)}
	return nil
}

// SetDefaults gives a tile the smallest size.
func (t *Tile) SetDefaults() { t.Size = Size{W: 1, H: 1} }

// Goal is a value to reach and where the way to it began.
type Goal struct {
	Value float64 `yaml:"value" json:"value" doc:"to reach; 0: no goal"`
	From  float64 `yaml:"from" json:"from" doc:"where progress is zero"`
}

// Threshold says what a value means.
type Threshold struct {
	Below *float64 `yaml:"-" json:"below,omitempty" doc:""`
	Above *float64 `yaml:"-" json:"above,omitempty" doc:""`

	BelowText string `yaml:"below" json:"-" doc:"holds for values below this"`
	AboveText string `yaml:"above" json:"-" doc:"holds for values above this"`
	Is        string `yaml:"is" json:"is" doc:"good, warn or bad"`
	Text      string `yaml:"text" json:"text" doc:"a word or two"`
}

// Format says how numbers are written.
type Format struct {
	Decimals string `yaml:"decimals" json:"decimals,omitempty" doc:"digits after the point; the metric's if empty"`
	Compact  bool   `yaml:"compact" json:"compact,omitempty" doc:"12.3K for 12345"`
	Prefix   string `yaml:"prefix" json:"prefix,omitempty" doc:"before the number"`
	Suffix   string `yaml:"suffix" json:"suffix,omitempty" doc:"after the number"`
}

// Size is written columns x rows: 2x1.
type Size struct {
	W int `json:"w"`
	H int `json:"h"`
}

var sizeText = regexp.MustCompile(`^([1-6])x([1-6])$`)

// UnmarshalText reads what MarshalText writes.
func (s *Size) UnmarshalText(b []byte) error {
	m := sizeText.FindSubmatch(b)
	if m == nil {
		return fmt.Errorf("must be columns x rows, 1x1 to 6x6, such as 2x1 (got %q)", b)
	}
	s.W, s.H = int(m[1][0]-'0'), int(m[2][0]-'0')
	return nil
}

func defaultBoard() Board { return Board{Theme: "dark", Columns: 6} }

// kind returns the key that says how the tile is drawn, and its metrics.
func (t Tile) kind() (kind string, metrics []string, n int) {
	for name, m := range map[string]string{"number": t.Number, "line": t.Line, "bar": t.Bar} {
		if m != "" {
			kind, metrics, n = name, []string{m}, n+1
		}
	}
	if len(t.Table) > 0 {
		kind, metrics, n = "table", t.Table, n+1
	}
	return kind, metrics, n
}

// Validate returns every problem, joined, each led by its key path.
func (b *Board) Validate() error {
	errs := []error{
		config.OneOf("theme", b.Theme, "dark", "light", "auto"),
		config.Between("columns", b.Columns, 1, 12),
		config.NotEmptyList("tiles", b.Tiles),
	}
	if b.Version != 1 {
		errs = append(errs, config.Invalid("version", "must be 1 (got %d)", b.Version))
	}
	if b.TZ != "" && checkZoneName(b.TZ) != nil {
		errs = append(errs, config.Invalid("tz", "%q is no IANA time zone; write for example Europe/Berlin", b.TZ))
	}
	for i := range b.Tiles {
		errs = append(errs, b.checkTile(i)...)
	}
	return errors.Join(errs...)
}

func (b *Board) checkTile(i int) (errs []error) {
	t := &b.Tiles[i]
	path := fmt.Sprintf("tiles[%d]", i)
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.Invalid(strings.TrimSuffix(path+"."+key, "."), format, args...))
	}
	kind, metrics, n := t.kind()
	if n != 1 {
		bad("", "must have exactly one of number, line, bar, table, with a metric's name (has %d)", n)
		return errs
	}
	if t.Size.W > b.Columns {
		bad("size", "is %d columns wide; the board has %d", t.Size.W, b.Columns)
	}
	if kind != "number" && (t.Goal != Goal{} || t.Spark != "") {
		bad("", "only a number has a goal and a spark")
	}
	if t.Goal.Value != 0 && t.Goal.Value == t.Goal.From {
		bad("goal", "value and from must differ")
	}
	if kind == "table" && len(t.By) == 0 {
		bad("by", "a table needs the dimension that its rows stand for")
	}
	if kind == "number" && len(t.By) > 0 {
		bad("by", "a number is not split; use a bar or a table")
	}
	if kind == "bar" && (len(t.By) == 0) == (t.Grain == "") {
		bad("", "a bar needs either by (bars for values) or grain (bars over time)")
	}
	if kind == "table" && t.Grain != "" {
		bad("grain", "a table shows totals; use a line for values over time")
	}
	for _, w := range []struct {
		key, is string
		allowed []string
	}{{"better", t.Better, []string{"higher", "lower"}}, {"spark", t.Spark, []string{grain15m, grainHour, grainDay}}} {
		if w.is != "" && !slices.Contains(w.allowed, w.is) {
			bad(w.key, "must be one of %s (got %q)", strings.Join(w.allowed, ", "), w.is)
		}
	}
	if d := t.Format.Decimals; d != "" && (len(d) != 1 || d[0] < '0' || d[0] > '9') {
		bad("format.decimals", "must be 0 to 9 (got %q)", d)
	}
	for j := range t.Thresholds {
		if err := t.Thresholds[j].parse(fmt.Sprintf("%s.thresholds[%d]", path, j)); err != nil {
			errs = append(errs, err)
		}
	}
	return append(errs, b.checkQuestions(*t, path, kind, metrics)...)
}

func (t *Threshold) parse(path string) error {
	if (t.BelowText == "") == (t.AboveText == "") {
		return config.Invalid(path, "must have either below or above")
	}
	if !slices.Contains([]string{"good", "warn", "bad"}, t.Is) {
		return config.Invalid(path+".is", "must be one of good, warn, bad (got %q)", t.Is)
	}
	v, err := strconv.ParseFloat(t.BelowText+t.AboveText, 64)
	if err != nil {
		return config.Invalid(path, "below and above are numbers (got %q)", t.BelowText+t.AboveText)
	}
	if t.Below, t.Above = &v, nil; t.BelowText == "" {
		t.Below, t.Above = nil, &v
	}
	return nil
}

// checkQuestions asks the definitions in force about what the tile names.
func (b *Board) checkQuestions(t Tile, path, kind string, names []string) (errs []error) {
	for j, name := range names {
		key := path + "." + kind
		if kind == "table" {
			key += fmt.Sprintf("[%d]", j)
		}
		sub := subject{name: name, ver: 1, dims: t.By, zones: []string{"UTC"}, fine: true} // while nothing is known
		for d := range t.Where {
			sub.dims = append(slices.Clone(sub.dims), d)
		}
		if b.metrics != nil {
			var ok bool
			if sub, ok = b.metrics(name); !ok {
				errs = append(errs, config.Invalid(key, "there is no metric %q", name))
				continue
			}
		}
		if _, err := b.question(t, name, sub.dims).canonical(sub); err != nil {
			f := asFault(err)
			if f.Field != "" && f.Field != "metric" {
				key = path + "." + f.Field
			}
			errs = append(errs, config.Invalid(key, "%s", f.Message))
		}
	}
	return errs
}

// question returns what a tile asks about a metric that has dims.
func (b *Board) question(t Tile, name string, dims []string) Question {
	q := Question{
		Metric: name, By: t.By, Range: t.Range, Grain: t.Grain, TZ: orElse(t.TZ, b.TZ), Compare: t.Compare, Limit: t.Limit,
		Where: map[string]Filter{},
	}
	if kind, _, _ := t.kind(); kind == "line" && q.Grain == "" {
		q.Grain = grain15m
	}
	for d, values := range b.Filters {
		if slices.Contains(dims, d) {
			q.Where[d] = Filter{In: values}
		}
	}
	for d, values := range t.Where {
		f := Filter{In: values}
		if had, ok := q.Where[d]; ok {
			f = had.and(f)
		}
		q.Where[d] = f
	}
	return q
}
