package redshift

import (
	"fmt"
	"strings"
)

// wrapsWindow reports whether a function becomes an expression around calls, so that its OVER belongs to each of them.
func wrapsWindow(name string) bool {
	switch name {
	case "ratio_to_report", "sum", "avg", "listagg", "percentile_cont", "percentile_disc":
		return true
	}
	return false
}

// aggregateTranslator covers aggregates and window functions.
func aggregateTranslator(name string) translator {
	switch name {
	case "count":
		return count
	case "sum":
		return sum
	case "avg":
		return average
	case "listagg":
		return listAgg
	case "ratio_to_report":
		return ratioToReport
	case "percentile_cont", "percentile_disc":
		return percentile
	case "stddev":
		return renamed("stddev_samp")
	case "variance":
		return renamed("var_samp")
	}
	return nil
}

// window rewrites the OVER clause of c, empty if it has none.
func (rw *rewriter) window(c call) (string, error) {
	if c.over == nil {
		return "", nil
	}
	if c.over.open == 0 {
		return " OVER " + quoteIdent(c.over.val), nil
	}
	text, err := rw.expr(c.over.kids)
	return " OVER (" + text + ")", err
}

// aggregate writes name(argument) with DISTINCT and OVER, and returns the argument too.
func (rw *rewriter) aggregate(c call, names ...string) (calls []string, arg string, err error) {
	if len(c.args) != 1 || c.approximate {
		return nil, "", wrongArguments(c)
	}
	if arg, err = rw.expr(c.args[0]); err != nil {
		return nil, "", err
	}
	over, err := rw.window(c)
	distinct := ""
	if c.distinct {
		distinct = "DISTINCT "
	}
	if rw.super(c.args[0]) {
		arg = "TRY_CAST(" + arg + " AS DOUBLE)"
	}
	for _, name := range names {
		calls = append(calls, name+"("+distinct+arg+")"+over)
	}
	return calls, arg, err
}

func sum(rw *rewriter, c call) (string, error) {
	calls, arg, err := rw.aggregate(c, "sum")
	if err != nil || rw.env.untyped {
		return strings.Join(calls, ""), err
	}
	return fmt.Sprintf(`"_rt".main.sum_of(%s, %s)`, calls[0], arg), nil
}

func average(rw *rewriter, c call) (string, error) {
	calls, arg, err := rw.aggregate(c, "sum", "count")
	if err != nil {
		return "", err
	}
	if rw.env.untyped {
		return fmt.Sprintf(`"_rt".main.avg_any(%s, %s)`, calls[0], calls[1]), nil
	}
	return fmt.Sprintf(`"_rt".main.avg_of(%s, %s, %s)`, calls[0], calls[1], arg), nil
}

func count(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	if len(args) != 1 {
		return "", wrongArguments(c)
	}
	if c.approximate && c.distinct {
		return "approx_count_distinct(" + args[0] + ")", nil
	}
	return rw.plain(c, "count", args)
}

// listAgg keeps DISTINCT and its order together: DuckDB orders distinct values by themselves only.
func listAgg(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	if len(args) == 1 {
		args = append(args, "''")
	}
	if len(args) != 2 || c.approximate {
		return "", wrongArguments(c)
	}
	order := ""
	if c.within != nil {
		if order, err = rw.expr(c.within); err != nil {
			return "", err
		}
		order = " " + order
	}
	value, distinct := `"_rs".text_of(`+args[0]+")", ""
	if c.distinct {
		distinct = "DISTINCT "
		order = strings.Replace(order, args[0], value, 1)
	}
	over, err := rw.window(c)
	return fmt.Sprintf(`"_rt".main.listagg(string_agg(%s%s, %s%s)%s)`, distinct, value, args[1], order, over), err
}

func ratioToReport(rw *rewriter, c call) (string, error) {
	if c.over == nil {
		return "", syntaxError("RATIO_TO_REPORT needs one argument and OVER")
	}
	calls, arg, err := rw.aggregate(c, "sum")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("(CAST(%s AS DOUBLE) / nullif(%s, 0))", arg, calls[0]), nil
}

// percentile is PERCENTILE_CONT and PERCENTILE_DISC, approximate ones exact.
func percentile(rw *rewriter, c call) (string, error) {
	if len(c.args) != 1 || len(c.within) < 3 || !c.within[0].is("order") || !c.within[1].is("by") {
		return "", syntaxError(c.name + " needs one argument and WITHIN GROUP (ORDER BY …)")
	}
	share, err := rw.expr(c.args[0])
	if err != nil {
		return "", err
	}
	key := c.within[2:]
	last := key[len(key)-1]
	if last.is("asc", "desc") {
		key = key[:len(key)-1]
	}
	value, err := rw.expr(key)
	if err != nil {
		return "", err
	}
	if last.is("desc") {
		share = "CAST(1 - (" + share + ") AS DOUBLE)"
	}
	over, err := rw.window(c)
	name := "quantile_cont"
	if c.name == "percentile_disc" {
		name = "quantile_disc"
	}
	return fmt.Sprintf("%s(%s, %s)%s", name, value, share, over), err
}
