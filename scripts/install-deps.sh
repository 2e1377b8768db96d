#!/bin/bash
# Installs the Debian packages that building, demo and tests need: by name, only those that are missing.
set -euo pipefail

packages=(
    build-essential  # linker and C compiler for Rust
    pkg-config
    ca-certificates  # crates are fetched over TLS
    softhsm2         # the token of demo and tests
    opensc           # pkcs11-tool, a witness in the tests; opensc-pkcs11.so and opensc-tool of the tests with cards
    pcscd            # readers of the tests with cards
    vsmartcard-vpcd  # two virtual readers for it
    swtpm            # an emulated TPM 2.0 of the tests
    libtpm2-pkcs11-1 # its PKCS#11 module
    libtss2-tcti-swtpm0 # between them
    iproute2         # loopback in a network namespace of the tests
    util-linux       # unshare
    openssl          # the witness for everything that Privyseal makes
    libbcmail-java   # Bouncy Castle, the witness for what openssl 3.0 does not know
    openjdk-17-jdk-headless # runs it, from source
    libnss3-tools    # cmsutil, the witness for what Mozilla's library makes, and certutil
    gpgsm            # the witness for what GnuPG makes
    gpg-agent        # keeps its keys
    gpgconf          # ends the agent
    python3          # its zlib is another
    dbus-daemon      # a private bus (dbus-run-session)
    dbus-bin         # dbus-send, dbus-monitor
    pinentry-curses  # PIN entry on a terminal
    procps
    libclang-dev     # bindings of kryoptic, a token that the tests build
    libsqlite3-dev   # where it keeps its objects
    perl             # configures its OpenSSL
)

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
done

if ((${#missing[@]})); then
    echo "installing: ${missing[*]}"
    as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || {
            echo "install-deps: not root and no sudo; as root run: apt-get install ${missing[*]}" >&2
            exit 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

command -v cargo >/dev/null || {
    echo "install-deps: cargo is not on the PATH: install Rust 1.95 or newer (https://rustup.rs)" >&2
    exit 1
}
