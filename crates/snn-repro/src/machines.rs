//! How a few small networks fare on every machine: the same description everywhere, run or refused.

use anyhow::Result;
use serde::Serialize;
use snn_convert::report::right;
use snn_convert::{Calibration, Codes, Converted, FewSpikes, Forward, Gates, Scheme, dense};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif, Relu};
use snn_core::stats::mean;
use snn_core::{Dataset, Net, Network, Seed, ms};
use snn_data::{Analog, Encoded, ImageSet, Latency, PrototypeImages, PrototypeParams};
use snn_hw::{Kind, Machine, Report};
use snn_learn::{Loss, Optimiser, Options, Over, SparseBptt, Trainer};
use snn_sparse::Costs;

use crate::table;

/// Networks in rows, machines in columns.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Test images run on each device.
    pub images: usize,
    /// Devices of each machine.
    pub devices: usize,
    /// One row for each network.
    pub rows: Vec<Row>,
}

/// A network.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub network: String,
    /// Neurons.
    pub neurons: usize,
    /// Links.
    pub links: usize,
    /// One for each machine.
    pub cells: Vec<Cell>,
}

/// A network on a machine.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Machine.
    pub machine: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a network on a machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran.
    Ran {
        /// Share of right answers, one for each device.
        accuracy: Vec<f64>,
        /// Modelled time of the machine for an image (s).
        seconds: f64,
        /// Modelled energy for an image (J); `None` where there is no model.
        joules: Option<f64>,
        /// What became of it on the first device.
        findings: Vec<String>,
    },
    /// It does not go onto the machine.
    Refused {
        /// Why.
        why: String,
    },
}

/// A network with the data it was made for.
enum Subject {
    /// Spikes in, a readout out.
    Spiking { net: Network, test: Box<Encoded<Latency, PrototypeImages>> },
    /// Numbers in and out.
    Converted { converted: Box<Converted>, numbers: Vec<f32>, labels: Vec<usize> },
}

/// Trains the networks and runs `images` test images on `devices` devices of every machine. `progress` is told what is done next.
///
/// # Errors
/// If a network cannot be trained, or a device fails that took it.
pub fn table(seed: Seed, images: usize, devices: usize, progress: &dyn Fn(&str)) -> Result<Table> {
    let subjects: [(&str, &dyn Fn() -> Result<Subject>); 3] = [
        ("64-24-4, leaky integrate-and-fire, trained with sparse gradients", &|| spiking(8, 4, 24, images, seed.child("spiking"))),
        ("64-24-4, rectifiers, converted to few-spikes neurons (K = 6, a pause of one step)", &|| {
            converted(8, 4, 24, images, seed.child("converted"))
        }),
        ("9-6-2, leaky integrate-and-fire, trained with sparse gradients", &|| spiking(3, 2, 6, images, seed.child("small"))),
    ];
    let row = |&(name, make): &(&str, &dyn Fn() -> Result<Subject>)| -> Result<Row> {
        progress(name);
        let subject = make()?;
        let machines = snn_hw::all();
        let cells = machines.iter().map(|machine| {
            progress(&format!("{name}, on {}", machine.name()));
            Ok(Cell { machine: machine.name(), outcome: subject.on(&**machine, devices, seed.child("devices"))? })
        });
        let net = subject.network();
        let neurons = net.draft().populations.iter().map(|p| p.size).sum();
        Ok(Row { network: name.into(), neurons, links: net.links(), cells: cells.collect::<Result<_>>()? })
    };
    Ok(Table { images, devices, rows: subjects.iter().map(row).collect::<Result<_>>()? })
}

