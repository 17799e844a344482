//! Event files of TensorBoard: figures over steps, for those who compare runs there.
//!
//! A file is a list of TFRecords, each `length (u64) | crc(length) | payload | crc(payload)`, little-endian, with CRC-32C masked as
//! `((c >> 15) | (c << 17)) + 0xa282ead8`. A payload is a protobuf `Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 }` with
//! `Summary { repeated Value { string tag = 1; float simple_value = 2 } value = 1 }`; the first says `brain.Event:2`. TensorBoard reads every file whose name contains `tfevents`.
//!
//! Source: TensorFlow, `record_writer.cc`, `event.proto`, `summary.proto`.

use crc::{CRC_32_ISCSI, Crc};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI); // CRC-32C

/// The name of an event file in the folder of a run.
pub const FILE_NAME: &str = "events.out.tfevents.0.snn";

/// The bytes of an event file.
///
/// ```
/// use snn_io::tensorboard::{self, Events};
/// let mut events = Events::new(1.7e9);                            // seconds since 1970
/// events.scalars(1.7e9 + 5.0, 1, &[("loss", 2.1), ("accuracy/train", 0.4)]);
/// events.scalars(1.7e9 + 9.0, 2, &[("loss", 1.2), ("accuracy/train", 0.7)]);
/// let dir = tempfile::tempdir()?;
/// snn_io::atomic::write(dir.path().join(tensorboard::FILE_NAME), events.bytes())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Events(Vec<u8>);

impl Events {
    /// A file without figures, begun at this time (seconds since 1970).
    pub fn new(wall_time: f64) -> Self {
        let mut events = Events(Vec::new());
        let mut event = double(1, wall_time);
        event.extend(text(3, b"brain.Event:2"));
        events.record(&event);
        events
    }

    /// Adds what was measured at `step`: a name and a figure each. TensorBoard groups names by what stands before a `/`.
    pub fn scalars(&mut self, wall_time: f64, step: u64, values: &[(&str, f64)]) {
        let value = |&(tag, x): &(&str, f64)| {
            let mut value = text(1, tag.as_bytes());
            value.push(2 << 3 | 5);
            value.extend((x as f32).to_le_bytes());
            text(1, &value)
        };
        let mut event = double(1, wall_time);
        event.push(2 << 3);
        event.extend(varint(step));
        event.extend(text(5, &values.iter().flat_map(value).collect::<Vec<u8>>()));
        self.record(&event);
    }

    /// The file so far. It only grows.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn record(&mut self, payload: &[u8]) {
        let length = (payload.len() as u64).to_le_bytes();
        self.0.extend(length);
        self.0.extend(masked(&length));
        self.0.extend(payload);
        self.0.extend(masked(payload));
    }
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A field of eight bytes.
fn double(field: u8, x: f64) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 1];
    bytes.extend(x.to_le_bytes());
    bytes
}

/// A field with a length: text, or a message.
fn text(field: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of a message.
    #[derive(Clone, Debug, PartialEq)]
    enum Field {
        Varint(u64),
        Fixed(Vec<u8>),
        Content(Vec<u8>),
    }

    fn number(bytes: &mut &[u8]) -> u64 {
        let end = bytes.iter().position(|b| b & 0x80 == 0).expect("an end");
        let (own, rest) = bytes.split_at(end + 1);
        *bytes = rest;
        own.iter().rev().fold(0, |n, b| n << 7 | u64::from(b & 0x7f))
    }

    fn take(bytes: &mut &[u8], count: usize) -> Vec<u8> {
        let (own, rest) = bytes.split_at(count);
        *bytes = rest;
        own.to_vec()
    }

    /// The fields of a protobuf message.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let key = number(&mut bytes);
            let field = match key & 7 {
                0 => Field::Varint(number(&mut bytes)),
                1 => Field::Fixed(take(&mut bytes, 8)),
                5 => Field::Fixed(take(&mut bytes, 4)),
                _ => {
                    let length = number(&mut bytes) as usize;
                    Field::Content(take(&mut bytes, length))
                }
            };
            all.push((key >> 3, field));
        }
        all
    }

    /// The payloads of a file, every sum checked bit by bit with the polynomial itself.
    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let sum = |bytes: &[u8]| {
            let step =
                |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 });
            let crc = !bytes.iter().fold(u32::MAX, step);
            crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes().to_vec()
        };
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let length = take(&mut bytes, 8);
            assert_eq!(take(&mut bytes, 4), sum(&length));
            let payload = take(&mut bytes, u64::from_le_bytes(length.try_into().expect("eight")) as usize);
            assert_eq!(take(&mut bytes, 4), sum(&payload));
            all.push(payload);
        }
        all
    }

    #[test]
    fn a_file_holds_what_was_put_into_it() {
        assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283); // the check value of CRC-32C
        let mut events = Events::new(1.5);
        events.scalars(2.5, 300, &[("loss", 0.1), ("Genauigkeit/übung", -2.0)]);
        let records = records(events.bytes());
        let content = |x: &[u8]| Field::Content(x.to_vec());
        assert_eq!(fields(&records[0]), [(1, Field::Fixed(1.5f64.to_le_bytes().to_vec())), (3, content(b"brain.Event:2"))]);
        let event = fields(&records[1]);
        assert_eq!(event[..2], [(1, Field::Fixed(2.5f64.to_le_bytes().to_vec())), (2, Field::Varint(300))]);
        let (5, Field::Content(summary)) = &event[2] else { panic!("{event:?}") };
        let values = fields(summary).into_iter().map(|(field, value)| match (field, value) {
            (1, Field::Content(value)) => fields(&value),
            other => panic!("{other:?}"),
        });
        let expected = [("loss", 0.1f32), ("Genauigkeit/übung", -2.0)];
        let expected = expected.map(|(tag, x)| vec![(1, content(tag.as_bytes())), (2, Field::Fixed(x.to_le_bytes().to_vec()))]);
        assert_eq!(values.collect::<Vec<_>>(), expected);
        assert_eq!(records.len(), 2);
    }
}
