//! One plot for each paper, beside its page.

use std::path::{Path, PathBuf};

use super::json_files;
use crate::{LabError, RunResult, papers};

/// Larger drawings do not belong into a repository (chosen).
const LARGEST: u64 = 60_000;

/// The plots filed for a paper, as file names in `docs/papers/plots/`, with captions. A file is called after its paper and its plot: `ssgd-window.svg`.
pub(super) fn of(root: &Path, id: &str) -> Result<Vec<(String, String)>, LabError> {
    let own = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let plot = name.strip_suffix(".svg")?.strip_prefix(id)?.strip_prefix('-')?.replace('-', " ");
        Some((name, format!("{id}: {plot}")))
    };
    Ok(super::files(&folder(root), "svg")?.into_iter().filter_map(own).collect())
}

fn folder(root: &Path) -> PathBuf {
    root.join("docs/papers/plots")
}

/// Copies one plot for each paper from the runs under `out`, the folder that was given to `snn reproduce --out`, in the place of those that were there.
///
/// Of several runs the one with the larger scale counts, then the first. Of its plots: the first that is a curve (its numbers stand beside it as CSV), else the first,
/// if it is small enough to be kept. Returns the files written.
///
/// # Errors
/// [`LabError::BadResult`] and [`LabError::Io`].
pub fn copy(root: &Path, out: &Path) -> Result<Vec<PathBuf>, LabError> {
    let mut written = Vec::new();
    for paper in papers::all() {
        let mut runs: Vec<(RunResult, PathBuf)> = Vec::new();
        for run in super::entries(&out.join(paper.id))? {
            if json_files(&run)?.iter().any(|path| path.ends_with("result.json")) {
                runs.push((RunResult::read(&run.join("result.json"))?, run));
            }
        }
        runs.sort_by_key(|(result, _)| std::cmp::Reverse(result.scale));
        let Some(plot) = runs.iter().find_map(|(result, run)| choose(result, run)) else { continue };
        let folder = folder(root);
        std::fs::create_dir_all(&folder).map_err(LabError::io("create the folder", &folder))?;
        for (old, _) in of(root, paper.id)? {
            let old = folder.join(old);
            std::fs::remove_file(&old).map_err(LabError::io("remove", &old))?;
        }
        let name = plot.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let to = folder.join(format!("{}-{name}", paper.id));
        std::fs::copy(&plot, &to).map_err(LabError::io("copy a plot to", &to))?;
        written.push(to);
    }
    Ok(written)
}

/// The plot of a run that is shown.
fn choose(result: &RunResult, run: &Path) -> Option<PathBuf> {
    let here = result.files.iter().filter_map(|file| Some(run.join(Path::new(file).file_name()?)));
    let small =
        |path: &PathBuf| path.extension().is_some_and(|e| e == "svg") && std::fs::metadata(path).is_ok_and(|meta| meta.len() <= LARGEST);
    let plots: Vec<PathBuf> = here.filter(small).collect();
    plots.iter().find(|path| path.with_extension("csv").is_file()).or(plots.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_small_curve_of_the_largest_run_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (root, out) = (dir.path().join("root"), dir.path().join("out"));
        for (scale, files) in
            [("short", &["x.svg", "x.csv"][..]), ("paper", &["large.svg", "large.csv", "raster.svg", "curve.svg", "curve.csv"])]
        {
            let run = out.join(format!("ssgd/{scale}-1"));
            std::fs::create_dir_all(&run).unwrap();
            let names: Vec<String> = files.iter().map(|file| format!("{:?}", format!("elsewhere/{file}"))).collect();
            let result = format!(
                r#"{{"paper":"ssgd","scale":"{scale}","seed":1,"threads":2,"data":true,"seconds":1,"peak_bytes":null,"claims":[],"files":[{}]}}"#,
                names.join(",")
            );
            std::fs::write(run.join("result.json"), result).unwrap();
            for file in files {
                std::fs::write(run.join(file), vec![b' '; if *file == "large.svg" { 70_000 } else { 10 }]).unwrap();
            }
        }
        std::fs::create_dir_all(folder(&root)).unwrap();
        std::fs::write(folder(&root).join("ssgd-old.svg"), "").unwrap();
        let written = copy(&root, &out).unwrap();
        assert_eq!(written, [folder(&root).join("ssgd-curve.svg")]);
        assert_eq!(of(&root, "ssgd").unwrap(), [("ssgd-curve.svg".to_string(), "ssgd: curve".to_string())]);
    }
}
