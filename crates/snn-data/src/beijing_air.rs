//! Air quality in Beijing, hour by hour.

use crate::{error::DataError, readings::Readings, source::Source};
use snn_io::csv::{Options, Table, read};
use std::path::Path;

const SOURCE: Source =
    Source { set: "Beijing Multi-Site Air Quality", from: "https://archive.ics.uci.edu/dataset/501/beijing+multi+site+air+quality+data" };

/// The readings of one quantity at all stations whose files lie in the folder `beijing-air` in `dir`, plain or gzip, in the order of the files' names: hourly values from March
/// 2013 to February 2017. Quantities are the files' columns: `PM2.5`, `PM10`, `SO2`, `NO2`, `CO`, `O3` (µg/m³), `TEMP`, `DEWP` (°C), `PRES` (hPa), `RAIN` (mm), `WSPM` (m/s). Missing
/// values (`NA`) are NaN.
///
/// Source: Zhang, Guo, Dong, He, Xu & Chen 2017, Proceedings of the Royal Society A 473:20170457.
///
/// # Errors
/// [`DataError::Missing`]; [`DataError::Contents`] if a file has another number of rows, an hour out of its turn, or no such column, or if there are fewer than two files; [`DataError::Io`].
///
/// ```no_run
/// let readings = snn_data::beijing_air("data", "PM2.5")?;
/// println!("{} hours at {:?}, {:.1} % missing", readings.rows.len(), readings.names, 100.0 * readings.missing());
/// # Ok::<(), snn_data::DataError>(())
/// ```
pub fn beijing_air(dir: impl AsRef<Path>, quantity: &str) -> Result<Readings, DataError> {
    let dir = dir.as_ref().join("beijing-air");
    let mut files: Vec<String> = Vec::new();
    for extension in ["csv", "gz"] {
        files.extend(SOURCE.stems(&dir, extension)?.into_iter().map(|stem| format!("{stem}.{extension}")));
    }
    files.sort();
    if files.len() < 2 {
        return SOURCE.wrong(&dir, format!("{} files", files.len()), "a file for each of two stations or more, .csv or .csv.gz");
    }
    let (mut names, mut rows) = (Vec::new(), Vec::<Vec<f64>>::new());
    for (k, file) in files.iter().enumerate() {
        let path = dir.join(file);
        let table = read(&path, &Options { missing: &["NA"], text: &["wd", "station"], ..Options::default() })?;
        hourly(&path, &table)?;
        let Some(column) = table.column(quantity) else {
            return SOURCE.wrong(&path, format!("the columns {:?}", table.columns), format!("a column {quantity}"));
        };
        names.push(table.text("station").and_then(|names| names.first()).cloned().unwrap_or_default());
        if k == 0 {
            rows = vec![Vec::with_capacity(files.len()); table.rows];
        } else if rows.len() != table.rows {
            return SOURCE.wrong(&path, format!("{} rows", table.rows), format!("{}, as in {}", rows.len(), files[0]));
        }
        rows.iter_mut().zip(column).for_each(|(row, x)| row.push(f64::from(x)));
    }
    Ok(Readings { names, rows })
}

/// That rows are numbered from 1 on and hours follow each other.
fn hourly(path: &Path, table: &Table) -> Result<(), DataError> {
    let (Some(number), Some(hour)) = (table.column("No"), table.column("hour")) else {
        return SOURCE.wrong(path, format!("the columns {:?}", table.columns), "columns No and hour among them");
    };
    let first = table.column("hour").and_then(|mut hours| hours.next()).unwrap_or(0.0);
    match number.zip(hour).enumerate().find(|(k, (number, hour))| *number != (k + 1) as f32 || *hour != (first + *k as f32) % 24.0) {
        Some((k, (number, hour))) => {
            SOURCE.wrong(path, format!("row {}: number {number}, hour {hour}", k + 1), "rows from 1 on, one for each hour")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(name: &str, rows: &[&str]) -> String {
        let lines = rows.iter().enumerate().map(|(k, x)| format!("{},{},{x},NA,{name}\n", k + 1, (k + 23) % 24));
        format!("\"No\",\"hour\",\"PM2.5\",\"wd\",\"station\"\n{}", lines.collect::<String>())
    }

    fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("beijing-air")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join("beijing-air").join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn stations_are_read_side_by_side() {
        let dir = folder(&[("b.csv", station("B", &["3", "NA"])), ("a.csv", station("A", &["1", "2"]))]);
        let readings = beijing_air(dir.path(), "PM2.5").unwrap();
        assert_eq!((&readings.names[..], &readings.rows[0][..]), (&["A".to_string(), "B".to_string()][..], &[1.0, 3.0][..]));
        assert!(readings.rows[1][0] == 2.0 && readings.rows[1][1].is_nan());
    }

    #[test]
    fn wrong_files_are_named() {
        let says = |files: &[(&str, String)], quantity: &str, what: &str| {
            let message = beijing_air(folder(files).path(), quantity).unwrap_err().to_string();
            assert!(message.contains(what) && message.contains("beijing-air"), "{message}");
        };
        let a = ("a.csv", station("A", &["1", "2"]));
        says(std::slice::from_ref(&a), "PM2.5", "found 1 files");
        says(&[a.clone(), ("b.csv", station("B", &["1"]))], "PM2.5", "found 1 rows, expected 2, as in a.csv");
        says(&[a.clone(), a.clone(), ("b.csv", station("B", &["1", "2"]))], "CO", "a column CO");
        let late = station("B", &["1", "2"]).replace("2,0,2", "2,1,2");
        says(&[a.clone(), ("b.csv", late)], "PM2.5", "row 2: number 2, hour 1");
        assert!(matches!(beijing_air("no/such", "CO"), Err(DataError::Missing { .. })));
    }

    #[test]
    fn the_real_stations() {
        let Some(data) = std::env::var_os("SNN_DATA") else { return eprintln!("skipped: SNN_DATA not set") };
        let readings = beijing_air(data, "PM2.5").unwrap();
        assert_eq!((readings.rows.len(), readings.names.len(), readings.names[2].as_str()), (35_064, 10, "Dingling"));
        assert!((0.005..0.05).contains(&readings.missing()), "{}", readings.missing());
    }
}
