#!/bin/bash
# Fuzzes what reads strangers' bytes: every target of fuzz/, two at a time, and ends with a table.
#   SECONDS_EACH=600  how long each target runs        TARGETS="ber mime"  only these
#   FUZZ_JOBS=2       how many run at once             `fuzz.sh collect`   renews the stored corpus (fuzz/corpus-min)
# Starts from seeds that are made here, and from the conformance sets where they are on the machine (PRIVYSEAL_CONFORMANCE,
# or ../shared/conformance). Ends with 1 if any target crashed, hung or ran out of memory; the input is then in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

each=${SECONDS_EACH:-600} jobs=${FUZZ_JOBS:-2}
max_len=$((256 << 10)) # keys and signatures above 64 KiB are within reach (CVE-2021-43527)
read -r -a targets <<<"${TARGETS:-ber signed enveloped auth_enveloped compressed mime header_verdict certificate crl}"
logs=$PWD/fuzz/logs

command -v rustup >/dev/null || { echo "fuzz: rustup is needed for a nightly compiler: https://rustup.rs" >&2; exit 1; }
rustup run nightly rustc --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-fuzz
mkdir -p "$logs" fuzz/artifacts

seeds() { cargo run --quiet --locked -p privyseal-fuzz-targets --bin fuzz-seeds -- "$@"; }
host=$(rustc -vV | sed -n 's/^host: //p')
fuzzer() { echo "$PWD/fuzz/target/$host/release/$1"; }
# the fuzzers have a target folder of their own: another compiler, and sanitizers
CARGO_TARGET_DIR=$PWD/fuzz/target cargo +nightly fuzz build

# collect: the smallest inputs that reach everything, without any that shares a piece with the conformance sets
if [[ ${1:-} == collect ]]; then
    for target in "${targets[@]}"; do
        own=$(mktemp -d) small=$(mktemp -d)
        seeds own "$target" "fuzz/corpus/$target" "$own"
        "$(fuzzer "$target")" -set_cover_merge=1 -rss_limit_mb=2048 -timeout=60 "$small" "$own" 2>"$logs/$target.merge.log"
        mkdir -p "fuzz/corpus-min/$target"
        cp -n "$small"/* "fuzz/corpus-min/$target/" || true
        echo "$target: $(find "fuzz/corpus-min/$target" -type f | wc -l) inputs stored"
        rm -rf "$own" "$small"
    done
    exit 0
fi

seeds write fuzz/corpus
for target in "${targets[@]}"; do
    mkdir -p "fuzz/artifacts/$target"
    [[ ! -d fuzz/corpus-min/$target ]] || cp -n "fuzz/corpus-min/$target"/* "fuzz/corpus/$target/" || true
done

# run_one TARGET: its log and exit code are in fuzz/logs
run_one() {
    local code=0
    "$(fuzzer "$1")" "fuzz/corpus/$1" -artifact_prefix="fuzz/artifacts/$1/" -max_total_time="$each" -max_len="$max_len" \
        -len_control=20 -timeout=60 -rss_limit_mb=2048 -use_value_profile=0 -print_final_stats=1 >"$logs/$1.log" 2>&1 || code=$?
    echo "$code" >"$logs/$1.rc"
}
for target in "${targets[@]}"; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n; done
    run_one "$target" &
done
wait

failed=0
printf '\n%-16s %12s %8s %8s %8s  %s\n' target runs exec/s cov seconds result
for target in "${targets[@]}"; do
    log=$logs/$target.log
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
    runs=$(stat number_of_executed_units)
    rate=$(stat average_exec_per_sec)
    cov=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2 || true)
    seconds=$(sed -n 's/^Done [0-9]* runs in \([0-9]*\) second.*/\1/p' "$log")
    result=clean
    if [[ $(<"$logs/$target.rc") != 0 ]]; then
        failed=1
        result="FAILED: $(grep -m1 -E 'panicked at|ERROR:|SUMMARY:' "$log" || echo "see $log")"
    fi
    printf '%-16s %12s %8s %8s %8s  %s\n' "$target" "${runs:-?}" "${rate:-?}" "${cov:-?}" "${seconds:-?}" "$result"
done
exit "$failed"
