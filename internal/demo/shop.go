// Package demo is a small shop that does not exist: customers sign up, look
// around, order, pay and upgrade. It sends the events of its web site over HTTP
// as any Segment SDK would, and keeps customers and orders in a SQLite file as
// any small application would. Millstream carries both; the shop knows nothing
// of it but a URL and a write key.
package demo

import (
	"fmt"
	"math/rand/v2"
	"time"
)

type customer struct {
	id      int64
	name    string
	email   string
	plan    string
	country string
}

// userID is how the web site names a person; the database has it as customers.code.
func (c customer) userID() string { return fmt.Sprintf("cus_%05d", c.id) }

type product struct {
	sku, name, category string
	cents               int64
}

type item struct {
	product
	quantity int
}

type order struct {
	id    int64
	items []item
	cents int64
}

var catalogue = []product{
	{"SKU-101", "Rye sourdough", "bread", 590},
	{"SKU-102", "Spelt loaf", "bread", 640},
	{"SKU-103", "Baguette", "bread", 280},
	{"SKU-201", "Stone-ground flour, 5 kg", "flour", 1490},
	{"SKU-202", "Semolina, 1 kg", "flour", 420},
	{"SKU-203", "Rye flour, 2.5 kg", "flour", 890},
	{"SKU-301", "Banneton", "tools", 2450},
	{"SKU-302", "Dough scraper", "tools", 750},
	{"SKU-303", "Hand mill", "tools", 18900},
	{"SKU-401", "Starter kit", "sets", 3990},
	{"SKU-402", "Gift box", "sets", 5450},
}

var (
	givenNames = []string{"Ada", "Ben", "Chiara", "Dmitri", "Esra", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena", "Mateo", "Nia", "Olu", "Priya", "Quentin", "Rosa", "Sven", "Tomoko"}
	lastNames  = []string{"Müller", "Okafor", "Rossi", "Petrov", "Yılmaz", "Haddad", "Novak", "Sato", "Costa", "Berg", "Mensah", "Fischer", "García", "Adeyemi", "Kowalski", "Iyer", "Dubois", "Silva", "Lund", "Mori"}
	countries  = []weighted{{"DE", 38}, {"AT", 14}, {"CH", 11}, {"FR", 12}, {"NL", 9}, {"PL", 8}, {"IT", 5}, {"US", 3}}
	plans      = []weighted{{"free", 70}, {"pro", 22}, {"team", 8}}
	campaigns  = []weighted{{"", 45}, {"search", 25}, {"newsletter", 15}, {"instagram", 10}, {"bakers-forum", 5}}
	pages      = []weighted{{"Home", 40}, {"Bread", 20}, {"Flour", 15}, {"Tools", 12}, {"Recipes", 8}, {"About", 5}}
)

type weighted struct {
	value  string
	weight int
}

func pick(r *rand.Rand, from []weighted) string {
	total := 0
	for _, w := range from {
		total += w.weight
	}
	n := r.IntN(total)
	for _, w := range from {
		if n -= w.weight; n < 0 {
			return w.value
		}
	}
	panic("BUG: weights do not add up")
}

func newCustomer(r *rand.Rand, id int64) customer {
	given, last := givenNames[r.IntN(len(givenNames))], lastNames[r.IntN(len(lastNames))]
	return customer{
		id: id, name: given + " " + last, email: fmt.Sprintf("customer%d@example.com", id),
		plan: pick(r, plans), country: pick(r, countries),
	}
}

func newOrder(r *rand.Rand, id int64) order {
	o := order{id: id}
	for range 1 + r.IntN(3) {
		it := item{product: catalogue[r.IntN(len(catalogue))], quantity: 1 + r.IntN(3)}
		o.items = append(o.items, it)
		o.cents += it.cents * int64(it.quantity)
	}
	return o
}

// busy is how much of the shop's traffic an hour of the day has: quiet at
// night, a peak at noon and a higher one in the evening.
func busy(at time.Time) float64 {
	shares := [24]float64{
		.12, .08, .06, .05, .06, .12, .25, .42, .58, .66, .72, .82,
		.92, .84, .74, .70, .74, .82, .94, 1, .96, .78, .50, .26,
	}
	h := at.Hour()
	next := shares[(h+1)%24]
	part := float64(at.Minute()) / 60
	return shares[h]*(1-part) + next*part
}
