//! Sound.

use super::{Format, LEAST, PLAIN};
use snn_io::wav;

pub const FORMAT: Format = Format {
    name: "wav",
    seeds,
    forms: &[PLAIN],
    words: &["RIFF", "WAVE", "fmt ", "data", "LIST", "fact"],
    memory: |n| LEAST + 8 * n,
    read,
};

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len() % 2];
    [&name[..], &(body.len() as u32).to_le_bytes(), body, &padding].concat()
}

/// Format 1 is whole numbers, 3 floats; −2 the extensible form of the first.
fn sound(format: i16, channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let align = channels * (bits / 8);
    let mut head =
        [&format.to_le_bytes()[..], &channels.to_le_bytes(), &8000u32.to_le_bytes(), &(8000 * u32::from(align)).to_le_bytes()].concat();
    head.extend([align.to_le_bytes(), bits.to_le_bytes()].concat());
    if format == -2 {
        head.extend(
            [&[22, 0][..], &bits.to_le_bytes(), &[0; 4], &[1, 0, 0, 0, 0, 0, 16, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]].concat(),
        );
    }
    let body = [b"WAVE".to_vec(), chunk(b"LIST", b"odd"), chunk(b"fmt ", &head), chunk(b"data", data)].concat();
    chunk(b"RIFF", &body)
}

fn seeds() -> Vec<Vec<u8>> {
    let ramp: Vec<u8> = (0..240).collect();
    let floats: Vec<u8> = (0..20).flat_map(|i| (i as f32 / 20.0).to_le_bytes()).collect();
    vec![
        sound(1, 1, 16, &ramp),
        sound(1, 2, 8, &ramp),
        sound(1, 1, 24, &ramp),
        sound(1, 1, 32, &ramp),
        sound(3, 1, 32, &floats),
        sound(-2, 2, 24, &ramp),
    ]
}

fn read(path: &std::path::Path) -> Result<Box<dyn FnOnce()>, String> {
    let sound = wav::read(path).map_err(|e| e.to_string())?;
    Ok(Box::new(move || {
        assert!(sound.rate > 0 && sound.channels > 0);
        assert!(sound.samples.iter().all(|x| x.is_finite()));
        assert_eq!(sound.mono().len() * usize::from(sound.channels), sound.samples.len(), "frames are whole");
    }))
}
