//! Lets libFuzzer feed `src/frame.rs`.
#![no_main]

#[path = "../src/frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    frame::run(data);
});