/// Generated pictures to learn from and to test on.
fn pictures(side: usize, classes: usize, tests: usize, seed: Seed) -> Result<(PrototypeImages, PrototypeImages)> {
    let params = PrototypeParams {
        side,
        classes,
        radius: side as f64,
        blur: 0.1 * side as f64,
        shift: side / 8,
        noise: 0.2,
        ..PrototypeParams::default()
    };
    const TRAINING: u64 = 2_000;
    Ok((params.images(seed, 0..TRAINING)?, params.images(seed, TRAINING..TRAINING + tests as u64)?))
}

fn spiking(side: usize, classes: usize, hidden: usize, tests: usize, seed: Seed) -> Result<Subject> {
    let (train, test) = pictures(side, classes, tests, seed.child("pictures"))?;
    // Bright pixels fire first; 25 steps of 1 ms.
    let code = Latency::new(ms(20.0), 0.2, ms(1.0), 25)?;
    let (train, test) = (Encoded::new(train, code.clone(), seed), Encoded::new(test, code, seed));
    let net = Net::new(ms(1.0))
        .input("pixels", side * side)
        .population("hidden", hidden, Lif { tau: ms(20.0).into(), ..Lif::default() })
        .population("out", classes, Li { tau: ms(20.0).into() })
        .project("pixels", "hidden", Connect::All, Init::normal(2.0 / side as f64))
        .project("hidden", "out", Connect::All, Init::normal(0.5))
        .output("out")
        .build(seed.child("network"))?;
    let options = Options { batch: 50, ..Options::new(Loss::CrossEntropy(Over::Sum), seed.child("training")) };
    let mut trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::adam(5e-3), options)?;
    for _ in 0..8 {
        trainer.epoch(&train, &|_| ())?;
    }
    Ok(Subject::Spiking { net: trainer.network()?, test: Box::new(test) })
}

fn converted(side: usize, classes: usize, hidden: usize, tests: usize, seed: Seed) -> Result<Subject> {
    let (train, test) = pictures(side, classes, tests, seed.child("pictures"))?;
    let learn = Encoded::new(train.clone(), Analog::default(), seed);
    let init = |n: usize| Init::normal((2.0 / n as f64).sqrt());
    // One step per image: a readout that forgets at once is a sum.
    let net = Net::new(ms(1.0))
        .input("pixels", side * side)
        .population("hidden", hidden, Relu {})
        .population("out", classes, Li { tau: 1e-9.into() })
        .project("pixels", "hidden", Connect::All, init(side * side))
        .project("hidden", "out", Connect::All, init(hidden))
        .output("out")
        .build(seed.child("network"))?;
    let options = Options { batch: 50, ..Options::new(Loss::CrossEntropy(Over::Last), seed.child("training")) };
    let mut trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::adam(5e-3), options)?;
    for _ in 0..8 {
        trainer.epoch(&learn, &|_| ())?;
    }
    let ann = dense(&trainer.network()?)?;
    let gates = Gates::new(&ann)?;
    let calibration = Calibration::new(&gates, &Forward::new(&ann), &train.numbers(0..500), 0.0)?;
    let converted = FewSpikes { codes: Codes::new(6), pause: 1 }.convert(&gates, &calibration, seed.child("codes"))?;
    let labels = (0..test.len()).map(|k| test.label(k)).collect();
    Ok(Subject::Converted { converted: Box::new(converted), numbers: test.numbers(0..tests), labels })
}

impl Subject {
    fn network(&self) -> &Network {
        match self {
            Subject::Spiking { net, .. } => net,
            Subject::Converted { converted, .. } => &converted.network,
        }
    }

