//! Benchmark results kept in the repository: with their date, machine and command.

use std::path::Path;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::snn_command;

/// Runs `snn bench …` with `--json` and files the object under `benches/records/DATE-NAME.json`.
pub fn bench(root: &Path, args: &[String]) -> Result<u8, String> {
    let mut args: Vec<String> = args.iter().filter(|arg| *arg != "--record").cloned().collect();
    if !args.iter().any(|arg| arg == "--json") {
        args.push("--json".into());
    }
    let mut run = snn_command(root, "bench", &args);
    let output = run.stderr(Stdio::inherit()).output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Ok(output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2));
    }
    let result: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("`snn bench` did not print one JSON object: {error}"))?;
    let name = result["bench"].as_str().filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    let name = name.ok_or("`snn bench` printed no field \"bench\" with a plain name")?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let date = date(seconds);
    let record =
        json!({ "date": date, "command": format!("cargo xtask bench {}", args.join(" ")), "machine": machine(), "result": result });

    let folder = root.join("benches/records");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let path = folder.join(format!("{date}-{name}.json"));
    std::fs::write(&path, format!("{record:#}\n")).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("{result:#}");
    eprintln!("filed as {}", path.display());
    Ok(0)
}

/// What the figures depend on besides the code.
fn machine() -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    json!({
        "cpu": cpu,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "system": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
    })
}

/// The day, as year-month-day in UTC (Hinnant, "chrono-compatible low-level date algorithms").
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, day) in [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (951_868_800, "2000-03-01"), (1_798_761_599, "2026-12-31")] {
            assert_eq!(date(seconds), day);
        }
    }
}
