package cdc

import (
	"strings"
	"testing"
)

func TestMySQLDSN(t *testing.T) {
	t.Parallel()
	var src SourceConfig
	src.SetDefaults()
	for dsn, want := range map[string]string{
		"mysql://shop:p%40ss%3Fword@db.example.com/shop?tls=true": "shop:p@ss?word@tcp(db.example.com:3306)/shop tls=true",
		"mariadb://shop@[::1]:3307":                               "shop:@tcp([::1]:3307)/ tls=",
		"shop:p?a/b@tcp(db:3306)/shop?tls=skip-verify":            "shop:p?a/b@tcp(db:3306)/shop tls=skip-verify",
		"shop@unix(/run/mysqld.sock)/":                            "shop:@unix(/run/mysqld.sock)/ tls=",
		"shop:x@tcp(db)/s?parseTime=true&multiStatements=true":    "shop:x@tcp(db:3306)/s tls=",
	} {
		conf, err := mysqlConfig(src, dsn)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		if got := conf.User + ":" + conf.Passwd + "@" + conf.Net + "(" + conf.Addr + ")/" + conf.DBName + " tls=" + conf.TLSConfig; got != want {
			t.Errorf("%s: got %s, want %s", dsn, got, want)
		}
		if conf.ParseTime || conf.MultiStatements {
			t.Errorf("%s: an option changes what a session is like", dsn)
		}
	}
	for _, dsn := range []string{"postgres://shop:secret@db/shop", "shop:secret@db/shop", "mysql://shop:secret@db/shop?tls=nosuch", "mysql:///shop", "mysql://shop:secret@db/?ca=/nosuch/secret.pem"} {
		_, err := mysqlConfig(src, dsn)
		if err == nil || strings.Contains(err.Error(), "shop:secret") {
			t.Errorf("%s: got %v, want an error that does not repeat the password", dsn, err)
		}
	}
}
