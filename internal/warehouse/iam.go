package warehouse

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

// The values of Config.Auth.
const (
	AuthPassword       = "password"
	AuthIAMProvisioned = "iam-provisioned"
	AuthIAMServerless  = "iam-serverless"
)

// renewBefore is how long before they expire credentials are fetched anew: a
// session may be opened a while after its credentials were looked up.
const renewBefore = 3 * time.Minute

// credentials are what a session logs in with.
type credentials struct {
	user, password string
	expires        time.Time
}

// issuer fetches temporary credentials for the process's AWS identity and keeps
// them until they are about to expire. It is safe for concurrent use. Two calls
// of two services are signed here: their SDK packages would be larger than all
// the rest of the client.
type issuer struct {
	cfg      Config
	database string
	endpoint string // of the service; empty: AWS's in the region

	mu   sync.Mutex
	aws  *aws.Config // nil until the first call
	last credentials
}

// get returns credentials that hold for a while.
func (i *issuer) get(ctx context.Context) (credentials, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Until(i.last.expires) > renewBefore {
		return i.last, nil
	}
	fresh, err := i.fetch(ctx)
	if err != nil {
		return fresh, &iamError{i.call(), i.cfg.Cluster, err}
	}
	i.last = fresh
	return fresh, nil
}

// forget has the next get fetch: the server has refused those it was given.
func (i *issuer) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = credentials{}
}

// iamError is a refusal of temporary credentials.
type iamError struct {
	call, cluster string
	err           error
}

func (e *iamError) Error() string { return e.call + " of " + e.cluster + ": " + e.err.Error() }
func (e *iamError) Unwrap() error { return e.err }

func (i *issuer) serverless() bool { return i.cfg.Auth == AuthIAMServerless }

// call is the API's name of what is asked.
func (i *issuer) call() string {
	if i.serverless() {
		return "GetCredentials"
	}
	return "GetClusterCredentialsWithIAM"
}

func (i *issuer) fetch(ctx context.Context) (credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.ConnectTimeout)
	defer cancel()
	if i.aws == nil {
		conf, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return credentials{}, err
		}
		i.aws = &conf
	}
	body, err := i.post(ctx)
	if err != nil {
		return credentials{}, err
	}
	if i.serverless() {
		return decodeServerless(body)
	}
	return decodeProvisioned(body)
}

// post sends the signed request and returns the body of a good answer.
func (i *issuer) post(ctx context.Context) ([]byte, error) {
	region := regionOf(i.cfg.DSN)
	if region == "" {
		region = i.aws.Region
	}
	if region == "" {
		return nil, errors.New("the region is unknown: the host in warehouse.dsn does not name it, and neither AWS_REGION nor a profile does")
	}
	identity, err := i.aws.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	service, req, body, err := i.request(ctx, region)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, identity, req, hex.EncodeToString(sum[:]), service, region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = refusal(resp.StatusCode, answer)
	}
	return answer, err
}

// request is the unsigned request. Redshift's API is AWS's query protocol, that
// of Serverless its JSON 1.1.
func (i *issuer) request(ctx context.Context, region string) (service string, req *http.Request, body []byte, err error) {
	const seconds = 3600
	header := http.Header{}
	if i.serverless() {
		service = "redshift-serverless"
		header.Set("Content-Type", "application/x-amz-json-1.1")
		header.Set("X-Amz-Target", "RedshiftServerless.GetCredentials")
		body, err = json.Marshal(map[string]any{"workgroupName": i.cfg.Cluster, "dbName": i.database, "durationSeconds": seconds})
	} else {
		service = "redshift"
		header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		body = []byte(url.Values{
			"Action": {"GetClusterCredentialsWithIAM"}, "Version": {"2012-12-01"}, "ClusterIdentifier": {i.cfg.Cluster},
			"DbName": {i.database}, "DurationSeconds": {fmt.Sprint(seconds)},
		}.Encode())
	}
	if err != nil {
		return "", nil, nil, err
	}
	endpoint := i.endpoint
	if endpoint == "" {
		endpoint = "https://" + service + "." + region + ".amazonaws.com/"
	}
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err == nil {
		req.Header = header
	}
	return service, req, body, err
}

func decodeProvisioned(body []byte) (credentials, error) {
	var out struct {
		User       string    `xml:"GetClusterCredentialsWithIAMResult>DbUser"`
		Password   string    `xml:"GetClusterCredentialsWithIAMResult>DbPassword"`
		Expiration time.Time `xml:"GetClusterCredentialsWithIAMResult>Expiration"`
	}
	err := xml.Unmarshal(body, &out)
	return whole(credentials{out.User, out.Password, out.Expiration}, err)
}

func decodeServerless(body []byte) (credentials, error) {
	var out struct {
		User       string  `json:"dbUser"`
		Password   string  `json:"dbPassword"`
		Expiration float64 `json:"expiration"` // unix seconds
	}
	err := json.Unmarshal(body, &out)
	return whole(credentials{out.User, out.Password, time.UnixMilli(int64(out.Expiration * 1000))}, err)
}

// whole refuses an answer that is not one; it never quotes it.
func whole(c credentials, err error) (credentials, error) {
	if err != nil || c.user == "" || c.password == "" || c.expires.IsZero() {
		return credentials{}, errors.New("the answer holds no credentials")
	}
	return c, nil
}

// refusal is AWS's error in its own words.
func refusal(status int, body []byte) error {
	var x struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	var j struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if xml.Unmarshal(body, &x) == nil && x.Code != "" {
		return fmt.Errorf("%d %s: %s", status, x.Code, x.Message)
	}
	if json.Unmarshal(body, &j) == nil && j.Type != "" {
		return fmt.Errorf("%d %s: %s", status, j.Type, j.Message)
	}
	return fmt.Errorf("%d %s", status, http.StatusText(status))
}

// endpointHost is how the hosts of clusters and workgroups end.
var endpointHost = regexp.MustCompile(`\.([a-z]{2}(?:-[a-z]+)+-\d)\.redshift(?:-serverless)?\.amazonaws\.com`)

// regionOf is the region that the host of a DSN names; empty if it names none.
func regionOf(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return ""
	}
	if m := endpointHost.FindStringSubmatch("." + u.Hostname()); m != nil {
		return m[1]
	}
	return ""
}