    fn on(&self, machine: &dyn Machine, devices: usize, seed: Seed) -> Result<Outcome> {
        let report = machine.map(self.network(), seed.nth(0));
        if let Err(error) = report.accepted() {
            return Ok(Outcome::Refused {
                why: error.refused.iter().map(|f| format!("{}: {}", f.place, f.what)).collect::<Vec<_>>().join("; "),
            });
        }
        let (mut accuracy, mut seconds, mut joules, mut images) = (Vec::new(), 0.0, 0.0, 0.0);
        for n in 0..devices as u64 {
            let (share, costs, count) = match self.accuracy_on(machine, seed.nth(n)) {
                Ok(measured) => measured,
                Err(error) => return Ok(Outcome::Refused { why: format!("{error:#}") }),
            };
            accuracy.push(share);
            (seconds, joules, images) = (seconds + costs.seconds, joules + costs.energy(), images + count as f64);
        }
        let joules = (joules > 0.0).then_some(joules / images);
        Ok(Outcome::Ran { accuracy, seconds: seconds / images, joules, findings: findings(&report) })
    }

    fn accuracy_on(&self, machine: &dyn Machine, seed: Seed) -> Result<(f64, Costs, usize)> {
        let mut device = machine.build(self.network(), seed)?;
        match self {
            Subject::Spiking { net, test } => {
                let options = Options::new(Loss::CrossEntropy(Over::Sum), seed.child("trials"));
                let trainer = Trainer::new(net, SparseBptt::default(), Optimiser::sgd(0.0), options)?.with_device(device, None)?;
                let accuracy = trainer.evaluate(&**test)?.accuracy();
                Ok((accuracy, trainer.device_costs().unwrap_or_default(), test.len()))
            }
            Subject::Converted { converted, numbers, labels } => {
                let answers = converted.answers_on(&mut *device, numbers, seed.child("trials"))?;
                Ok((right(&answers, labels) as f64 / labels.len() as f64, device.costs().clone(), labels.len()))
            }
        }
    }
}

/// The findings that matter to who reads the table.
fn findings(report: &Report) -> Vec<String> {
    report.findings.iter().filter(|f| f.kind != Kind::Refused).map(|f| format!("{}: {}", f.place, f.what)).collect()
}

/// The table as Markdown.
pub fn markdown(of: &Table) -> String {
    let mut text = format!(
        "# Networks on machines\n\nThree small networks, one description each, on {} device(s) of every machine with its usual settings: accuracy on {} generated test images (mean over devices, and \
         range), and time and energy for an image. Time and energy are modelled from the named constants of the machine, not measured. Made by `snn machines --out docs/machines.md`.\n\n",
        of.devices, of.images
    );
    let machines: Vec<&str> = of.rows.first().map_or(Vec::new(), |row| row.cells.iter().map(|cell| cell.machine).collect());
    let (mut notes, mut rows) = (String::new(), Vec::new());
    for row in &of.rows {
        let cells = row.cells.iter().map(|cell| match &cell.outcome {
            Outcome::Ran { accuracy, seconds, joules, findings } => {
                let list: String = findings.iter().map(|f| format!("  - {f}\n")).collect();
                notes += &format!(
                    "- **{}** on **{}**: {}\n{list}",
                    row.network,
                    cell.machine,
                    if findings.is_empty() { "as described" } else { "runs, changed" }
                );
                let mean = 100.0 * mean(accuracy);
                let ends = accuracy.iter().fold((f64::INFINITY, 0.0f64), |(a, b), &x| (a.min(100.0 * x), b.max(100.0 * x)));
                let range = if ends.0 == ends.1 { String::new() } else { format!(" ({:.1} … {:.1})", ends.0, ends.1) };
                let energy = joules.map_or(String::new(), |j| format!(", {:.3} µJ", 1e6 * j));
                format!("{mean:.1} %{range}, {:.3} ms{energy}", 1e3 * seconds)
            }
            Outcome::Refused { why } => {
                notes += &format!("- **{}** on **{}**: refused: {why}\n", row.network, cell.machine);
                "refused".into()
            }
        });
        let cells: Vec<String> = cells.collect();
        rows.push([vec![format!("{} ({} neurons, {} links)", row.network, row.neurons, row.links)], cells].concat());
    }
    text += &table::markdown(std::iter::once("network").chain(machines), rows);
    text + "\n## What became of them\n\n" + &notes
}
