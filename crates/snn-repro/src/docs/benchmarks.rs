//! The newest record of each benchmark.

use std::path::Path;

use serde_json::Value;

use super::json_files;
use crate::LabError;
use crate::table::markdown;

/// The newest record of each benchmark in `folder`: machine, figures, measurements, notes.
pub(super) fn render(folder: &Path) -> Result<String, LabError> {
    let mut newest: std::collections::BTreeMap<String, Value> = Default::default();
    for path in json_files(folder)? {
        let bytes = std::fs::read(&path).map_err(LabError::io("read", &path))?;
        let record: Value = serde_json::from_slice(&bytes).map_err(|error| LabError::BadResult { path: path.clone(), cause: error })?;
        // File names begin with the date, so the last one is the newest.
        newest.insert(plain(&record["result"]["bench"]), record);
    }
    let mut text = String::new();
    for (name, record) in &newest {
        let (machine, result) = (&record["machine"], &record["result"]);
        let list = |field: &str| result[field].as_array().map_or(&[][..], Vec::as_slice);
        text += &format!(
            "## {name}\n\n{}, {}, {} cores. `{}`\n\n",
            plain(&record["date"]),
            plain(&machine["cpu"]),
            machine["cores"],
            plain(&record["command"])
        );
        text += &markdown(
            ["figure", "value", "wanted"],
            list("summary").iter().map(|figure| {
                let value = figure["value"].as_f64().map_or("—".into(), |v| format!("{v:.3}"));
                vec![plain(&figure["what"]), value, plain(&figure["wanted"])]
            }),
        );
        text.push('\n');
        let columns: Vec<&String> = list("rows").first().and_then(Value::as_object).map_or(Vec::new(), |row| row.keys().collect());
        let row = |row: &Value| columns.iter().map(|c| plain(&row[c.as_str()])).collect::<Vec<_>>();
        text += &markdown(columns.iter().map(|c| c.as_str()), list("rows").iter().map(row));
        text += "\n";
        text.extend(list("notes").iter().map(|note| format!("- {}\n", plain(note))));
    }
    Ok(if text.is_empty() { "No records are filed yet.\n".into() } else { text })
}

/// A JSON value as the text of a table cell.
fn plain(value: &Value) -> String {
    match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.into(),
        (None, Some(x)) if x.fract() != 0.0 => format!("{x:.3e}"),
        _ => value.to_string(),
    }
}
