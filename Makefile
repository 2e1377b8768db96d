# Privyseal. `make demo` and `make test` need a Debian 12 machine with Rust; the rest is installed.
.PHONY: help deps build demo test test-all lint fuzz soak bench install clean

help:
	@sed -n 's/^## //p' Makefile

## make deps    install the Debian packages that are missing (apt-get; sudo if not root)
deps:
	@scripts/install-deps.sh

## make build   release binaries in target/release
build: deps
	cargo build --release --locked --workspace

## make demo    the main job in a private place: token, daemon, signed, encrypted and tampered mail
demo: deps
	@scripts/demo.sh

## make test    every test
test: deps
	@scripts/build-kryoptic.sh
	cargo build --locked --workspace
	cargo test --locked --workspace

## make test-all  every test, and those of kinds of tokens that few use
test-all: deps
	@scripts/build-kryoptic.sh
	cargo build --locked --workspace
	cargo test --locked --workspace -- --include-ignored

## make lint    formatting, clippy, licences and sources of dependencies
lint:
	@scripts/lint.sh

## make fuzz    every fuzz target for SECONDS_EACH (600) seconds, two at a time; installs a nightly compiler and cargo-fuzz
fuzz:
	@scripts/fuzz.sh

## make soak    2,000 random schedules of cards that are pulled while they are used (half an hour), and an hour of mixed work with faults
soak: deps
	cargo build --locked --workspace
	PRIVYSEAL_SCHEDULES=2000 cargo test --locked --workspace --test schedules -- --nocapture
	PRIVYSEAL_SOAK=3600 cargo test --locked --workspace --test soak -- --nocapture

## make bench   speed beside raw C_Sign, openssl and gpgsm, as ratios (BENCH="bulk --mib 256" for a part)
bench: build
	cargo run --release --locked -p privyseal-tests --bin bench -- $(BENCH)

## make install programs, D-Bus and systemd files, man pages, completions (PREFIX, DESTDIR)
install: build
	@scripts/install.sh

clean:
	cargo clean
