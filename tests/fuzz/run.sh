#!/usr/bin/env bash
# Fuzzes the decoders and the verifiers of proofs with libFuzzer and AddressSanitizer, each target for --seconds N (default 60) or those named.
# Installs cargo-fuzz where it is missing. Inputs that were worth keeping stay in target/fuzz/corpus.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
seconds=60
[ "${1:-}" != --seconds ] || { seconds=$2; shift 2; }
targets=("$@")
[ $# -gt 0 ] || targets=(records json values wire proofs notes)
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
# The sanitizers are behind a flag of the nightly compiler, which the stable one takes too when told so.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$TARGET/fuzz
for target in "${targets[@]}"; do
    title "fuzzing $target for $seconds s"
    mkdir -p "$TARGET/fuzz/corpus/$target" "$TARGET/fuzz/artifacts/$target"
    cargo fuzz run --fuzz-dir tests/fuzz "$target" "$TARGET/fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=512 -malloc_limit_mb=128 -timeout=10 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$TARGET/fuzz/artifacts/$target/"
done
