#!/bin/bash
# Format, clippy, and what may enter the build (deny.toml).
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings

if ! cargo deny --version >/dev/null 2>&1; then
    echo "installing cargo-deny"
    cargo install --locked --quiet cargo-deny
fi
cargo deny check bans licenses sources

# Advisories need RustSec's database from the network: a machine without it still gets everything else checked.
if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
    cargo deny check --disable-fetch advisories
else
    echo "lint: WARNING: advisories NOT checked: the advisory database cannot be fetched here"
fi
