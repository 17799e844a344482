//! Our own description of a network, as JSON.

use super::{Format, LEAST, PLAIN, beside};
use snn_core::net::{Connect, Conv2d, Init, Links, SumPool2d};
use snn_core::neuron::{Alif, Li, Lif, Model};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_io::json::{load_json, save_json};
use snn_sparse::{Clocked, EventDriven, Wants};
use std::path::Path;

pub const FORMAT: Format = Format {
    name: "network",
    seeds,
    forms: &[PLAIN],
    words: &[
        "\"all\"",
        "\"csr\"",
        "\"conv2d\"",
        "\"sum_pool2d\"",
        "\"lif\"",
        "\"li\"",
        "\"alif\"",
        "\"egru\"",
        "\"gru\"",
        "\"relu\"",
        "\"few_spikes\"",
        "\"lif_cond\"",
        "\"model\"",
        "\"size\"",
        "\"delay\"",
        "\"weights\"",
        "\"links\"",
        "\"port\"",
        "\"refractory\"",
        "\"train\"",
        "\"escape\"",
        "\"current\"",
        "\"in\"",
        "\"a\"",
        "\"out\"",
    ],
    // A weight of two characters is four bytes, and stands in the text, the draft and the network; names of parameters are kept for a while.
    memory: |n| LEAST + 64 * n,
    read,
};

fn seeds() -> Vec<Vec<u8>> {
    let text = |net: Net| serde_json::to_vec_pretty(&net.build(Seed::new(1)).expect("a good network")).expect("a description is JSON");
    let loops = Net::new(ms(1.0)).input("in", 3).population("a", 4, Lif::default()).refractory(ms(2.0)).escape(100.0, 0.1).population(
        "out",
        2,
        Li::default(),
    );
    let loops = loops.project("in", "a", Connect::Random { p: 0.5 }, Init::normal(0.5)).delays(0.0, ms(3.0));
    let loops = loops
        .project("a", "a", Connect::OneToOne, Init::Constant(-1.0))
        .delay(ms(1.0))
        .project("a", "out", Connect::All, Init::uniform(0.5))
        .drive("a", 10.0, 0.5);
    let conv = Conv2d {
        channels_in: 1,
        height: 4,
        width: 4,
        channels_out: 2,
        kernel: (3, 3),
        stride: (1, 1),
        padding: (1, 1),
        dilation: (1, 1),
        groups: 1,
    };
    let pool = SumPool2d { channels: 2, height: 4, width: 4, kernel: (2, 2), stride: (2, 2), padding: (0, 0) };
    let windows =
        Net::new(ms(1.0)).input("in", 16).population("a", 32, Alif::default()).train(&["v_th"]).population("out", 8, Lif::default());
    let windows = windows
        .project("in", "a", Connect::Conv2d(conv), Init::normal(0.5))
        .project("a", "out", Connect::SumPool2d(pool), Init::Constant(0.25))
        .output("out");
    let models = Model::all().into_iter().map(|model| {
        let ports = model.ports().to_vec();
        let (several, apart) = (ports.len() > 1, model.apart());
        let mut net = Net::new(ms(1.0)).input("in", 2).population("a", 2, model).output("a");
        for port in ports.into_iter().take(if several && !apart { usize::MAX } else { 1 }) {
            net = net.project("in", "a", Connect::All, Init::normal(0.5));
            net = if several && !apart { net.port(port) } else { net };
        }
        text(net)
    });
    [text(loops.output("out")), text(windows)].into_iter().chain(models).collect()
}

fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    let net: Network = load_json(path).map_err(|e| e.to_string())?;
    let copy = beside(path);
    Ok(Box::new(move || {
        save_json(&copy, &net).unwrap();
        assert_eq!(load_json::<Network>(&copy).unwrap(), net);
        std::fs::remove_file(copy).unwrap();
        run(&net);
    }))
}

/// A network that has been read can be run, if it is small: by the clock, and from event to event or not at all.
pub fn run(net: &Network) {
    let draft = net.draft();
    let units = draft.inputs.iter().map(|i| i.size).chain(draft.populations.iter().map(|p| p.size)).fold(0usize, usize::saturating_add);
    let steps =
        draft.projections.iter().flat_map(|p| (0..p.delay.given().len()).map(move |k| p.delay_steps(k, draft.dt))).max().unwrap_or(0);
    let large = |links: &Links| !matches!(links, Links::All | Links::Csr { .. });
    if units > 1000
        || steps > 1000
        || draft.projections.iter().any(|p| large(&p.links) && p.links.count(net.size(&p.from), net.size(&p.to)) > 100_000)
    {
        return;
    }
    let spikes: Vec<Raster> = draft
        .inputs
        .iter()
        .map(|input| {
            let mut raster = Raster::new(input.size, 8);
            raster.fill((0..input.size.min(4) as u32).map(|unit| (unit, unit)));
            raster
        })
        .collect();
    let inputs: Vec<&Raster> = spikes.iter().collect();
    let engine = Clocked::<f32>::compile(net);
    let record = engine.record(&inputs, Wants::Spikes);
    assert_eq!(record.spikes.len(), draft.populations.len());
    if let Ok(mut engine) = EventDriven::<f64>::compile(net) {
        engine.run(&inputs);
    }
}
