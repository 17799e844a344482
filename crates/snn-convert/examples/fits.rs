//! Finds the codes that come with the crate: prints `src/fits.json`.

use snn_convert::Fit;
use snn_convert::fits::Shipped;
use snn_core::Seed;
use snn_core::ann::Activation;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    for function in Activation::ALL.into_iter().filter(|f| *f != Activation::Relu) {
        // The intervals of the paper for these two.
        let range = match function {
            Activation::Silu | Activation::HardSwish | Activation::Gelu | Activation::GeluTanh => (-8.0, 12.0),
            Activation::LeakyRelu { .. } | Activation::Elu { .. } => (-8.0, 12.0),
            _ => (-10.0, 10.0),
        };
        for (steps, free) in [(8, false), (12, false), (16, false), (8, true), (12, true)] {
            let fit = Fit { free, restarts: 8, updates: 1000, polish: 30_000, ..Fit::few_spikes(steps, range) };
            let seed = Seed::new(1).child(function.name()).nth(steps as u64);
            let found = fit.run(|x| function.at(x), |_| 1.0, seed)?;
            eprintln!(
                "{:<11} K = {steps:<2} {:<8} mse {:.2e}, worst {:.3}, {:.2} spikes",
                function.name(),
                if free { "circuit" } else { "neuron" },
                found.quality.mse,
                found.quality.worst,
                found.quality.spikes
            );
            all.push(Shipped { function, range, free, quality: found.quality, unit: found.unit });
        }
    }
    println!("{}", serde_json::to_string_pretty(&all)?);
    Ok(())
}
