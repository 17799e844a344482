//! A short bout of every format, and the inputs that once failed.

use snn_fuzz::{Settings, bout, formats, replay};
use std::path::Path;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: snn_repro::memory::Counting = snn_repro::memory::Counting;

/// One test, because the allocator counts for the whole program.
#[test]
fn nothing_breaks_a_reader() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    for format in formats::ALL {
        for (k, bytes) in formats::failed_before(format).iter().enumerate() {
            if let Err(why) = replay(format, bytes, &out).unwrap() {
                panic!("{}: input {k} of the corpus: {why}", format.name);
            }
        }
        let settings = Settings { seed: 1, time: Duration::from_secs(1), inputs: 2000, out: out.clone() };
        let report = bout(format, &settings).unwrap();
        assert!(report.failures.is_empty(), "{}: {:#?}", format.name, report.failures);
        assert!(report.most > 0 && report.read > 0, "{}: {report:?}", format.name);
    }
}
