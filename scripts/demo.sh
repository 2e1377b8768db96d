#!/bin/bash
# The main job, end to end, in a private place: nothing of the user's is read or left behind.
# openssl is the witness: it shares no code with Privyseal. PRIVYSEAL_BIN=DIR takes ready binaries from DIR.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else bold='' green='' red='' plain=''; fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
good() { printf '%s  ok: %s%s\n' "$green" "$*" "$plain"; }
fail() {
    printf '%sdemo: FAILED: %s%s\n' "$red" "$*" "$plain" >&2
    [[ ! -s ${work:-}/privyseald.log ]] || { echo '--- the end of privyseald.log' >&2; tail -n 20 "$work/privyseald.log" >&2; }
    exit 1
}
# shows a command, then runs it
run() {
    printf '  $ %s\n' "${*//"$work/"/}"
    "$@" || fail "exit code $? from: $*"
}
# expect CODE COMMAND...: it must end with just that exit code
expect() {
    local want=$1 got=0
    shift
    printf '  $ %s\n' "${*//"$work/"/}"
    "$@" || got=$?
    [[ $got == "$want" ]] || fail "exit code $got instead of $want from: $*"
    good "exit code $got"
}
same() { cmp -s "$1" "$2" || fail "$2 is not the mail that went in"; good "the mail is back, byte for byte"; }
# wait_for SECONDS COMMAND...: asks again ten times a second until the command succeeds
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [[ -z $daemon ]] || kill -0 "$daemon" 2>/dev/null || fail "privyseald ended"
        ((SECONDS < deadline)) || fail "waited too long for: $*"
        sleep 0.1
    done
}

work=$(mktemp -d "${TMPDIR:-/tmp}/privyseal-demo.XXXXXX")
bus='' daemon=''
cleanup() {
    trap - EXIT INT TERM
    if [[ -n $daemon ]]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    [[ -z $bus ]] || { kill "$bus" 2>/dev/null || true; wait "$bus" 2>/dev/null || true; }
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ -z ${PRIVYSEAL_BIN:-} ]]; then
    say "Building (release; the first time takes a few minutes)"
    cargo build --release --locked -p privyseald -p privyseal -p privyseal-token -p privyseal-softhsm
    PRIVYSEAL_BIN=${CARGO_TARGET_DIR:-$PWD/target}/release
fi
PATH=$(realpath "$PRIVYSEAL_BIN"):$PATH
began=$SECONDS

say "A token with keys made on it, and a demo PKI"
token=$work/token pin=123456
run privyseal-softhsm init --dir "$token" --pin "$pin"
eval "$(privyseal-softhsm env --dir "$token")"
# nobody is to be asked for a PIN in a demo
printf '\n[pinentry]\nprogram = "/bin/false"\n' >>"$PRIVYSEAL_CONFIG"

say "A private D-Bus, and privyseald on it"
cat >"$work/bus.conf" <<BUS
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=$work/bus</listen>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
BUS
dbus-daemon --config-file="$work/bus.conf" --nofork --nopidfile 2>"$work/bus.log" &
bus=$!
wait_for 10 test -S "$work/bus"
export DBUS_SESSION_BUS_ADDRESS=unix:path=$work/bus
unset DBUS_STARTER_ADDRESS DBUS_STARTER_BUS_TYPE NOTIFY_SOCKET
privyseald 2>"$work/privyseald.log" &
daemon=$!
wait_for 15 privyseal status
token_is_there() { privyseal token list --json | grep -q '"privyseal-demo"'; }
wait_for 30 token_is_there
run privyseal token list
printf '  $ privyseal token unlock privyseal-demo --pin-fd 3\n'
privyseal token unlock privyseal-demo --pin-fd 3 3< <(printf %s "$pin") || fail "unlock"
run privyseal cert list

cd "$work"
# a message as it lies on disk: headers, then a MIME entity
printf 'Content-Type: text/plain; charset=utf-8\r\n\r\nHello Bob,\r\n\r\nthe contract is signed.\r\n\r\nAlice\r\n' >mail.txt

say "Alice signs; openssl and privyseal give their verdicts"
for key in rsa ec; do
    run privyseal sign mail.txt -s "$token/me-$key-sign.pem" -o "signed-$key.eml"
    run openssl cms -verify -in "signed-$key.eml" -CAfile "$token/anchor.pem" \
        -purpose smimesign -out "seen-by-openssl-$key.txt"
    same mail.txt "seen-by-openssl-$key.txt"
    run privyseal verify "signed-$key.eml" -o "seen-by-privyseal-$key.txt"
    same mail.txt "seen-by-privyseal-$key.txt"
done

say "openssl encrypts for Alice; the token opens it"
run openssl cms -encrypt -aes-256-gcm -in mail.txt -out to-alice-rsa.eml "$token/me-rsa-encrypt.pem"
run openssl cms -encrypt -aes-256-cbc -in mail.txt -out to-alice-ec.eml "$token/me-ec-encrypt.pem"
for key in rsa ec; do
    run privyseal decrypt "to-alice-$key.eml" -o "opened-$key.txt"
    same mail.txt "opened-$key.txt"
done

say "Alice encrypts for Bob; openssl opens it with Bob's keys"
run privyseal encrypt mail.txt -r "$token/peer-rsa.pem" -r "$token/peer-ec.pem" -o to-bob.eml
for key in rsa ec; do
    run openssl cms -decrypt -in to-bob.eml -recip "$token/peer-$key.pem" -inkey "$token/peer-$key.key" -out "bob-$key.txt"
    same mail.txt "bob-$key.txt"
done

say "A tampered mail is refused, and nothing of it is written"
sed 's/is signed/is void/' signed-rsa.eml >tampered.eml
expect 3 privyseal verify tampered.eml -o tampered.txt
[[ ! -e tampered.txt ]] || fail "content of a bad message was written"
good "no output"
# one base64 character near the end is another: authenticated encryption notices
awk '{ line[NR] = $0; if (length($0) > 40) last = NR }
     END { for (n = 1; n <= NR; n++) { l = line[n]; if (n == last) l = substr(l, 1, 10) (substr(l, 11, 1) == "A" ? "B" : "A") substr(l, 12); print l } }' \
    to-alice-rsa.eml >broken.eml
expect 1 privyseal decrypt broken.eml -o broken.txt
[[ ! -e broken.txt ]] || fail "plaintext was written before its tag was verified"
good "no output"

say "Locked, the token signs nothing"
run privyseal token lock privyseal-demo
locked=0
privyseal sign mail.txt -s "$token/me-rsa-sign.pem" -o never.eml </dev/null || locked=$?
[[ $locked == [45] && ! -e never.eml ]] || fail "exit code $locked after lock"
good "refused with exit code $locked"

say "privyseald ends cleanly"
kill -TERM "$daemon"
ended=0
wait "$daemon" || ended=$?
daemon=''
[[ $ended == 0 ]] || fail "privyseald ended with $ended"
good "everything worked, in $((SECONDS - began)) s; $work is removed"
