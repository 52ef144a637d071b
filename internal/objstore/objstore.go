// Package objstore is the one S3 client: conditional writes, lists in key
// order, retries, and errors that callers can branch on. It works with any
// store that is strongly consistent and honours If-None-Match: * on PUT.
package objstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/prometheus/client_golang/prometheus"
)

// Errors to branch on. Others are unknown outcomes: the call may have landed.
var (
	// ErrExists says that Create found the key taken, perhaps by an earlier
	// attempt of its own whose answer was lost.
	ErrExists = errors.New("object exists")
	// ErrNotFound says that there is no such object.
	ErrNotFound = errors.New("object not found")
	// ErrRefused says that the store will not let us: rights, or no such bucket.
	ErrRefused = errors.New("store refuses")
)

// Client works on one bucket. It is safe for concurrent use.
type Client struct {
	s3          *s3.Client
	bucket      string
	where       string // the store, for people
	timeout     time.Duration
	maxAttempts int
	kind        objectKind
	slots       chan struct{}
	metrics     *metrics
}

// objectKind is what puts ask of the store beside keeping the bytes.
type objectKind struct {
	sse          types.ServerSideEncryption // empty: nothing
	kmsKeyID     *string
	bucketKey    *bool
	storageClass types.StorageClass // of data objects; empty: STANDARD
	checksums    bool
}

func (c Config) objectKind() objectKind {
	k := objectKind{checksums: c.Checksums == ChecksumsSupported}
	switch c.SSE {
	case SSENone:
	case SSES3:
		k.sse = types.ServerSideEncryptionAes256
	case SSEKMS:
		k.sse, k.kmsKeyID, k.bucketKey = types.ServerSideEncryptionAwsKms, aws.String(c.KMSKeyID), aws.Bool(c.BucketKey)
	}
	if c.StorageClass != ClassStandard {
		k.storageClass = types.StorageClass(c.StorageClass)
	}
	return k
}

// New returns a client for bucket. It does not connect.
func New(ctx context.Context, c Config, bucket string, reg prometheus.Registerer) (*Client, error) {
	opts := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRegion(c.Region),
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }), // see attempts
		awsconfig.WithLogger(logging.Nop{}),                                   // what it has to say comes as an error
		// The client sends checksums of its own: the SDK's would be trailers, which some stores refuse.
		awsconfig.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		awsconfig.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if c.AccessKeyID != "" {
		opts = append(opts, awsconfig.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey.Reveal(), "")))
	}
	conf, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("s3 client: %w", err)
	}
	where := c.Endpoint
	if where == "" {
		where = "AWS S3 in " + c.Region
	}
	slots := make(chan struct{}, c.Concurrency)
	return &Client{
		s3: s3.NewFromConfig(conf, func(o *s3.Options) {
			o.UsePathStyle = c.PathStyle
			if c.Endpoint != "" {
				o.BaseEndpoint = aws.String(c.Endpoint)
			}
		}),
		bucket: bucket, where: where, timeout: c.Timeout, maxAttempts: c.MaxAttempts, kind: c.objectKind(), slots: slots,
		metrics: newMetrics(reg, func() float64 { return float64(len(slots)) }),
	}, nil
}

// Bucket returns the bucket's name.
func (c *Client) Bucket() string { return c.bucket }

// Body is what a write sends. It is read anew for each attempt.
type Body interface {
	io.ReadSeeker
	io.ReaderAt
}

// Create puts an object under a key that must be free, else it returns
// ErrExists. After any other error but ErrRefused the outcome is unknown, and
// so it is after ErrExists: the caller reads the key to learn whose object it is.
func (c *Client) Create(ctx context.Context, key string, body []byte) error {
	in := c.putInput(key, bytes.NewReader(body), int64(len(body)), Meta{CRC32C: SumCRC32C(body)})
	in.IfNoneMatch = aws.String("*")
	return c.put(ctx, "create", in)
}

