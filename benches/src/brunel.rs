//! How fast does a balanced random network run?
//!
//! Brunel 2000: 80 % excitatory and 20 % inhibitory leaky integrate-and-fire neurons with delta synapses, sparse random links of fixed
//! in-degree, a Poisson train into every neuron. The benchmark every simulator of the field reports; a synaptic event is one spike
//! arriving over one recurrent link.

use crate::{Bench, Figure, Log, Report, row};
use snn_core::net::{Connect, Init};
use snn_core::neuron::LifRefractory;
use snn_core::{Net, Network, NetworkError, Seed, ms};
use snn_sparse::{Clocked, Record, Wants};
use std::time::Instant;

/// Parameters of the network; [`Brunel::new`] has those of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brunel {
    /// Neurons, excitatory and inhibitory.
    pub neurons: usize,
    /// Excitatory links into each neuron; a quarter as many inhibitory ones.
    pub excitatory: usize,
    /// Inhibition is so many times as strong as excitation.
    pub g: f64,
    /// External rate, in units of the rate that brings the mean potential to threshold.
    pub eta: f64,
}

impl Brunel {
    /// In-degree 10 %, g 5, η 2: asynchronous irregular activity.
    pub fn new(neurons: usize) -> Self {
        Brunel { neurons, excitatory: neurons * 8 / 100, g: 5.0, eta: 2.0 }
    }

    /// The network: τ 20 ms, threshold 20 mV, reset 10 mV, refractory for 2 ms, delay 1.5 ms, steps of 0.1 ms, weights of
    /// 0.1 mV · 1000 / C_E.
    ///
    /// # Errors
    /// Impossible parameters, named.
    pub fn network(&self, seed: Seed) -> Result<Network, NetworkError> {
        let (n_e, c_e) = (self.neurons * 4 / 5, self.excitatory);
        let j = 0.1 * 1000.0 / c_e as f64;
        let lif = LifRefractory::default();
        let (tau, theta) = (lif.tau.at(0), lif.v_th.at(0));
        let external = self.eta * theta / (j * tau); // Hz, all external synapses of a neuron together
        let mut net = Net::new(ms(0.1)).population("exc", n_e, lif.clone()).population("inh", self.neurons - n_e, lif);
        for (from, degree, weight) in [("exc", c_e, j), ("inh", c_e / 4, -self.g * j)] {
            for to in ["exc", "inh"] {
                net = net.project(from, to, Connect::InDegree(degree), Init::Constant(weight as f32)).delay(ms(1.5));
            }
        }
        net.drive("exc", external, j as f32).drive("inh", external, j as f32).output("exc").build(seed)
    }
}

/// Steps of 0.1 ms before activity is counted.
const SETTLING: usize = 2000;

struct Run {
    record: Record<f32>,
    seconds: f64,
    events: u64,
}

/// Runs `steps` steps, `repeats` times, and keeps the fastest.
fn measure(engine: &Clocked<f32>, steps: usize, repeats: usize) -> Run {
    let mut record = Record::new(engine);
    record.noise = Seed::new(1).child("noise");
    let mut best = f64::INFINITY;
    for _ in 0..repeats {
        let start = Instant::now();
        engine.run_for(steps, &[], Wants::Spikes, &mut record);
        best = best.min(start.elapsed().as_secs_f64());
    }
    let mut events = 0;
    for link in engine.links() {
        let spikes = link.from.spikes(&[], &record.spikes);
        let fan_out: Vec<u64> = (0..spikes.units() as u32).map(|i| link.store.fan_out(&[i]) as u64).collect();
        events += (0..steps.saturating_sub(link.delay)).flat_map(|t| spikes.at(t)).map(|&i| fan_out[i as usize]).sum::<u64>();
    }
    Run { record, seconds: best, events }
}

/// Mean rate (Hz) of all neurons from step `from` on.
fn rate(record: &Record<f32>, from: usize) -> f64 {
    let (mut spikes, mut neuron_seconds) = (0, 0.0);
    for raster in &record.spikes {
        spikes += (from..raster.steps()).map(|t| raster.at(t).len()).sum::<usize>();
        neuron_seconds += raster.units() as f64 * (raster.steps() - from) as f64 * ms(0.1);
    }
    spikes as f64 / neuron_seconds
}

/// The question, and how to answer it.
pub const BENCH: Bench = Bench { name: "brunel", question: "How fast does a balanced random network run?", run: brunel };

