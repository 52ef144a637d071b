package millstream

// ConsentState says whether people have agreed to be tracked.
type ConsentState uint8

// States of consent.
const (
	ConsentGranted ConsentState = iota // events are sent
	ConsentPending                     // Send refuses events, of others up to 1,000 events wait in memory; nothing is sent or written to disk
	ConsentDenied                      // events are dropped as consent, those that wait too
)

const maxPending = 1000

// Consent changes the state. Categories, such as {"Analytics": true}, go with each later event as
// context.consent.categoryPreferences; nil leaves them out.
func (c *Client) Consent(state ConsentState, categories map[string]bool) {
	if state > ConsentDenied {
		state = ConsentDenied // what nobody knows is no consent
	}
	_ = c.rebase(categories) // the same context was encoded by New, and booleans encode
	c.mu.Lock()
	c.consent = state
	var gone []Result
	if state == ConsentDenied {
		gone = c.discard(ReasonConsent)
	}
	c.notify()
	c.mu.Unlock()
	c.tell.add(gone)
	c.signal()
}

// rebase encodes what context holds besides the call's own. c.opts.Context was copied by the first one, in New.
func (c *Client) rebase(categories map[string]bool) error {
	if c.base.Load() == nil {
		c.opts.Context = cloneMap(c.opts.Context)
	}
	all := Map{"library": Map{"name": libraryName, "version": Version}}
	for k, v := range c.opts.Context {
		all[k] = v
	}
	if categories != nil {
		preferences := make(Map, len(categories))
		for k, v := range categories {
			preferences[k] = v
		}
		all["consent"] = Map{"categoryPreferences": preferences}
	}
	base, err := newPlatform(all)
	if err != nil {
		return under(err, "Options.Context")
	}
	c.base.Store(base)
	return nil
}

// discard drops all that is queued. c.mu is held.
func (c *Client) discard(reason string) []Result {
	var results []Result
	var event []byte
	n := c.q.n
	for c.q.n > 0 {
		event = c.q.pop(event[:0])
		if c.tell.call != nil {
			results = append(results, Result{MessageID: idIn(event), Fate: Dropped, Code: reason})
		}
	}
	c.popped += uint64(n)
	if reason == ReasonClosed {
		c.abandoned += n
	}
	c.count(Dropped, reason, n)
	return results
}