// CreateFrom is Create for a data object: size bytes that are not in memory, in
// the storage class of the configuration. meta is kept with the object.
func (c *Client) CreateFrom(ctx context.Context, key string, body Body, size int64, meta Meta) error {
	in := c.putInput(key, body, size, meta)
	in.IfNoneMatch = aws.String("*")
	in.StorageClass = c.kind.storageClass
	return c.put(ctx, "create", in)
}

// Put puts an object, replacing one that is there.
func (c *Client) Put(ctx context.Context, key string, body []byte) error {
	return c.put(ctx, "put", c.putInput(key, bytes.NewReader(body), int64(len(body)), Meta{CRC32C: SumCRC32C(body)}))
}

// Meta is of the whole body.
type Meta struct {
	SHA256 string // hex; kept with the object and returned by Head
	CRC32C string // base64; compared by the store while it takes the object, unless s3.checksums says otherwise
}

// SumSHA256 returns the form of Meta.SHA256 for b.
func SumSHA256(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// SumCRC32C returns the form of Meta.CRC32C for b.
func SumCRC32C(b []byte) string {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func (c *Client) putInput(key string, body io.ReadSeeker, size int64, meta Meta) *s3.PutObjectInput {
	in := &s3.PutObjectInput{
		Bucket: &c.bucket, Key: &key, Body: body, ContentLength: &size,
		ServerSideEncryption: c.kind.sse, SSEKMSKeyId: c.kind.kmsKeyID, BucketKeyEnabled: c.kind.bucketKey,
	}
	if meta.SHA256 != "" {
		in.Metadata = map[string]string{"sha256": meta.SHA256}
	}
	if meta.CRC32C != "" && c.kind.checksums {
		in.ChecksumCRC32C = &meta.CRC32C
	}
	return in
}

func (c *Client) put(ctx context.Context, op string, in *s3.PutObjectInput) error {
	body, _ := in.Body.(io.Seeker) // putInput has set one
	return c.call(ctx, op, *in.Key, *in.ContentLength, func(ctx context.Context) error {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := c.s3.PutObject(ctx, in)
		return err
	})
}

func (c *Client) getInput(key string) *s3.GetObjectInput {
	return &s3.GetObjectInput{Bucket: &c.bucket, Key: &key}
}

// Get returns an object's bytes, or ErrNotFound.
func (c *Client) Get(ctx context.Context, key string) ([]byte, error) {
	var out []byte
	err := c.call(ctx, "get", key, 0, func(ctx context.Context) error {
		resp, err := c.s3.GetObject(ctx, c.getInput(key))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		out, err = io.ReadAll(resp.Body)
		return err
	})
	return out, err
}

// Info is what Head and List know of an object.
type Info struct {
	Key      string
	Size     int64
	Modified time.Time
	Meta     Meta // by Head only
}

// Head describes an object, or returns ErrNotFound.
func (c *Client) Head(ctx context.Context, key string) (Info, error) {
	info := Info{Key: key}
	err := c.call(ctx, "head", key, 0, func(ctx context.Context) error {
		resp, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.bucket, Key: &key})
		if err != nil {
			return err
		}
		info.Size, info.Modified = aws.ToInt64(resp.ContentLength), aws.ToTime(resp.LastModified)
		info.Meta.SHA256 = resp.Metadata["sha256"]
		return nil
	})
	return info, err
}

// Delete removes an object; one that is not there is no error.
func (c *Client) Delete(ctx context.Context, key string) error {
	return c.call(ctx, "delete", key, 0, func(ctx context.Context) error {
		_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.bucket, Key: &key})
		return err
	})
}

