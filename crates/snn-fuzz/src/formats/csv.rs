//! Tables of numbers.

use super::{Format, LEAST, PLAIN, gzip};
use snn_io::csv::{self, Options, Rows};
use std::path::Path;

pub const FORMAT: Format = Format {
    name: "csv",
    seeds,
    forms: &[PLAIN, gzip],
    words: &["NA", "wd", ",", ";", "\"", "\r\n", "\n", "\"\"", "\u{feff}", " "],
    // A text of one letter is a `String`.
    memory: |n| LEAST + 64 * n,
    read,
};

fn seeds() -> Vec<Vec<u8>> {
    let rows: String = (0..40).map(|k| format!("{k},{},{:e},NA\n", 0.25 * f64::from(k), f64::from(k) - 7.5)).collect();
    vec![
        b"a,b\n1,2\n3,4\n".to_vec(),
        b"\"hour\",\"PM2.5\",\"wd\"\n0,9,\"NNW\"\n1,NA,\"N\"\n".to_vec(),
        format!("t,x,y,z\n{rows}").into_bytes(),
    ]
}

fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    let by_rows = rows(path);
    if let Err(error) = &by_rows {
        assert!(error.starts_with(&*path.to_string_lossy()), "{error}");
    }
    let text = Options { missing: &["NA"], text: &["wd"], ..Options::default() };
    let plain = Options { missing: &["NA"], ..Options::default() };
    let bare = csv::read(path, &Options { header: false, ..plain });
    let table = csv::read(path, &text).or_else(|_| csv::read(path, &plain)).map_err(|e| e.to_string())?;
    Ok(Box::new(move || {
        for table in bare.iter().chain([&table]) {
            assert_eq!(table.values.len(), table.rows * table.columns.len());
            assert!(table.rows > 0 && table.texts.iter().all(|(_, entries)| entries.len() == table.rows));
            assert!(table.values.iter().all(|x| !x.is_infinite()));
        }
        // Two readers of one table.
        if table.texts.is_empty() {
            let values = by_rows.unwrap();
            assert_eq!(values.len(), table.values.len());
            assert!(
                values
                    .iter()
                    .zip(&table.values)
                    .all(|(a, b)| (*a as f32 - b).abs() <= b.abs() * f32::EPSILON || (a.is_nan() && b.is_nan()) || b.is_subnormal())
            );
        }
    }))
}

fn rows(path: &Path) -> Result<Vec<f64>, String> {
    let (mut rows, mut all) = (Rows::open(path).map_err(|e| e.to_string())?, Vec::new());
    while rows.next().map_err(|e| e.to_string())? {
        for k in 0..rows.columns().len() {
            all.push(rows.number(k, &["NA"]).map_err(|e| e.to_string())?);
        }
    }
    Ok(all)
}
