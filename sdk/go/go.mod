module github.com/millstream-data/millstream/sdk/go

go 1.22
