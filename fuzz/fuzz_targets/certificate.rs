#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| privyseal_fuzz_targets::run("certificate", data));
