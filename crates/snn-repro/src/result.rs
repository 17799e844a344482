//! What a run found, as it is written to `result.json` and printed with `--json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Bound, LabError, Scale, Training, Verdict};

/// The outcome of a paper at one scale, for one seed or for several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Name of the paper.
    pub paper: String,
    /// How much of it was run.
    pub scale: Scale,
    /// The seed, or the first of several.
    pub seed: u64,
    /// How many seeds, counted up from `seed`; absent for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<usize>,
    /// Threads of the run.
    pub threads: usize,
    /// Whether a data folder was given.
    pub data: bool,
    /// One entry per claim, in the order of the paper file.
    pub claims: Vec<ClaimResult>,
    /// Wall time, summed over the seeds.
    pub seconds: f64,
    /// Most bytes allocated at a time; absent if the program does not count them.
    pub peak_bytes: Option<u64>,
    /// Paths of the files written, with the folder as it was given.
    pub files: Vec<String>,
    /// The trainings and their weights; those of several seeds are in the results of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trainings: Vec<Training>,
    /// What the paper remarked.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The outcome for one claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// What was measured.
    pub what: String,
    /// The paper's figure.
    pub paper: String,
    /// Our figure, or its mean over the seeds; absent if it was not judged or is not a number.
    pub ours: Option<f64>,
    /// Standard error of the mean over the seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// What each seed gave, where that is not `ours` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ours_each: Vec<Option<f64>>,
    /// What our figure must satisfy.
    pub bound: Bound,
    /// Unit of our figure.
    pub unit: String,
    /// Decimals for tables.
    pub digits: usize,
    /// The outcome.
    pub verdict: Verdict,
    /// Why it was not run, or why there is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Table, figure or page of the paper.
    pub source: String,
    /// Wall time since the claim before it was reported, summed over the seeds.
    pub seconds: f64,
}

impl RunResult {
    /// Whether a claim was missed.
    pub fn missed(&self) -> bool {
        self.claims.iter().any(|claim| claim.verdict == Verdict::Missed)
    }

    /// "short scale, seeds 1–3, 2 threads, with data".
    pub fn setting(&self) -> String {
        let seeds = match self.seeds {
            None => format!("seed {}", self.seed),
            Some(n) => format!("seeds {}–{}", self.seed, self.seed + n as u64 - 1),
        };
        let threads = if self.threads == 1 { "1 thread".into() } else { format!("{} threads", self.threads) };
        format!("{} scale, {seeds}, {threads}, {}", self.scale, if self.data { "with data" } else { "without data" })
    }

    /// Reads a result file.
    ///
    /// # Errors
    /// [`LabError::Io`], or [`LabError::BadResult`] for a file that holds something else.
    pub fn read(path: &Path) -> Result<RunResult, LabError> {
        let text = std::fs::read(path).map_err(LabError::io("read", path))?;
        serde_json::from_slice(&text).map_err(|cause| LabError::BadResult { path: path.into(), cause })
    }

    /// Writes a result file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), LabError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|cause| LabError::BadResult { path: path.into(), cause })?;
        text.push(b'\n');
        std::fs::write(path, text).map_err(LabError::io("write", path))
    }
}

impl ClaimResult {
    /// Our figure as tables print it: "86.31 ± 0.12 %", or "—" if there is none.
    pub fn figure(&self) -> String {
        let number = match (self.ours, self.standard_error, &self.ours_each[..]) {
            (Some(ours), Some(se), _) => format!("{} ± {}", self.number(ours), self.number(se)),
            (Some(ours), None, _) | (None, _, &[Some(ours)]) => self.number(ours),
            _ => return "—".into(),
        };
        if self.unit.is_empty() { number } else { format!("{number} {}", self.unit) }
    }

    /// A number with the claim's decimals; in powers of ten where those would hide it.
    fn number(&self, x: f64) -> String {
        let smallest = 0.5 * 10f64.powi(-(self.digits.min(300) as i32));
        if x != 0.0 && (x.abs() < smallest || x.abs() >= 1e9) { format!("{x:.2e}") } else { format!("{x:.*}", self.digits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_tables() {
        let claim = |ours, standard_error, ours_each: &[Option<f64>], digits, unit: &str| ClaimResult {
            what: "x".into(),
            paper: "y".into(),
            ours,
            standard_error,
            ours_each: ours_each.to_vec(),
            bound: Bound::AtLeast(0.0),
            unit: unit.into(),
            digits,
            verdict: Verdict::Met,
            why: None,
            source: "z".into(),
            seconds: 0.0,
        };
        assert_eq!(claim(Some(86.314), None, &[], 2, "%").figure(), "86.31 %");
        assert_eq!(claim(Some(86.3), Some(0.124), &[Some(86.2), Some(86.4)], 1, "").figure(), "86.3 ± 0.1");
        assert_eq!(claim(Some(86.3), Some(0.0124), &[], 1, "").figure(), "86.3 ± 1.24e-2");
        assert_eq!(claim(Some(3e-16), None, &[], 3, "").figure(), "3.00e-16");
        assert_eq!(claim(None, None, &[Some(0.5)], 1, "points").figure(), "0.5 points");
        assert_eq!(claim(None, None, &[], 1, "points").figure(), "—");
    }
}
