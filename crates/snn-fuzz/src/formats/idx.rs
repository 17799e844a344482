//! The MNIST family.

use super::{Format, LEAST, PLAIN, gzip};

pub const FORMAT: Format = Format { name: "idx", seeds, forms: &[PLAIN, gzip], words: &[], memory: |n| LEAST + 8 * n, read };

fn seeds() -> Vec<Vec<u8>> {
    let file = |dims: &[u32]| {
        let size = dims.iter().product::<u32>();
        [vec![0, 0, 8, dims.len() as u8], dims.iter().flat_map(|n| n.to_be_bytes()).collect(), (0..size).map(|i| i as u8).collect()]
            .concat()
    };
    vec![file(&[2, 1, 3]), file(&[10]), file(&[3, 28, 28]), file(&[0, 4])]
}

fn read(path: &std::path::Path) -> Result<Box<dyn FnOnce()>, String> {
    let idx = snn_io::idx::read(path).map_err(|e| e.to_string())?;
    Ok(Box::new(move || assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len())))
}
