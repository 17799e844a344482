//! What a converted network did, as tables for people.

use snn_convert::report::{ADDITION_PJ, MULTIPLICATION_PJ, Report};
use snn_repro::table::columns;
use snn_sparse::Costs;

/// Layer by layer; with spikes and errors if images were run.
pub fn layers(report: &Report) -> String {
    let ran = report.work.images > 0;
    let compared = ran && report.dense.is_some();
    let mut head = vec!["layer", "function", "gates", "neurons", "lowest", "highest"];
    head.extend(if ran { &["spikes/gate", "spikes/neuron"][..] } else { &[] });
    head.extend(if compared { &["relative error", "largest error"][..] } else { &[] });
    let mut rows = vec![head.into_iter().map(String::from).collect::<Vec<_>>()];
    for layer in &report.layers {
        let mut row = vec![layer.name.clone(), layer.function.clone(), layer.gates.to_string(), layer.neurons.to_string()];
        row.extend([layer.range.0, layer.range.1].map(|x| format!("{x:.4}")));
        if ran {
            row.extend([layer.spikes_per_gate, layer.spikes_per_neuron].map(|x| format!("{x:.3}")));
        }
        if compared {
            let error = layer.error.map_or(["-".into(), "-".into()], |e| [format!("{:.5}", e.relative), format!("{:.4}", e.worst)]);
            row.extend(error);
        }
        rows.push(row);
    }
    columns(&rows, 1)
}

/// What a run on an emulated machine took.
pub fn costs(costs: &Costs, images: usize, accuracy: Option<f64>) -> String {
    let each = 1.0 / images as f64;
    let mut rows = vec![vec!["images".into(), images.to_string()]];
    rows.extend(accuracy.map(|accuracy| vec!["accuracy (%)".into(), percent(accuracy)]));
    rows.push(vec!["time of the machine per image (ms)".into(), format!("{:.4}", 1e3 * costs.seconds * each)]);
    rows.extend(
        costs.joules.iter().map(|(part, joules)| vec![format!("energy per image, {part} (nJ)"), format!("{:.3}", 1e9 * joules * each)]),
    );
    rows.extend(costs.counts.iter().map(|(what, n)| vec![format!("{what} per image"), format!("{:.2}", *n as f64 * each)]));
    columns(&rows, 1) + "\nTime and energy are modelled from the machine's named constants, not measured.\n"
}

/// What the network takes, beside the trained one if that was run.
pub fn figures(report: &Report, reference: Option<f64>) -> String {
    let work = &report.work;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |what: &str, value: String| rows.push(vec![what.into(), value]);
    row("latency (steps)", report.timing.latency.to_string());
    row("steps from one input to the next", report.interval().to_string());
    row("neurons", report.layers.iter().map(|layer| layer.neurons).sum::<usize>().to_string());
    if work.images == 0 {
        return columns(&rows, 1);
    }
    row("images", work.images.to_string());
    if let Some(accuracy) = reference {
        row("accuracy, trained network by rten (%)", percent(accuracy));
    }
    if let Some(accuracy) = report.dense.and_then(|dense| dense.accuracy) {
        row("accuracy, trained network by snn (%)", percent(accuracy));
    }
    if let Some(accuracy) = report.accuracy {
        row("accuracy, spiking network (%)", percent(accuracy));
    }
    if let Some(dense) = &report.dense {
        row("both networks answer the same (%)", percent(dense.agreement));
    }
    row("spikes per image", format!("{:.1}", work.spikes));
    row("synaptic additions per image", format!("{:.0}", work.synaptic));
    row("analog multiplications per image", format!("{:.0}", work.analog));
    if let Some(dense) = &report.dense {
        row("multiplications per image, trained network", dense.macs.to_string());
    }
    row("energy per image, spiking network (nJ)", format!("{:.1}", work.energy));
    if let Some(dense) = &report.dense {
        row("energy per image, trained network (nJ)", format!("{:.1}", dense.energy));
    }
    columns(&rows, 1)
        + &format!(
            "\nEnergy: {ADDITION_PJ} pJ an addition, {MULTIPLICATION_PJ} pJ a multiplication (Horowitz 2014, 45 nm, 32-bit floats); memory not counted.\n"
        )
}

fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}
