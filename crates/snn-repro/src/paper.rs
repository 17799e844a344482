//! A paper and what it claims.

use serde::{Deserialize, Serialize};

use crate::Lab;

/// A published result, reproduced by one file.
pub struct Paper {
    /// Name on the command line.
    pub id: &'static str,
    /// Title as published.
    pub title: &'static str,
    /// Authors, year, identifier.
    pub cite: &'static str,
    /// What is reproduced, in one line.
    pub about: &'static str,
    /// What a run takes.
    pub cost: Cost,
    /// What the paper claims and we check.
    pub claims: &'static [Claim],
    /// Measures the claims and reports each to the lab.
    pub run: fn(&mut Lab) -> anyhow::Result<()>,
}

/// What a run takes at each scale, in words ("4 s", "8 min on 2 cores, with data").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// At [`Scale::Smoke`].
    pub smoke: &'static str,
    /// At [`Scale::Short`].
    pub short: &'static str,
    /// At [`Scale::Paper`].
    pub paper: &'static str,
}

/// One figure of a paper, and when we call it reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// What is measured; names the claim within its paper.
    pub what: &'static str,
    /// The paper's figure as printed, with a mark for where it is from: `"82.2 % [2nd]"`.
    pub paper: &'static str,
    /// What our figure must satisfy.
    pub bound: Bound,
    /// Unit printed after our figure; empty if it has none.
    pub unit: &'static str,
    /// Decimals of our figure in tables.
    pub digits: usize,
    /// How many seeds the claim needs: 1, or more for a claim about spread or ordering.
    pub seeds: usize,
    /// Table, figure or page of the paper.
    pub source: &'static str,
    /// Whether it stands on the first page of the project.
    pub headline: bool,
}

impl Claim {
    /// A claim that one seed can settle.
    pub const fn new(
        what: &'static str,
        paper: &'static str,
        bound: Bound,
        unit: &'static str,
        digits: usize,
        source: &'static str,
    ) -> Self {
        Claim { what, paper, bound, unit, digits, seeds: 1, source, headline: false }
    }

    /// One of the few for the first page of the project.
    pub const fn headline(self) -> Self {
        Claim { headline: true, ..self }
    }
}

/// What a figure must satisfy; the ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Not below.
    AtLeast(f64),
    /// Not above.
    AtMost(f64),
    /// Neither below the first nor above the second.
    Between(f64, f64),
}

impl Bound {
    /// Whether `figure` satisfies the bound. Something that is not a number never does, nor does an infinity.
    ///
    /// ```
    /// use snn_repro::Bound;
    /// assert!(Bound::Between(-1.0, 1.0).holds(1.0));
    /// assert!(!Bound::AtLeast(86.0).holds(f64::INFINITY));
    /// ```
    pub fn holds(self, figure: f64) -> bool {
        figure.is_finite()
            && match self {
                Bound::AtLeast(low) => figure >= low,
                Bound::AtMost(high) => figure <= high,
                Bound::Between(low, high) => (low..=high).contains(&figure),
            }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::AtLeast(low) => write!(f, "≥ {low}"),
            Bound::AtMost(high) => write!(f, "≤ {high}"),
            Bound::Between(low, high) => write!(f, "{low} … {high}"),
        }
    }
}

/// The outcome for one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Measured, and within the bound.
    #[serde(rename = "MET")]
    Met,
    /// Measured, and outside the bound.
    #[serde(rename = "MISSED")]
    Missed,
    /// Not measured in this run; the result says why.
    #[serde(rename = "NOT RUN")]
    NotRun,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Met => "MET",
            Verdict::Missed => "MISSED",
            Verdict::NotRun => "NOT RUN",
        })
    }
}

/// How much of a paper is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Seconds; what the tests run.
    Smoke,
    /// At most ten minutes on two cores for one seed.
    Short,
    /// The paper's own configuration.
    Paper,
}

impl Scale {
    /// Every scale, smallest first.
    pub const ALL: [Scale; 3] = [Scale::Smoke, Scale::Short, Scale::Paper];

    /// Name on the command line and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Smoke => "smoke",
            Scale::Short => "short",
            Scale::Paper => "paper",
        }
    }

    /// The scale of that name.
    pub fn from_name(name: &str) -> Option<Scale> {
        Scale::ALL.into_iter().find(|scale| scale.name() == name)
    }

    /// The value for this scale.
    ///
    /// ```
    /// assert_eq!(snn_repro::Scale::Short.pick(1, 20, 100), 20);
    /// ```
    pub fn pick<T>(self, smoke: T, short: T, paper: T) -> T {
        match self {
            Scale::Smoke => smoke,
            Scale::Short => short,
            Scale::Paper => paper,
        }
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
