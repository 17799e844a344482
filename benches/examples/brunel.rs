//! A balanced random network (Brunel 2000) from its description to its statistics.
//!
//! ```text
//! cargo run --release -p snn-benches --example brunel -- [NEURONS] [SECONDS] [THREADS] [G] [ETA]
//! ```

use snn_benches::brunel::Brunel;
use snn_core::Seed;
use snn_core::stats::{mean, variance};
use snn_sparse::{Clocked, Record, Wants};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<f64> = std::env::args().skip(1).map(|arg| arg.parse().map_err(|e| format!("`{arg}`: {e}"))).collect::<Result<_, _>>()?;
    let arg = |k: usize, default: f64| args.get(k).copied().unwrap_or(default);
    let (neurons, seconds, threads) = (arg(0, 10_000.0) as usize, arg(1, 1.0), arg(2, 1.0) as usize);
    let model = Brunel { g: arg(3, 5.0), eta: arg(4, 2.0), ..Brunel::new(neurons) };

    let network = model.network(Seed::new(1))?;
    let engine = Clocked::<f32>::frozen(&network, threads);
    let mut record = Record::new(&engine);
    record.noise = Seed::new(2);
    let steps = (seconds / network.dt()).round() as usize;
    let start = Instant::now();
    engine.run_for(steps, &[], Wants::Spikes, &mut record);
    println!("{neurons} neurons, {} links: {seconds} s in {:.3} s", network.links(), start.elapsed().as_secs_f64());

    for (population, spikes) in network.draft().populations.iter().zip(&record.spikes) {
        // Irregularity: the coefficient of variation of the intervals between a neuron's spikes, 1 for a Poisson process.
        let mut trains = vec![Vec::new(); spikes.units()];
        spikes.iter().for_each(|(t, unit)| trains[unit as usize].push(t as f64));
        let cv = |train: &Vec<f64>| {
            let gaps: Vec<f64> = train.windows(2).map(|w| w[1] - w[0]).collect();
            variance(&gaps).sqrt() / mean(&gaps)
        };
        let cvs: Vec<f64> = trains.iter().filter(|train| train.len() > 4).map(cv).collect();
        let rate = spikes.len() as f64 / (spikes.units() as f64 * seconds);
        println!("{}: {rate:.1} Hz, CV of intervals {:.2}", population.name, mean(&cvs));
    }
    Ok(())
}
