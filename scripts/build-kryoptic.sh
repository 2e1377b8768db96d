#!/bin/bash
# Builds kryoptic, the PKCS#11 v3.2 software token of the tests (ML-DSA, ML-KEM, OAEP with SHA-2): once, in target/kryoptic.
set -euo pipefail
cd "$(dirname "$0")/.."

package=tests/kryoptic out=$PWD/target/kryoptic
module=$out/libkryoptic_pkcs11.so
stamp=$(cat "$package/Cargo.lock" "$package/Cargo.toml" "$0" | sha256sum | cut -d' ' -f1)
[[ ! -f $module || $(cat "$out/stamp" 2>/dev/null) != "$stamp" ]] || exit 0

log=$out/build.log
mkdir -p "$out"
echo "building kryoptic, a token for the tests: some minutes, once ($log)"
build() {
    rm -rf "$out/openssl" "$out/build"
    # the sources of OpenSSL, from where cargo has put the crate
    sources=$(cargo metadata --locked --format-version 1 --manifest-path "$package/Cargo.toml" |
        python3 -c 'import json, os, sys
print(*(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "openssl-src"))')
    cp -r "$sources/openssl" "$out/openssl"
    chmod +x "$out/openssl/Configure"
    (
        cd "$out/openssl"
        ./Configure no-shared no-apps no-tests no-docs no-legacy no-module no-deprecated \
            '-DDEVRANDOM=\"/dev/urandom\"' -fPIC
        make -j"$(nproc)" build_generated
        make -j"$(nproc)" libcrypto.a
    )
    KRYOPTIC_OPENSSL_SOURCES=$out/openssl cargo build --release --locked \
        --manifest-path "$package/Cargo.toml" -p kryoptic --target-dir "$out/build"
    cp "$out/build/release/libkryoptic_pkcs11.so" "$module"
    rm -rf "$out/openssl" "$out/build"
}
build >"$log" 2>&1 & # not called in a condition: there `set -e` would not hold
wait $! || {
    tail -40 "$log" >&2
    echo "build-kryoptic: failed; all of it is in $log" >&2
    exit 1
}
echo "$stamp" >"$out/stamp"
