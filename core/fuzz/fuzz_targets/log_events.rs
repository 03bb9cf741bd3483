#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dbgraft::fuzzing::log_events(data));
