#!/bin/bash
# Installs what `make build` has built: programs, D-Bus and systemd files, man pages, completions.
# PREFIX (default /usr/local) and DESTDIR as usual.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local} dest=${DESTDIR:-}
built=${CARGO_TARGET_DIR:-$PWD/target}/release

for program in privyseal privyseald privyseal-softhsm; do
    install -Dm755 "$built/$program" "$dest$prefix/bin/$program"
done
install -Dm755 "$built/privyseal-token" "$dest$prefix/libexec/privyseal/privyseal-token"
install -d "$dest$prefix/share/dbus-1/services" "$dest$prefix/lib/systemd/user"
sed "s|/usr/bin/|$prefix/bin/|" data/org.privyseal1.service >"$dest$prefix/share/dbus-1/services/org.privyseal1.service"
sed "s|/usr/bin/|$prefix/bin/|" data/privyseald.service >"$dest$prefix/lib/systemd/user/privyseald.service"
install -Dm644 data/privyseal.toml "$dest$prefix/share/doc/privyseal/privyseal.toml"
"$built/privyseal" man --dir "$dest$prefix/share/man/man1"
install -d "$dest$prefix/share/bash-completion/completions" "$dest$prefix/share/zsh/site-functions" \
    "$dest$prefix/share/fish/vendor_completions.d"
"$built/privyseal" completions bash >"$dest$prefix/share/bash-completion/completions/privyseal"
"$built/privyseal" completions zsh >"$dest$prefix/share/zsh/site-functions/_privyseal"
"$built/privyseal" completions fish >"$dest$prefix/share/fish/vendor_completions.d/privyseal.fish"
echo "installed below $dest$prefix"
