package status

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// width is that of a terminal in which the page is to be readable.
	width = 100
	// shown is how many lines of a list are enough, unless all are asked for.
	shown = 20
	// nameWidth is how long a target may be before it gets a line of its own.
	nameWidth = 34
)

// Options say what Write shows.
type Options struct {
	All    bool   // of each list everything
	Target string // only what concerns this target; empty: all
}

// Write prints r for a terminal of 100 columns. Commands that mend are not
// broken, so that they can be copied.
func (r Report) Write(w io.Writer, o Options) error {
	p := &page{o: o, now: r.At}
	if o.Target != "" {
		r = r.only(o.Target)
	}
	p.head(r)
	p.held(r)
	p.gaps(r)
	p.targets(r)
	p.maintenance(r.Maintenance)
	p.models(r.Models)
	p.rest(r)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// page is what is being written.
type page struct {
	b   strings.Builder
	o   Options
	now time.Time
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// title begins a part, with how much of it there is.
func (p *page) title(format string, args ...any) { p.b.WriteByte('\n'); p.line(format, args...) }

// few cuts a list to what is shown, and says how much that is.
func few[T any](p *page, list []T) ([]T, string) {
	if p.o.All || p.o.Target != "" || len(list) <= shown {
		return list, ""
	}
	return list[:shown], fmt.Sprintf(" (%d of %s; --all shows the rest)", shown, grouped(int64(len(list))))
}

func (p *page) head(r Report) {
	held, files, waiting := 0, 0, 0
	for _, h := range r.Held {
		switch h.Kind {
		case HeldTarget:
			held++
		case HeldFile:
			files++
		}
	}
	var rows int64
	for _, t := range r.Targets {
		if t.DueRows > 0 {
			waiting++
			rows += t.DueRows
		}
	}
	p.line("%s: %s, %s and %s held, %s with a gap.", r.At.Format("2006-01-02 15:04:05 UTC"), plural(len(r.Targets), "target"), plural(held, "target"), plural(files, "file"), plural(len(r.Gaps), "chain"))
	if waiting > 0 {
		p.line("%s to be loaded into %s.", plural(int(rows), "row"), plural(waiting, "target"))
	} else if len(r.Targets) > 0 {
		p.line("Everything that is in the lake is loaded.")
	}
	if len(r.Targets) == 0 && p.o.Target == "" {
		p.line("No target yet: the loader makes one when the lake has its first file.")
	}
}

func (p *page) held(r Report) {
	if len(r.Held) == 0 {
		return
	}
	list, cut := few(p, r.Held)
	p.title("HELD%s", cut)
	for _, h := range list {
		since := fmt.Sprintf("since %s ago", span(p.now.Sub(h.Since)))
		switch h.Kind {
		case HeldTarget:
			p.line("  %s, the whole target, %s, tried %s; %s", h.Target, since, plural(h.Attempts, "time"), waitFor(h.Rows))
		case HeldFile:
			p.line("  %s, one file, %s, tried %s", h.Target, since, plural(h.Attempts, "time"))
			p.line("    %s", h.File)
		case HeldSkipped:
			p.line("  %s, one file that was given up %s ago", h.Target, span(p.now.Sub(h.Since)))
			p.line("    %s", h.File)
		case HeldBlocked:
			p.line("  %s, put off %s", h.Target, since)
		}
		p.wrap("    why:  ", h.Words)
		if h.Said != "" {
			p.wrap("    said: ", h.Said)
		}
		p.wrap("    mend: ", h.Mend)
	}
}

func waitFor(rows int64) string {
	if rows == 0 {
		return "no rows wait"
	}
	return plural(int(rows), "row") + " wait"
}

func (p *page) gaps(r Report) {
	if len(r.Gaps) == 0 {
		return
	}
	list, cut := few(p, r.Gaps)
	p.title("CHAINS WITH A GAP%s", cut)
	for _, g := range list {
		p.line("  %s", g.Chain)
		p.wrap("    why:  ", "a commit is missing in S3 or cannot be read; nothing behind it is loaded, and nothing is skipped")
		p.wrap("    said: ", g.Says)
		p.wrap("    mend: ", "restore the object from the bucket's versions; millstream verify --chain names every gap")
	}
}

func (p *page) targets(r Report) {
	if len(r.Targets) == 0 {
		return
	}
	list, cut := few(p, r.Targets)
	p.title("TARGETS, worst first%s", cut)
	p.line("%-*s %14s %5s %5s %5s %4s %5s %13s %6s", nameWidth+1, "  target", "loaded through", "age", "rows", "MB", "skew", "unso.", "last load", "due")
	for _, t := range list {
		name := "  " + t.Target
		if t.Held != "" {
			name = "! " + t.Target
		}
		if len(name) > nameWidth {
			p.line("%s", name)
			name = ""
		}
		last := "never"
		if t.LastLoadAt != nil {
			last = fmt.Sprintf("%s, %.1f s", short(p.now.Sub(*t.LastLoadAt)), t.LastLoadSeconds)
		}
		p.line("%-*s %14s %5s %5s %5s %4s %5s %13s %6s", nameWidth+1, name, through(t.LoadedThrough), age(t), amount(t.Rows), amount(t.MB), ratio(t.Skew), percent(t.Unsorted), last, dueText(t))
		if t.CompleteThrough != nil && (p.o.Target != "" || t.LoadedThrough == nil) {
			p.line("  %*s complete through %s", nameWidth, "", through(t.CompleteThrough))
		}
	}
	if p.o.Target != "" && len(list) == 1 && list[0].DueFiles > 0 {
		p.line("  %s of %s wait, the oldest for %s", plural(int(list[0].DueRows), "row"), plural(list[0].DueFiles, "file"), span(time.Duration(list[0].DueSeconds)*time.Second))
	}
}

func (p *page) maintenance(m Maintenance) {
	switch {
	case !m.Enabled:
		p.title("MAINTENANCE is switched off (loader.maintenance.enabled)")
	case m.Open:
		p.title("MAINTENANCE, %s, which is now", m.Window)
	default:
		p.title("MAINTENANCE, %s, next in %s", m.Window, span(m.Next.Sub(p.now)))
	}
	done, cut := few(p, m.Done)
	if len(done) > 0 {
		p.line("  done in the last 7 days%s", cut)
	}
	for _, d := range done {
		what := fmt.Sprintf("%s %s: %s", d.Act, d.Target, d.Reason)
		if change := strings.Trim(d.Before+" → "+d.After, " →"); change != "" && d.Error == "" {
			what += "; " + arrow(d.Before, d.After)
		}
		if d.Error != "" {
			what += "; NOT DONE: " + d.Error
		}
		p.wrap(fmt.Sprintf("    %6s ago  ", short(p.now.Sub(d.At))), fmt.Sprintf("%s (%.0f s)", what, d.Seconds))
	}
	planned, cut := few(p, m.Planned)
	if len(planned) > 0 {
		p.line("  planned%s", cut)
	}
	for _, d := range planned {
		p.wrap("    ", fmt.Sprintf("%s %s: %s", d.Act, d.Target, d.Reason))
	}
}

func arrow(before, after string) string {
	if before == "" || before == after {
		return after
	}
	return before + " → " + after
}

func (p *page) models(models []Model) {
	if len(models) == 0 {
		return
	}
	models = slices.Clone(models)
	slices.SortStableFunc(models, func(a, b Model) int { return bad(b) - bad(a) })
	list, cut := few(p, models)
	p.title("MODELS%s", cut)
	for _, m := range list {
		switch {
		case m.BuiltAt == nil:
			p.line("  %s: never built", m.Model)
		case m.Warnings > 0:
			p.line("  %s: built %s ago in %.1f s, %s; %s warned", m.Model, span(p.now.Sub(*m.BuiltAt)), m.Seconds, plural(int(m.Rows), "row"), plural(m.Warnings, "test"))
		default:
			p.line("  %s: built %s ago in %.1f s, %s", m.Model, span(p.now.Sub(*m.BuiltAt)), m.Seconds, plural(int(m.Rows), "row"))
		}
		if m.Error != "" {
			p.wrap("    failed: ", m.Error)
		}
	}
}

// bad ranks models: those that fail first, then those that warn.
func bad(m Model) int {
	switch {
	case m.Error != "":
		return 2
	case m.Warnings > 0:
		return 1
	}
	return 0
}

func (p *page) rest(r Report) {
	if len(r.Retired) > 0 {
		list, cut := few(p, r.Retired)
		p.title("COLUMNS that the origin has no more%s; yours to drop", cut)
		for _, t := range list {
			p.wrap("  "+t.Target+": ", strings.Join(t.Columns, ", "))
		}
	}
	if len(r.Views) > 0 {
		list, cut := few(p, r.Views)
		p.title("VIEWS bound to a mirror%s; a full refresh cannot swap it under them", cut)
		for _, v := range list {
			p.wrap("  "+v.View+" over "+v.Target+": ", "create it anew WITH NO SCHEMA BINDING")
		}
	}
	if len(r.Miscounted) > 0 {
		p.title("MIRRORS whose last refresh brought other rows than cdc counted; the table before it stays")
		p.wrap("  ", strings.Join(r.Miscounted, ", "))
	}
	if len(r.Unread) > 0 {
		p.title("NOT READ")
		for _, u := range r.Unread {
			p.wrap("  ", u)
		}
	}
}

// wrap breaks text between words at the width of the page. What follows "mend:
// …: " as a command is longer than a line only where its names are.
func (p *page) wrap(lead, text string) {
	indent := strings.Repeat(" ", len([]rune(lead)))
	line := lead
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && len([]rune(line))+1+len([]rune(word)) > width {
			p.line("%s", line)
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	p.line("%s", line)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(int64(n)) + " " + noun + "s"
}

// grouped is n with commas between thousands.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// amount is n in at most five signs.
func amount(n int64) string {
	switch {
	case n < 0:
		return "?"
	case n < 100_000:
		return strconv.FormatInt(n, 10)
	case n < 10_000_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	case n < 10_000_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	}
	return fmt.Sprintf("%dG", n/1_000_000_000)
}

func ratio(f float64) string {
	if f < 0 {
		return "?"
	}
	return fmt.Sprintf("%.1f", f)
}

func percent(f float64) string {
	if f < 0 {
		return "?"
	}
	return fmt.Sprintf("%.0f%%", f)
}

func through(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format("01-02 15:04:05")
}

func age(t Target) string {
	if t.LoadedThrough == nil {
		return "-"
	}
	return short(time.Duration(t.AgeSeconds) * time.Second)
}

func dueText(t Target) string {
	if t.DueAtLeast {
		return ">" + amount(t.DueRows)
	}
	return amount(t.DueRows)
}

// short is a time in at most five signs.
func short(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 99*time.Minute:
		return fmt.Sprintf("%dmin", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// span is short in words.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
