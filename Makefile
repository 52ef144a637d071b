# Needs Go and a C compiler (for the race detector and the local Redshift). Everything else is installed by the targets
# that use it, into ./.bin and ./.services.

GOLANGCI_VERSION := v2.15.0
BIN              := $(CURDIR)/.bin
GOLANGCI         := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME         ?= 20s
BENCH            ?= .
PKG              ?= ./...

.DEFAULT_GOAL := help

test integration: export TMPDIR := $(shell scripts/scratch.sh)

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: dev
dev: ## run everything on this machine, with a demo shop; data under ./.millstream
	go run ./cmd/millstream dev --demo

.PHONY: build
build: ## build bin/millstream
	go build -trimpath -o bin/millstream ./cmd/millstream

# The models of batcher and loader run once more without the race detector, where more seeds are cheap.
.PHONY: test
test: ## all tests that need no other server, with the race detector; PKG=./ingest/... narrows them
	go test -race -timeout 15m $(PKG)
	$(if $(filter ./... ./batcher%,$(PKG)),MILLSTREAM_TEST_SEEDS=100 go test -timeout 10m -run TestChainModel ./batcher)
	$(if $(filter ./... ./batcher%,$(PKG)),MILLSTREAM_TEST_SEEDS=20 go test -timeout 10m -run TestLoaderModel ./batcher/loader)
	$(if $(filter ./...,$(PKG)),cd sdk/go && go test -race -timeout 5m ./...)

.PHONY: check
check: check-format vet lint check-arch check-nocgo check-docs ## everything that reads the code without running it

.PHONY: check-format
check-format: $(GOLANGCI)
	@$(GOLANGCI) fmt --diff ./... && cd sdk/go && $(GOLANGCI) fmt --diff ./... || { echo "format: run make format" >&2; exit 1; }

.PHONY: vet
vet:
	go vet -tags integration ./...
	cd sdk/go && go vet ./...

.PHONY: lint
lint: $(GOLANGCI)
	$(GOLANGCI) run ./...
	cd sdk/go && $(GOLANGCI) run ./...

.PHONY: check-arch
check-arch:
	go test -count=1 ./internal

# Without cgo every role works; the local Redshift alone says that it is missing.
.PHONY: check-nocgo
check-nocgo:
	CGO_ENABLED=0 go build -o $(BIN)/millstream-nocgo ./cmd/millstream
	CGO_ENABLED=0 go test -count=1 ./internal/local/redshift

.PHONY: check-docs
check-docs: check-nocgo
	@scripts/reference.sh $(BIN)/millstream-nocgo | diff -u docs/configuration.md - || \
		{ echo "docs/configuration.md is stale: run make docs" >&2; exit 1; }

.PHONY: format
format: $(GOLANGCI) ## format the Go code
	$(GOLANGCI) fmt ./...
	cd sdk/go && $(GOLANGCI) fmt ./...

.PHONY: integration
integration: build ## tests against real servers, which are installed first (scripts/integration.sh)
	scripts/integration.sh

.PHONY: sdk
sdk: ## build the SDKs' packages, and copy the browsers' script to ingest/web; needs Node and Python
	scripts/sdk.sh build

.PHONY: golden
golden: ## write the golden files anew; review them like code
	MILLSTREAM_TEST_UPDATE=1 go test -count=1 -run 'Golden' $(PKG)

.PHONY: record
record: ## write what Segment's SDKs send into ingest/testdata/wire anew, for the tests that replay it
	rm -rf ingest/testdata/wire
	MILLSTREAM_TEST_RECORD=$(CURDIR)/ingest/testdata/wire scripts/services.sh go test -count=1 -tags integration -run TestH01SegmentSDKs ./internal/e2e

.PHONY: docs
docs: check-nocgo ## write the generated parts of docs/ anew
	scripts/reference.sh $(BIN)/millstream-nocgo > docs/configuration.md

.PHONY: fuzz
fuzz: ## each fuzz test for FUZZTIME (20s)
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Go benchmarks; BENCH=Decode and PKG=./internal/wire narrow them. Whole roles: bin/millstream bench
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

.PHONY: clean
clean: ## remove what was built; keeps .millstream
	rm -rf bin $(BIN) sdk/js/dist sdk/python/dist

$(GOLANGCI):
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@
