//! Address events, and the recordings of N-MNIST made of them.

use super::{Format, LEAST, PLAIN, beside};
use snn_core::{Dataset, Raster};
use snn_data::{Nmnist, NmnistParams, Split};
use snn_io::{Event, aer};
use std::path::Path;

pub const FORMAT: Format = Format { name: "aer", seeds, forms: &[PLAIN], words: &[], memory: |n| LEAST + 8 * n, read };

fn seeds() -> Vec<Vec<u8>> {
    let event = |[x, y, on, t]: [u32; 4]| {
        let [_, high, middle, low] = (t | on << 23).to_be_bytes();
        [x as u8, y as u8, high, middle, low]
    };
    let long = (0..500).flat_map(|i| event([i * 7 % 34, i * 11 % 34, i % 2, 600 * i])).collect();
    vec![event([3, 9, 1, 120]).to_vec(), [event([0, 0, 0, 0]), event([255, 255, 1, (1 << 23) - 1])].concat(), long]
}

fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    let events = aer::read(path).map_err(|e| e.to_string())?;
    let path = path.to_path_buf();
    Ok(Box::new(move || {
        assert!(!events.is_empty() && events.is_sorted_by_key(|event| event.t_us));
        let copy = beside(&path);
        aer::write(&copy, &events).unwrap();
        assert_eq!(aer::read(&copy).unwrap(), events);
        std::fs::remove_file(copy).unwrap();
        recordings(&path, &events);
    }))
}

/// As the only recording of a data set: it is refused, or its trial has those events.
fn recordings(path: &Path, events: &[Event]) {
    let root = path.with_extension("nmnist");
    (0..10).for_each(|digit| std::fs::create_dir_all(root.join(format!("Train/{digit}"))).unwrap());
    std::fs::copy(path, root.join("Train/3/00001.bin")).unwrap();
    let outside = events.iter().any(|event| event.x.max(event.y) >= 34);
    match Nmnist::open(&root, Split::Train, NmnistParams::default()) {
        Err(error) => assert!(outside && error.to_string().contains("00001.bin"), "{error}"),
        Ok(set) => {
            let mut trial = Raster::default();
            set.load(0, &mut trial);
            assert!(!outside && trial.iter().count() <= events.len());
        }
    }
    std::fs::remove_dir_all(root).unwrap();
}
