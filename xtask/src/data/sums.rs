//! Whether a file is the one that was published.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::Digest;

use super::catalogue::Item;
use super::http::part_of;

/// A published sum, in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// MD5: enough against accidents, not against an attacker. Given where the publisher or the field's loaders have nothing better.
    Md5(&'static str),
    /// SHA-256.
    Sha256(&'static str),
}

impl Sum {
    /// The name of the kind.
    pub fn kind(self) -> &'static str {
        match self {
            Sum::Md5(_) => "MD5",
            Sum::Sha256(_) => "SHA-256",
        }
    }

    /// The digits.
    pub fn hex(self) -> &'static str {
        match self {
            Sum::Md5(hex) | Sum::Sha256(hex) => hex,
        }
    }

    /// The sum of this kind of what `from` gives.
    pub fn of(self, from: impl Read) -> io::Result<String> {
        match self {
            Sum::Md5(_) => digest::<md5::Md5>(from),
            Sum::Sha256(_) => sha256(from),
        }
    }
}

/// The SHA-256 of what `from` gives.
pub fn sha256(from: impl Read) -> io::Result<String> {
    digest::<sha2::Sha256>(from)
}

fn digest<D: Digest>(mut from: impl Read) -> io::Result<String> {
    let (mut digest, mut buffer) = (D::new(), vec![0; 1 << 16]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            Ok(n) => digest.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a check of one file came to.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Nothing there.
    Missing,
    /// The published bytes; or, `again`, the published contents compressed again or not at all.
    Good { again: bool },
    /// The archive is gone, but what it holds is there: nothing to compare with.
    Unpacked,
    /// No sum is known; this is what it has.
    NoSum { sha256: String },
    /// Something else.
    Bad { path: PathBuf, kind: &'static str, expected: &'static str, found: String },
}

/// Compares a file of the folder `dir` with its sum, and with that of its contents where the bytes differ. Reads it once or twice.
pub fn check(item: &Item, dir: &Path) -> Result<Verdict, String> {
    let path = dir.join(item.name);
    if let Some(file) = open(&path)? {
        let failed = |error| format!("cannot read {}: {error}", path.display());
        let Some(sum) = item.sum else { return Ok(Verdict::NoSum { sha256: sha256(file).map_err(failed)? }) };
        let found = sum.of(file).map_err(failed)?;
        if found == sum.hex() {
            return Ok(Verdict::Good { again: false });
        }
        if let (Some((_, inside)), Some(file)) = (item.inside, open(&path)?) {
            // What cannot be unpacked is bad for that reason too: the first sum tells enough.
            if inside.of(MultiGzDecoder::new(file)).is_ok_and(|found| found == inside.hex()) {
                return Ok(Verdict::Good { again: true });
            }
        }
        return Ok(Verdict::Bad { path, kind: sum.kind(), expected: sum.hex(), found });
    }
    if let (Some((_, sum)), Some(name)) = (item.inside, item.name.strip_suffix(".gz")) {
        let path = dir.join(name);
        if let Some(file) = open(&path)? {
            let found = sum.of(file).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let good = found == sum.hex();
            return Ok(if good {
                Verdict::Good { again: true }
            } else {
                Verdict::Bad { path, kind: sum.kind(), expected: sum.hex(), found }
            });
        }
    }
    Ok(if unpacked(item, dir) { Verdict::Unpacked } else { Verdict::Missing })
}

/// What a look at the folder tells, without reading the files: `present`, `damaged?`, `part` or `missing`.
pub fn glance(item: &Item, dir: &Path) -> &'static str {
    let path = dir.join(item.name);
    let bytes = |path: &Path| path.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
    let right = |known: u64, found: u64| if known == 0 || known == found { "present" } else { "damaged?" };
    let inside = item.inside.map(|(bytes, _)| bytes);
    if let Some(found) = bytes(&path) {
        return match inside {
            // A gzip file ends in the length of what it holds.
            Some(inside) if item.bytes != Some(found) => right(inside, gzip_length(&path).unwrap_or(u64::MAX)),
            _ => right(item.bytes.unwrap_or(0), found),
        };
    }
    let plain = item.name.strip_suffix(".gz").and_then(|name| bytes(&dir.join(name)));
    match (inside, plain) {
        (Some(inside), Some(found)) => right(inside, found),
        _ if unpacked(item, dir) => "present",
        _ if part_of(&path).exists() => "part",
        _ => "missing",
    }
}

fn gzip_length(path: &Path) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    let (mut file, mut last) = (File::open(path)?, [0; 4]);
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut last)?;
    Ok(u32::from_le_bytes(last).into())
}

fn unpacked(item: &Item, dir: &Path) -> bool {
    item.unpacked.iter().any(|name| dir.join(name).exists())
}

fn open(path: &Path) -> Result<Option<BufReader<File>>, String> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot open {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::FILE;
    use super::*;
    use std::fs;
    use std::io::Write;

    /// RFC 1321, appendix A.5, and FIPS 180-2, appendix B.1.
    const MD5_ABC: Sum = Sum::Md5("900150983cd24fb0d6963f7d28e17f72");
    const SHA256_ABC: Sum = Sum::Sha256("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    fn gz(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn sums_are_those_of_the_standards() {
        assert_eq!(MD5_ABC.of(&b"abc"[..]).unwrap(), MD5_ABC.hex());
        assert_eq!(SHA256_ABC.of(&b"abc"[..]).unwrap(), SHA256_ABC.hex());
    }

    #[test]
    fn files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let item = Item { name: "x.gz", bytes: Some(1), sum: Some(Sum::Md5("0")), inside: Some((3, MD5_ABC)), unpacked: &["y"], ..FILE };
        let both = || (check(&item, dir).unwrap(), glance(&item, dir));
        assert_eq!(both(), (Verdict::Missing, "missing"));
        fs::write(dir.join("x.gz.part"), "").unwrap();
        assert_eq!(both(), (Verdict::Missing, "part"));
        fs::write(dir.join("y"), "").unwrap();
        assert_eq!(both(), (Verdict::Unpacked, "present"));
        fs::write(dir.join("x"), "abc").unwrap();
        assert_eq!(both(), (Verdict::Good { again: true }, "present"));
        fs::write(dir.join("x"), "abcd").unwrap();
        let (verdict, glance) = both();
        assert!(matches!(verdict, Verdict::Bad { path, .. } if path == dir.join("x")) && glance == "damaged?");
        for level in [0, 9] {
            fs::write(dir.join("x.gz"), gz(b"abc", level)).unwrap();
            assert_eq!(both(), (Verdict::Good { again: true }, "present"));
        }
        for wrong in [gz(b"abcd", 9), b"".to_vec(), gz(b"abc", 9)[..20].to_vec()] {
            fs::write(dir.join("x.gz"), wrong).unwrap();
            let (verdict, glance) = both();
            assert!(matches!(verdict, Verdict::Bad { path, .. } if path == dir.join("x.gz")) && glance == "damaged?");
        }
    }

    #[test]
    fn published_bytes_and_files_without_a_sum() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x"), "abc").unwrap();
        let item = Item { name: "x", sum: Some(SHA256_ABC), ..FILE };
        assert_eq!(check(&item, dir.path()).unwrap(), Verdict::Good { again: false });
        let item = Item { name: "x", ..FILE };
        assert_eq!(check(&item, dir.path()).unwrap(), Verdict::NoSum { sha256: SHA256_ABC.hex().into() });
        assert_eq!(glance(&item, dir.path()), "present");
    }
}
