package main

import (
	"context"
	"fmt"

	"github.com/millstream-data/millstream/internal/local/redshift"
)

// local runs the local Redshift alone, over whatever S3 is configured: for
// tests of the roles on real services, and to look at a lake with SQL.
//
//	any PostgreSQL client ──▶ local Redshift ──COPY──▶ S3
func (p *program) local(ctx context.Context, args []string) error {
	f := p.newFlags("local", "[--redshift-listen HOST:PORT] [--config FILE] [--set KEY=VALUE …]")
	f.key("redshift-listen", "local.redshift.listen", "address of the local Redshift")
	return p.runRole(ctx, f, args, []section{"admin", "s3", "lake", "local"}, (*services).startRedshift)
}

func (s *services) startRedshift(ctx context.Context) error {
	lake, err := s.lake(ctx, "local", s.reg)
	if err != nil {
		return err
	}
	warehouse, err := redshift.New(s.cfg.Local.Redshift, copySource{lake.Store}, s.log)
	if err != nil {
		return err
	}
	s.stack.task(ctx, "local redshift", warehouse.Run)
	s.log.Info("local redshift listens", "addr", fmt.Sprint(warehouse.Addr()))
	return nil
}