/// Runs the network at several sizes, with one thread and with two.
fn brunel(quick: bool, log: Log<'_>) -> Report {
    let mut report = Report { bench: "brunel", rows: Vec::new(), summary: Vec::new(), notes: Vec::new() };
    let mut figure = |what: String, value: f64, wanted: &str| report.summary.push(Figure { what, value, wanted: wanted.into() });
    let (sizes, steps): (&[_], _) = if quick { (&[1000], 2 * SETTLING) } else { (&[1000, 4000, 10_000], 12_000) };
    let mut cases: Vec<(Brunel, usize, usize)> = sizes.iter().map(|&n| (Brunel::new(n), steps, 10)).collect();
    let needed = 20 << 30;
    if !quick && available_bytes() >= needed {
        cases.push((Brunel { excitatory: 800, ..Brunel::new(1_000_000) }, 1000, 1));
    } else if !quick {
        report.notes.push("a million neurons were left out: they want 20 GiB of free memory".into());
    }
    for (brunel, steps, repeats) in cases {
        let n = brunel.neurons;
        let start = Instant::now();
        let network = match brunel.network(Seed::new(1)) {
            Ok(network) => network,
            Err(error) => {
                report.notes.push(format!("{n} neurons: {error}"));
                continue;
            }
        };
        let build_s = start.elapsed().as_secs_f64();
        log(&format!("{n} neurons, {} synapses: built in {build_s:.1} s", network.links()));
        let mut alone: Option<Run> = None;
        for threads in [1, 2] {
            let start = Instant::now();
            let engine = Clocked::<f32>::frozen(&network, threads);
            let compile_s = start.elapsed().as_secs_f64();
            let run = measure(&engine, steps, repeats);
            let (biological, per_second) = (steps as f64 * ms(0.1), run.events as f64 / run.seconds);
            let hertz = rate(&run.record, SETTLING.min(steps / 2));
            log(&format!(
                "{n} neurons, {threads} threads: {biological} s in {:.3} s, {:.0} million synaptic events/s, {hertz:.2} Hz",
                run.seconds,
                per_second / 1e6
            ));
            report.rows.push(row([
                ("neurons", n.into()),
                ("synapses", network.links().into()),
                ("threads", threads.into()),
                ("biological_s", biological.into()),
                ("build_s", build_s.into()),
                ("lower_s", compile_s.into()),
                ("wall_s", run.seconds.into()),
                ("rate_hz", hertz.into()),
                ("synaptic_events", run.events.into()),
                ("events_per_s", per_second.into()),
                ("ns_per_neuron_step", (1e9 * run.seconds / (n * steps) as f64).into()),
                ("peak_gib", (peak_bytes() as f64 / f64::from(1 << 30)).into()),
            ]));
            match &alone {
                None => {
                    let wanted = match n {
                        4000 => "41–43, within 3 %",
                        10_000 => "38.1–38.4, within 3 %",
                        _ => "",
                    };
                    figure(format!("{n} neurons: mean rate after 0.2 s, Hz (seven simulators [measured])"), hertz, wanted);
                    let wanted = if n == 4000 || n == 10_000 { "≥ 200" } else { "" };
                    figure(format!("{n} neurons: million synaptic events per second, one thread"), per_second / 1e6, wanted);
                    alone = Some(run);
                }
                Some(alone) => {
                    let wanted = if n == 4000 || n == 10_000 { "≥ 1.5" } else { "" };
                    figure(format!("{n} neurons: one thread / two threads, wall time"), alone.seconds / run.seconds, wanted);
                    let same = f64::from(u8::from(alone.record.spikes == run.record.spikes));
                    figure(format!("{n} neurons: two threads give the same spikes (1: yes)"), same, "1");
                }
            }
        }
    }
    report.notes.push(
        "synaptic events are those over recurrent links; the Poisson events into every neuron come on top and are not counted".into(),
    );
    report
        .notes
        .push("wall_s: the fastest of ten whole trials from rest, after the first has touched all memory; the million runs once".into());
    report
}

/// The most memory this process has held (bytes); 0 where the system does not tell.
fn peak_bytes() -> u64 {
    kib("/proc/self/status", "VmHWM:") << 10
}

/// Memory that can be had now (bytes); 0 where the system does not tell.
fn available_bytes() -> u64 {
    kib("/proc/meminfo", "MemAvailable:") << 10
}

fn kib(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_neuron_has_its_in_degree() {
        let net = Brunel::new(500).network(Seed::new(2)).unwrap();
        assert_eq!(net.links(), 500 * (40 + 10));
        assert_eq!(net.draft().drives[0].rate, 2.0 * 20.0 / (2.5 * 0.02));
    }
}
