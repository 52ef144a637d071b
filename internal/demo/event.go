package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// call is a call of Segment's HTTP tracking API.
type call struct {
	Type        string         `json:"type"`
	MessageID   string         `json:"messageId"`
	UserID      string         `json:"userId,omitempty"`
	AnonymousID string         `json:"anonymousId,omitempty"`
	Event       string         `json:"event,omitempty"`
	Name        string         `json:"name,omitempty"`
	GroupID     string         `json:"groupId,omitempty"`
	Timestamp   string         `json:"timestamp"`
	Properties  map[string]any `json:"properties,omitempty"`
	Traits      map[string]any `json:"traits,omitempty"`
	Context     map[string]any `json:"context,omitempty"`
}

// visit is one person's way through the web site.
type visit struct {
	rand     *rand.Rand
	who      customer
	end      time.Time
	campaign string // that brought the person; empty: none
	calls    []call
	elapsed  time.Duration
	when     []time.Duration // of each call, since the visit began
}

func newVisit(r *rand.Rand, who customer, end time.Time) *visit {
	return &visit{rand: r, who: who, end: end, campaign: pick(r, campaigns)}
}

// done returns the visit's calls. The last one is made at its end, and those
// before it at intervals in which a person reads.
func (v *visit) done() []call {
	for i := range v.calls {
		at := v.end.Add(v.when[i] - v.elapsed)
		v.calls[i].Timestamp = at.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return v.calls
}

func (v *visit) add(c call) {
	if len(v.calls) > 0 {
		v.elapsed += time.Duration(2000+v.rand.IntN(60_000)) * time.Millisecond
	}
	v.when = append(v.when, v.elapsed)
	c.MessageID = fmt.Sprintf("demo-%016x%016x", v.rand.Uint64(), v.rand.Uint64())
	c.UserID = v.who.userID()
	c.AnonymousID = fmt.Sprintf("anon_%05d", v.who.id)
	c.Context = map[string]any{
		"library": map[string]any{"name": "demo-shop", "version": "1"},
		"locale":  "en-GB", "location": map[string]any{"country": v.who.country},
	}
	if c.Type == "page" && v.campaign != "" {
		c.Context["campaign"] = map[string]any{"source": v.campaign, "name": "autumn"}
	}
	v.calls = append(v.calls, c)
}

func (v *visit) track(event string, properties map[string]any) {
	properties["plan"] = v.who.plan
	v.add(call{Type: "track", Event: event, Properties: properties})
}

func (v *visit) page(name string) {
	v.add(call{Type: "page", Name: name, Properties: map[string]any{
		"path": "/" + name, "plan": v.who.plan, "duration_ms": 80 + v.rand.IntN(900),
	}})
}

func (v *visit) identify() {
	v.add(call{Type: "identify", Traits: map[string]any{
		"email": v.who.email, "name": v.who.name, "plan": v.who.plan, "country": v.who.country,
	}})
}

func (v *visit) browse() []product {
	v.page(pick(v.rand, pages))
	var seen []product
	for range v.rand.IntN(3) {
		p := catalogue[v.rand.IntN(len(catalogue))]
		seen = append(seen, p)
		v.track("Product Viewed", map[string]any{
			"product_id": p.sku, "name": p.name, "category": p.category, "price": money(p.cents),
		})
	}
	return seen
}

func (v *visit) order(o order) {
	items := make([]map[string]any, len(o.items))
	for i, it := range o.items {
		v.track("Product Added", map[string]any{
			"product_id": it.sku, "name": it.name, "category": it.category, "price": money(it.cents), "quantity": it.quantity,
		})
		items[i] = map[string]any{"product_id": it.sku, "price": money(it.cents), "quantity": it.quantity}
	}
	v.track("Order Completed", map[string]any{
		"order_id": o.id, "total": money(o.cents), "currency": "EUR", "products": items, "items_count": len(o.items),
		"country": v.who.country,
	})
}

// money is an amount as JSON writes it: two decimals, no binary fraction.
func money(cents int64) json.Number {
	return json.Number(fmt.Sprintf("%d.%02d", cents/100, cents%100))
}
