//! Checkpoints of trainings.

use super::{Form, Format, LEAST, PLAIN, beside};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Network, Seed, ms};
use snn_io::codec;
use snn_learn::{Checkpoint, DeepR, Loss, Optimiser, Options, Over, SparseBptt, Trainer};
use std::path::Path;

pub const FORMAT: Format = Format {
    name: "checkpoint",
    seeds,
    forms: &[PLAIN, SEALED],
    words: &["SNNCKPT\0", "deep_r"],
    // An empty list is one byte there and 24 here.
    memory: |n| 4 * LEAST + 64 * n,
    read,
};

/// The same payload under a header that fits: else the checksum hides what is behind it.
const SEALED: Form = |bytes| {
    let payload = bytes.get(24..).unwrap_or_default();
    let mut sealed = [&b"SNNCKPT\0\x01\0\0\0"[..], &(payload.len() as u64).to_le_bytes()].concat();
    let crc = crc32fast::hash(&[&sealed[..], payload].concat());
    sealed.extend(crc.to_le_bytes());
    sealed.extend(payload);
    sealed
};

fn net() -> Network {
    let net = Net::new(ms(1.0)).input("in", 2).population("hidden", 5, Lif::default()).population("out", 2, Li::default());
    let net = net.project("in", "hidden", Connect::Random { p: 0.5 }, Init::normal(0.5)).project(
        "hidden",
        "out",
        Connect::All,
        Init::normal(0.5),
    );
    net.output("out").build(Seed::new(1)).expect("a good network")
}

/// One whose links stay, one whose links move.
fn trainers() -> [Trainer; 2] {
    let trainer = || {
        let options = Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1));
        Trainer::new(&net(), SparseBptt::default(), Optimiser::adam(1e-2), options).expect("a good trainer")
    };
    [trainer(), trainer().with_structure(DeepR::new(1e-4)).expect("links that can move")]
}

fn seeds() -> Vec<Vec<u8>> {
    let path = std::env::temp_dir().join(format!("snn-fuzz-seed-{}.ckpt", std::process::id()));
    let written = trainers().map(|trainer| {
        codec::save(&path, &trainer.checkpoint()).expect("a checkpoint");
        std::fs::read(&path).expect("just written")
    });
    let _ = std::fs::remove_file(path);
    written.into()
}

fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    let checkpoint: Checkpoint = codec::load(path).map_err(|e| e.to_string())?;
    let copy = beside(path);
    Ok(Box::new(move || {
        codec::save(&copy, &checkpoint).unwrap();
        assert_eq!(format!("{:?}", codec::load::<Checkpoint>(&copy).unwrap()), format!("{checkpoint:?}"));
        std::fs::remove_file(copy).unwrap();
        for mut trainer in trainers() {
            // As text, so that a NaN equals itself.
            let before = format!("{:?}", trainer.checkpoint());
            let expected = if trainer.restore(&checkpoint).is_ok() { format!("{checkpoint:?}") } else { before };
            assert_eq!(format!("{:?}", trainer.checkpoint()), expected, "restored whole, or not at all");
        }
    }))
}
