package ingest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/testkit/golden"
)

// sdkGolden is where the conformance suite of the SDKs keeps what they send.
const sdkGolden = "../sdk/conformance/golden"

// sdkRequest is an entry of golden/requests.
type sdkRequest struct {
	Method, Path string
	Headers      map[string]string
	Body         string // inflated
}

// sdkRecord is an entry of golden/records: a record of the events' topic.
type sdkRecord struct {
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Value   json.RawMessage   `json:"value"`
}

// TestGoldenRequestsOfOurSDKs sends what the SDKs' own tests have produced, and compares what comes of it in Kafka. A
// change on either side shows here and there.
func TestGoldenRequestsOfOurSDKs(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob(sdkGolden + "/requests/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no requests: %v", err)
	}
	for _, folder := range folders {
		sdk := filepath.Base(folder)
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			files, err := filepath.Glob(folder + "/*.json")
			if err != nil || len(files) == 0 {
				t.Fatalf("no requests of %s: %v", sdk, err)
			}
			for _, file := range files {
				e := setup(t, func(c *Config) {
					app := c.Sources["app"]
					app.Keys = append(app.Keys, Key{Key: "wk", Kind: KindBrowser}) // the write key of the cases
					c.Sources["app"] = app
				})
				n := e.sendGolden(t, file)
				got := records(t, e.events(t, n))
				golden.Equal(t, filepath.Join(sdkGolden, "records", sdk, filepath.Base(file)), got)
			}
		})
	}
}

// sendGolden sends the requests of a file, and returns how many events they have.
func (e *edge) sendGolden(t *testing.T, file string) int {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var requests []sdkRequest
	if err := json.Unmarshal(raw, &requests); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	events := 0
	for _, r := range requests {
		var body struct{ Batch []json.RawMessage }
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		events += len(body.Batch)
		var headers []string
		for name, value := range r.Headers {
			headers = append(headers, name, value)
		}
		sent := r.Body
		if r.Headers["Content-Encoding"] == "gzip" {
			sent = deflated(t, r.Body)
		}
		if a := e.do(t, r.Method, r.Path, sent, headers...); a.status != http.StatusOK || a.body != `{"success":true}` {
			t.Errorf("%s: %d %s", file, a.status, a.body)
		}
	}
	return events
}

func deflated(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := zw.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// records lists the records by partition and offset, the members of their values as they were written.
func records(t *testing.T, all []*kgo.Record) []byte {
	t.Helper()
	slices.SortFunc(all, func(a, b *kgo.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	out := make([]sdkRecord, len(all))
	for i, r := range all {
		out[i] = sdkRecord{string(r.Key), map[string]string{}, r.Value}
		for _, h := range r.Headers {
			out[i].Headers[h.Key] = string(h.Value)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
