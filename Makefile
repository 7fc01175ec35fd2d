# The doors. Each target is one line of intent; the script behind it holds the logic.
PG_CONFIG ?= $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
export PG_CONFIG
.DEFAULT_GOAL := help

help:  ## list the targets
	@scripts/help.sh $(firstword $(MAKEFILE_LIST))

build:  ## build the extension, the sidecar and the test endpoint
	@scripts/build.sh

install:  ## build and install the extension into the PostgreSQL of PG_CONFIG=…
	@scripts/install.sh

demo:  ## show the whole on a throw-away PostgreSQL (DEMO_KEEP=1 leaves it running)
	@scripts/demo.sh

test:  ## every test, from a bare machine
	@scripts/test.sh

test-core:  ## the tests of core alone: seconds, no PostgreSQL
	@scripts/test-core.sh

test-long:  ## the tests that need more time, or npm packages as a second opinion
	@scripts/test-long.sh

check:  ## format, lints, layering, SQL rules, pgspot
	@scripts/check.sh

bench:  ## the benchmarks, each printing ratios
	@scripts/bench.sh

package:  ## a tarball with everything to install, under target/package
	@scripts/package.sh

clean:  ## remove what was built
	@scripts/clean.sh

.PHONY: help build install demo test test-core test-long check bench package clean
