#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drey_fuzz::flink::flink(data));
