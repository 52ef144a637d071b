package ingest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
)

// privacy is the rules of a source, compiled; nil if it has none.
type privacy struct {
	all     *ruleset            // whatever they are narrowed to: for events of which nobody can tell the type
	types   [6]*ruleset         // by place in event.Types
	calls   map[string]*ruleset // track calls that a rule names
	unnamed *ruleset            // track calls of which nobody can tell the name
}

// ruleset is the rules that hold for an event. Events for which the same rules hold share one.
type ruleset struct {
	root         *pathNode
	context      []*pathNode // of the batch's members
	integrations []*pathNode
	fill         [3]*pathNode // of what the request itself says: context.ip, context.userAgent, context.locale; nil: nothing
}

// compiledRule is a rule with its path.
type compiledRule struct {
	steps  []pathStep
	action action
	types  []event.Type
	events []string
}

// holds says whether a rule holds for events of a type, or for those of a name.
func (r *compiledRule) holds(t event.Type, name string) bool {
	return (len(r.types) == 0 || slices.Contains(r.types, t)) &&
		(len(r.events) == 0 || t == event.Track && slices.Contains(r.events, name))
}

// newPrivacy compiles the rules of s, whose key is path. Errors are led by their keys.
func newPrivacy(path string, s Source, hashKey config.Secret) (*privacy, error) {
	var errs []error
	var rules []compiledRule
	for i, r := range s.Privacy {
		c, err := r.compile(fmt.Sprintf("%s.privacy[%d]", path, i), hashKey)
		rules, errs = append(rules, c), append(errs, err)
	}
	policy, err := s.IP.compile(path+".ip", hashKey)
	if err = errors.Join(append(errs, err)...); err != nil || len(rules) == 0 && policy == actNone {
		return nil, err
	}
	var known []*ruleset
	var masks [][]bool
	share := func(on func(*compiledRule) bool) *ruleset {
		mask := make([]bool, len(rules))
		for i := range rules {
			mask[i] = on(&rules[i])
		}
		if i := slices.IndexFunc(masks, func(other []bool) bool { return slices.Equal(other, mask) }); i >= 0 {
			return known[i]
		}
		known, masks = append(known, newRuleset(rules, mask, policy)), append(masks, mask)
		return known[len(known)-1]
	}
	out := &privacy{calls: map[string]*ruleset{}, all: share(func(*compiledRule) bool { return true })}
	for i, t := range typeHeaders {
		out.types[i] = share(func(r *compiledRule) bool { return r.holds(event.Type(t), "") })
	}
	out.unnamed = share(func(r *compiledRule) bool { return len(r.types) == 0 || slices.Contains(r.types, event.Track) })
	for _, r := range rules {
		for _, name := range r.events {
			out.calls[name] = share(func(r *compiledRule) bool { return r.holds(event.Track, name) })
		}
	}
	return out, nil
}

func (r PrivacyRule) compile(path string, hashKey config.Secret) (compiledRule, error) {
	out := compiledRule{types: r.Types, events: r.Events}
	var errs []error
	switch r.Action {
	case PrivacyDrop:
		out.action = actDrop
	case PrivacyMask:
		out.action = actMask
	case PrivacyHash:
		out.action = actHash
		if hashKey == "" {
			errs = append(errs, config.Invalid(path+".action", "must not be hash without a key: set ingest.privacy_hash_key, or drop or mask"))
		}
	}
	errs = append(errs, config.OneOf(path+".action", r.Action, PrivacyDrop, PrivacyMask, PrivacyHash))
	var err error
	if out.steps, err = parsePath(r.Path); err != nil {
		errs = append(errs, config.Invalid(path+".path", "must %v", err))
	}
	for i, t := range r.Types {
		errs = append(errs, config.OneOf(fmt.Sprintf("%s.types[%d]", path, i), t,
			event.Track, event.Identify, event.Page, event.Screen, event.Group, event.Alias))
	}
	if len(r.Events) > 0 && len(r.Types) > 0 && !slices.Contains(r.Types, event.Track) {
		errs = append(errs, config.Invalid(path+".events", "must be empty where types has no track: only track calls have these names"))
	}
	if slices.Contains(r.Events, "") {
		errs = append(errs, config.Invalid(path+".events", "must not have an empty name"))
	}
	return out, errors.Join(errs...)
}

func newRuleset(rules []compiledRule, mask []bool, policy action) *ruleset {
	out := &ruleset{root: &pathNode{}}
	for i, r := range rules {
		if !mask[i] {
			continue
		}
		if n := out.root.at(r.steps); n.action == actNone {
			n.action, n.order, n.identity = r.action, i, isIdentity(r.steps)
		}
	}
	if policy != actNone {
		out.root.addPolicy(policy)
	}
	out.context = out.root.match(nil, []byte("context"))
	out.integrations = out.root.match(nil, []byte("integrations"))
	for i, name := range []string{"ip", "userAgent", "locale"} {
		out.fill[i] = out.filled(name)
	}
	return out
}

// addPolicy adds what becomes of context.ip. It precedes every rule, unless a rule says more of it.
func (n *pathNode) addPolicy(policy action) {
	steps := []pathStep{{name: "context"}, {name: "ip"}}
	var nodes []*pathNode
	for _, c := range n.match(nil, []byte("context")) {
		nodes = c.match(nodes, []byte("ip"))
	}
	if rule := acting(nodes); rule != nil {
		switch {
		case rule.action == actDrop || policy == actDrop || policy == actTruncate:
			policy = actDrop // a mask or a hash is no address that could be truncated
		case rule.action == actMask:
			policy = actMask
		}
	}
	ip := n.at(steps)
	ip.action, ip.order = policy, -1
}

// filled returns the node that acts on a member of context which the server fills in.
func (s *ruleset) filled(name string) *pathNode {
	if acting(s.context) != nil { // all of context goes
		return &pathNode{action: actDrop}
	}
	var nodes []*pathNode
	for _, c := range s.context {
		nodes = c.match(nodes, []byte(name))
	}
	return acting(nodes)
}

// of returns the rules for the event of these bytes.
func (p *privacy) of(f *facts, body []byte, a *arena) *ruleset {
	if f.typ == "" {
		return p.all
	}
	if f.typ != event.Track || len(p.calls) == 0 {
		return p.types[typeAt(f.typ)]
	}
	text, _ := isText(f.val[fieldEvent].of(body))
	if len(text) == 0 {
		return p.unnamed
	}
	if s, ok := p.calls[string(a.unescaped(text))]; ok {
		return s
	}
	return p.types[0]
}
