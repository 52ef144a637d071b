package warehouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// CheckError is a thing that Check found wrong, and how to mend it.
type CheckError struct {
	What string
	Mend string
}

func (f CheckError) Error() string { return f.What + "; " + f.Mend }

// Check connects and tries each right that the loader needs. It returns nil,
// or all findings joined. What it creates it removes again; the name of its
// schema tells where it comes from.
func (c *Client) Check(ctx context.Context) error {
	conn, err := c.Connect(ctx)
	if err != nil {
		return c.whyNotConnected(err)
	}
	defer conn.Close()
	schema := fmt.Sprintf("millstream_check_%d", time.Now().UnixNano())
	var found []error
	try := func(statement, mend string) bool {
		_, err := conn.Exec(ctx, statement)
		if err != nil {
			found = append(found, CheckError{What: err.Error(), Mend: mend})
		}
		return err == nil
	}
	user := strings.ReplaceAll(c.user(), `"`, ``)
	if try("CREATE SCHEMA "+Ident(schema), fmt.Sprintf("the loader creates a schema for each source: GRANT CREATE ON DATABASE %s TO %s", c.database(), user)) {
		try("CREATE TABLE "+Ident(schema)+".t (n INT)", "the owner of a schema may create tables in it; ask who revoked that")
		try("DROP SCHEMA "+Ident(schema)+" CASCADE", "the schema is left over and may be dropped by hand")
	}
	try("CREATE TEMP TABLE "+Ident(schema)+" (n INT)", fmt.Sprintf("files are staged in temporary tables: GRANT TEMP ON DATABASE %s TO %s", c.database(), user))
	try("SELECT COUNT(*) FROM svv_columns WHERE table_schema = 'millstream'", "the loader reads the catalogue by svv_columns")
	return errors.Join(found...)
}

// whyNotConnected says what to do about a session that could not be opened.
func (c *Client) whyNotConnected(err error) error {
	var pg *pgconn.PgError
	var iam *iamError
	mend := "look whether warehouse.dsn names the cluster's endpoint, whether the cluster runs and is not paused, and whether its security group lets this machine in on the port"
	switch {
	case errors.As(err, &iam):
		mend = "the AWS identity of this process must be allowed redshift:GetClusterCredentialsWithIAM, or redshift-serverless:GetCredentials, on what warehouse.cluster names (docs/warehouse.md has the policies)"
	case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "28"):
		mend = "look at the user in warehouse.dsn and at warehouse.password (MILLSTREAM_WAREHOUSE_PASSWORD)"
	case errors.As(err, &pg) && pg.Code == "3D000":
		mend = "the database in warehouse.dsn does not exist on this cluster"
	case strings.Contains(err.Error(), "tls") || strings.Contains(err.Error(), "x509"):
		mend = "look at warehouse.sslmode and warehouse.sslrootcert; Redshift's certificates are signed by Amazon's authorities"
	}
	return CheckError{What: err.Error(), Mend: mend}
}

func (c *Client) user() string { u, _ := c.parts(); return u }

func (c *Client) database() string { _, d := c.parts(); return d }

func (c *Client) parts() (user, database string) {
	conf, err := c.config()
	if err != nil {
		return "", ""
	}
	return conf.User, conf.Database
}
