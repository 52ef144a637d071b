package cdc

import "errors"

func newPostgres(string, SourceConfig) (origin, error) { return nil, errors.New("kind: PostgreSQL is not built in yet") }
