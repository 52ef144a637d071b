//go:build cgo

package redshift

import "encoding/json"

// isFaultCall recognises SELECT millstream_local.fault('…').
func isFaultCall(nodes []node) bool {
	return len(nodes) == 5 && nodes[0].is("select") && nodes[1].is("millstream_local") && nodes[3].is("fault") && nodes[4].open == '('
}

func faultColumns() []column {
	return []column{textColumn("fault")}
}

// faultCall injects a fault from another process: a JSON object as Fault has it, or refuse or clear.
func (s *session) faultCall(nodes []node) (*result, bool, error) {
	if !isFaultCall(nodes) {
		return nil, false, nil
	}
	if !s.srv.cfg.Faults {
		return nil, true, unsupported("faults unless local.redshift.faults is on")
	}
	if len(nodes[4].kids) != 1 || nodes[4].kids[0].kind != tokString {
		return nil, true, syntaxError("millstream_local.fault takes one literal")
	}
	switch text := nodes[4].kids[0].val; text {
	case "clear":
		s.srv.faults.Clear()
	default:
		var f Fault
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			return nil, true, pgError("22023", "fault: %v", err)
		}
		s.srv.faults.Inject(f)
	}
	return &result{cols: faultColumns(), data: [][]any{{"ok"}}, tag: "SELECT"}, true, nil
}