// List returns up to limit objects whose key begins with prefix and is greater
// than after, in ascending order of keys; limit 0 means all of them.
func (c *Client) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	var out []Info
	for {
		n := 1000
		if limit > 0 {
			n = min(n, limit-len(out))
		}
		var page *s3.ListObjectsV2Output
		err := c.call(ctx, "list", prefix, 0, func(ctx context.Context) (err error) {
			in := &s3.ListObjectsV2Input{Bucket: &c.bucket, Prefix: &prefix, MaxKeys: aws.Int32(int32(n))} //nolint:gosec // at most 1000
			if after != "" {
				in.StartAfter = &after
			}
			page, err = c.s3.ListObjectsV2(ctx, in)
			return err
		})
		if err != nil {
			return out, err
		}
		for _, o := range page.Contents {
			out = append(out, Info{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
		}
		if !aws.ToBool(page.IsTruncated) || len(page.Contents) == 0 || limit > 0 && len(out) >= limit {
			return out, nil
		}
		after = out[len(out)-1].Key
	}
}

// Folders returns the next members of keys below prefix, which ends with "/":
// List of the folders, not of what is in them.
func (c *Client) Folders(ctx context.Context, prefix string) ([]string, error) {
	var (
		out   []string
		token *string
	)
	for {
		var page *s3.ListObjectsV2Output
		err := c.call(ctx, "list", prefix, 0, func(ctx context.Context) (err error) {
			page, err = c.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
				Bucket: &c.bucket, Prefix: &prefix, Delimiter: aws.String("/"), ContinuationToken: token,
			})
			return err
		})
		if err != nil {
			return out, err
		}
		for _, p := range page.CommonPrefixes {
			name := aws.ToString(p.Prefix)
			out = append(out, name[len(prefix):len(name)-1])
		}
		if !aws.ToBool(page.IsTruncated) || page.NextContinuationToken == nil {
			return out, nil
		}
		token = page.NextContinuationToken
	}
}

// EnsureBucket creates the bucket if it is missing and we may.
func (c *Client) EnsureBucket(ctx context.Context) error {
	err := c.call(ctx, "head_bucket", c.bucket, 0, func(ctx context.Context) error { return c.headBucket(ctx) })
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	return c.call(ctx, "create_bucket", c.bucket, 0, func(ctx context.Context) error {
		_, err := c.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &c.bucket})
		if _, mine := errors.AsType[*types.BucketAlreadyOwnedByYou](err); mine {
			return nil
		}
		return err
	})
}

func (c *Client) headBucket(ctx context.Context) error {
	_, err := c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &c.bucket})
	return err
}

// classify turns the SDK's errors into ours. A 409 to a conditional write says
// that a rival write is in progress; it stays an unknown outcome. A 404 means
// that an object is not there only to who asked for one: else a proxy that does
// not know the store for a moment would be taken for a store that has lost it.
func (c *Client) classify(op, key string, err error) error {
	if err == nil {
		return nil
	}
	var kind error
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		switch resp.HTTPStatusCode() {
		case http.StatusPreconditionFailed:
			kind = ErrExists
		case http.StatusNotFound:
			kind = ErrRefused
			if answersWithoutBody(op) {
				kind = ErrNotFound
			}
		case http.StatusForbidden, http.StatusUnauthorized:
			kind = ErrRefused
		}
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "NoSuchKey":
			kind = ErrNotFound
		case "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied":
			kind = ErrRefused
		}
	}
	if kind != nil {
		return fmt.Errorf("%s s3://%s: %w (%s)", op, c.at(key), kind, short(err))
	}
	return fmt.Errorf("%s s3://%s: %w", op, c.at(key), err)
}

// answersWithoutBody says of which calls a 404 must be believed by its status
// alone; others give the code, and a proxy before the store does not know it.
func answersWithoutBody(op string) bool {
	return op == "head" || op == "delete" || op == "head_bucket"
}

// at names what a call was about: an object, or the bucket itself.
func (c *Client) at(key string) string {
	if key == c.bucket {
		return c.bucket
	}
	return c.bucket + "/" + key
}

func short(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return "status " + strconv.Itoa(resp.HTTPStatusCode())
	}
	return err.Error()
}
