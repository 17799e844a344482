//! Recipes: a training as a file gives the bits of the same training as Rust, goes on after an interruption to the same bits, and says what is wrong by line and name.

use std::fs;
use std::path::Path;

use crate::made_up::{claim, paper, settings};
use rand::RngExt;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Seed, Surrogate, ms};
use snn_data::{Images, Latency, LatencyImages, Split, StrokeParams, write_idx};
use snn_learn::{DeepR, Loss, Optimiser, Options, Over, Regulariser, Schedule, SparseBptt, Trainer};
use snn_repro::recipe::{Recipe, Trained, train};
use snn_repro::{Bound, Lab, LabError, Paper, RunResult, Scale, Settings, papers, reproduce};

/// The training of a recipe in a folder of its own.
fn trained(text: &str, dir: &Path) -> Trained {
    let recipe = Recipe::parse("test.toml", text).unwrap_or_else(|error| panic!("{error}"));
    train(&recipe, &Settings { out: dir.into(), ..Settings::default() }).unwrap_or_else(|error| panic!("{error}"))
}

fn smoke(id: &str, out: &Path) -> RunResult {
    reproduce(papers::find(id).expect("a paper"), &Settings { scale: Scale::Smoke, ..settings(out) })
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The digest of the weights of a paper's training.
fn weights(result: &RunResult, name: &str) -> String {
    result.trainings.iter().find(|training| training.name == name).expect("a training").sha256.clone()
}

/// The last point of a line in a CSV of a paper.
fn last(path: &Path, line: &str) -> f64 {
    let text = fs::read_to_string(path).expect("a curve");
    let mut points = text.lines().filter_map(|row| row.trim_start_matches('"').strip_prefix(line));
    points.next_back().and_then(|row| row.rsplit(',').next()).and_then(|x| x.parse().ok()).expect("a point")
}

#[test]
fn the_sparse_training_of_ssgd_bit_for_bit() {
    let out = tempfile::tempdir().unwrap();
    let paper = smoke("ssgd", out.path());
    // The paper's initial weights are those of a recipe that says nothing about them.
    let text = r#"
        seed = "1/templates"
        epochs = 4
        batch = 64
        data = { name = "templates", train = 500, test = 250 }
        rule = { name = "sparse_bptt", surrogate = { shape = "fast_sigmoid", beta = 100, window = 0.2 } }
        regulariser = { upper = 0.06, upper_count = 1.0, lower = 100, lower_count = 1e-3 }
        [network]
        populations = [
            { name = "h1", size = 128, model = "lif", tau = 0.01 },
            { name = "h2", size = 128, model = "lif", tau = 0.01 },
            { name = "out", model = "li", tau = 0.01 },
        ]
        projections = [
            { from = "in", to = "h1" },
            { from = "h1", to = "h2", delay = 0.001 },
            { from = "h2", to = "out", delay = 0.001 },
        ]
    "#;
    let dir = out.path().join("recipe");
    let ours = trained(text, &dir);
    assert_eq!(ours.trainings[0].sha256, weights(&paper, "templates window 0.2"));
    let theirs = last(&out.path().join("ssgd/smoke-1/templates-learning-curve.csv"), "window 0.2, 4 epochs: test");
    assert_eq!(100.0 * ours.held_out.expect("an accuracy"), theirs);
    // And not by chance: another seed is another training.
    let other = trained(&text.replace("1/templates", "2/templates"), &dir);
    assert_ne!(other.trainings[0].sha256, ours.trainings[0].sha256);
}

#[test]
fn the_rewired_training_of_deep_r_bit_for_bit() {
    let out = tempfile::tempdir().unwrap();
    let paper = smoke("deep_r", out.path());
    let std = |n: f64| 1.0 / n.sqrt();
    let text = format!(
        r#"
        seed = "1/blobs"
        epochs = 2
        batch = 10
        loss = {{ cross_entropy = "last" }}
        data = {{ name = "prototypes", train = 1000, test = 500, code = "analog" }}
        optimiser = {{ name = "sgd", lr = 0.2 }}
        schedule = {{ name = "steps", every = 1, factor = 0.8 }}
        structure = {{ name = "deep_r", l1 = 1e-5, temperature = {} }}
        [network]
        dt = 0.001
        populations = [{{ name = "h1", size = 300, model = "relu" }}, {{ name = "h2", size = 100, model = "relu" }}, {{ name = "out", model = "li", tau = 1e-9 }}]
        projections = [
            {{ from = "in", to = "h1", links = {{ random = 0.01 }}, weights = {{ normal = {} }} }},
            {{ from = "h1", to = "h2", links = {{ random = 0.03 }}, weights = {{ normal = {} }} }},
            {{ from = "h2", to = "out", links = {{ random = 0.3 }}, weights = {{ normal = {} }} }},
        ]
        "#,
        0.5 * 0.2 * 1e-5 * 1e-5,
        std(784.0),
        std(300.0),
        std(100.0)
    );
    let ours = trained(&text, &out.path().join("recipe"));
    assert_eq!(ours.trainings[0].sha256, weights(&paper, "blobs 1.33 % DEEP R"));
    assert_eq!(ours.links, 3552);
    let theirs = last(&out.path().join("deep_r/smoke-1/blobs-1.33-percent-learning.csv"), "DEEP R: test");
    assert_eq!(100.0 * ours.held_out.expect("an accuracy"), theirs);
}

/// Drawn digits of 28×28 pixels as idx files in `dir`, in the layout of MNIST.
fn write_digits(dir: &Path, [train, test]: [u64; 2]) {
    for (split, range) in [(Split::Train, 0..train), (Split::Test, train..train + test)] {
        write_idx(&StrokeParams::default().images(Seed::new(5), range).unwrap(), dir, split).unwrap();
    }
}

const WHAT: &str = "accuracy";
static IDX: Paper = paper("on_idx", &[claim(WHAT, Bound::AtLeast(0.0), 1)], on_idx);

/// Fashion-MNIST as `ssgd` and `deep_r` train on it: read by the same loader, encoded, two hidden layers, a cosine, links rewired.
fn on_idx(lab: &mut Lab) -> anyhow::Result<()> {
    let seed = lab.seed().child("fashion-mnist");
    let dir = lab.data().expect("data").to_owned();
    let encoder = Latency::new(ms(20.0), 0.2, ms(1.0), 100)?;
    let part = |split| anyhow::Ok(LatencyImages::new(Images::fashion_mnist(&dir, split)?, encoder.clone(), seed));
    let (train, test) = (part(Split::Train)?, part(Split::Test)?);
    let lif = || Lif { tau: ms(10.0).into(), ..Lif::default() };
    let net = Net::new(ms(1.0))
        .input("in", 784)
        .population("h1", 40, lif())
        .population("h2", 30, lif())
        .population("out", 10, Li { tau: ms(10.0).into() })
        .project("in", "h1", Connect::Random { p: 0.05 }, Init::normal(0.4))
        .project("h1", "h2", Connect::Random { p: 0.2 }, Init::normal(0.5))
        .delay(ms(1.0))
        .project("h2", "out", Connect::All, Init::normal(0.3))
        .output("out")
        .build(seed.child("network"))?;
    let options = Options {
        regulariser: Regulariser { upper: 0.06, upper_count: 1.0, ..Regulariser::NONE },
        schedule: Schedule::Cosine { epochs: 3.0 },
        batch: 32,
        ..Options::new(Loss::CrossEntropy(Over::Max), seed.child("training"))
    };
    let rule = SparseBptt { surrogate: Surrogate::fast_sigmoid(10.0).window(1.0) };
    let mut trainer = Trainer::new(&net, rule, Optimiser::adam(0.02), options)?.with_structure(DeepR::new(1e-3))?;
    lab.train("on idx", &mut trainer, 3, &train, Some(&test))?;
    lab.report(WHAT, trainer.evaluate(&test)?.accuracy())?;
    Ok(())
}

fn idx_recipe(folder: &Path) -> String {
    format!(
        r#"
        seed = "1/fashion-mnist"
        epochs = 3
        batch = 32
        data = {{ name = "idx", folder = {folder:?}, code = "latency" }}
        rule = {{ name = "sparse_bptt", surrogate = {{ shape = "fast_sigmoid", beta = 10, window = 1 }} }}
        optimiser = {{ name = "adam", lr = 0.02 }}
        schedule = "cosine"
        regulariser = {{ upper = 0.06, upper_count = 1 }}
        structure = {{ name = "deep_r", l1 = 1e-3 }}
        [network]
        populations = [
            {{ name = "h1", size = 40, model = "lif", tau = 0.01 }},
            {{ name = "h2", size = 30, model = "lif", tau = 0.01 }},
            {{ name = "out", model = "li", tau = 0.01 }},
        ]
        projections = [
            {{ from = "in", to = "h1", links = {{ random = 0.05 }}, weights = {{ normal = 0.4 }} }},
            {{ from = "h1", to = "h2", links = {{ random = 0.2 }}, weights = {{ normal = 0.5 }}, delay = 0.001 }},
            {{ from = "h2", to = "out", weights = {{ normal = 0.3 }} }},
        ]
        "#
    )
}

#[test]
fn idx_files_bit_for_bit_whatever_the_number_of_threads() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("data/fashion-mnist");
    write_digits(&folder, [200, 60]);
    let paper = reproduce(&IDX, &Settings { data: Some(out.path().join("data")), ..settings(out.path()) }).unwrap();
    let ours = trained(&idx_recipe(&folder), &out.path().join("one"));
    assert_eq!(ours.trainings[0].sha256, weights(&paper, "on idx"));
    assert_eq!(ours.held_out, paper.claims[0].ours);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let three = pool.install(|| trained(&idx_recipe(&folder), &out.path().join("three")));
    assert_eq!((three.trainings[0].sha256.as_str(), three.loss), (ours.trainings[0].sha256.as_str(), ours.loss));

    // What lies in the folder is whole, and the network is the trained one.
    let text = |name: &str| fs::read_to_string(out.path().join("one").join(name)).unwrap();
    let lines: Vec<serde_json::Value> = text("metrics.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[2]["loss"].as_f64(), lines[2]["held_out"].as_f64()), (3, Some(ours.loss), ours.held_out));
    assert!(lines.iter().all(|line| line["seconds"].as_f64().is_some_and(|s| s > 0.0) && line["active"]["h1"].is_number()));
    let recipe = Recipe::read(out.path().join("one/recipe.toml")).unwrap();
    assert_eq!(recipe.digest(), ours.recipe);
    let network = snn_repro::recipe::read_network(&out.path().join("one/network.json")).unwrap();
    let parts = recipe.open().unwrap();
    let (stats, _) = recipe.evaluate(&network, &parts.held_out().unwrap(), None).unwrap();
    assert_eq!(Some(stats.accuracy()), ours.held_out);
    for file in &ours.files {
        assert!(Path::new(file).is_file(), "{file}");
    }
    for name in ["learning-curve.svg", "raster.png", "connectivity.csv", "events.out.tfevents.0.snn", "training.npz"] {
        assert!(out.path().join("one").join(name).is_file(), "{name}");
    }
}

const SMALL: &str = r#"
epochs = 3
batch = 10
data = { name = "strokes", side = 8, train = 40, test = 20, code = { name = "latency", steps = 20 } }
[network]
populations = [{ name = "hidden", size = 20, model = "lif", tau = 0.01 }, { name = "out", model = "li", tau = 0.01 }]
projections = [
    { from = "in", to = "hidden", links = { random = 0.2 }, weights = { fan_in = 2.0 } },
    { from = "hidden", to = "out", weights = { fan_in = 2.0 } },
]
"#;

#[test]
fn a_folder_of_something_else_is_never_replaced() {
    let out = tempfile::tempdir().unwrap();
    let (dir, recipe) = (out.path().join("mine"), Recipe::parse("small.toml", SMALL).unwrap());
    let settings = Settings { out: dir.clone(), ..Settings::default() };
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("thesis.tex"), "a year of work").unwrap();
    assert!(matches!(train(&recipe, &settings), Err(LabError::NotOurs { .. })));
    assert_eq!(fs::read(dir.join("thesis.tex")).unwrap(), b"a year of work");
    fs::remove_file(dir.join("thesis.tex")).unwrap();
    let first = train(&recipe, &settings).unwrap();
    // Again, and once more with --resume: the result is there already.
    assert_eq!(train(&recipe, &settings).unwrap().trainings, first.trainings);
    let again = train(&recipe, &Settings { resume: true, ..settings.clone() }).unwrap();
    assert_eq!(again.trainings, first.trainings);
    // A result that was moved lists its files where they are.
    fs::rename(&dir, out.path().join("moved")).unwrap();
    let moved = train(&recipe, &Settings { resume: true, out: out.path().join("moved"), ..settings }).unwrap();
    assert!(moved.files.iter().all(|file| Path::new(file).is_file()));
}

#[test]
fn what_was_begun_by_another_recipe_does_not_go_on() {
    let out = tempfile::tempdir().unwrap();
    let recipe = |text: &str| Recipe::parse("small.toml", text).unwrap();
    let settings = Settings { out: out.path().join("run"), ..Settings::default() };
    settings.interrupt.request();
    assert!(matches!(train(&recipe(SMALL), &settings), Err(LabError::Interrupted)));
    let settings = Settings { interrupt: Default::default(), resume: true, ..settings };
    let error = train(&recipe(&SMALL.replace("size = 20", "size = 21")), &settings).unwrap_err();
    assert!(matches!(error, LabError::OtherRun { .. }) && error.to_string().contains("recipe"), "{error}");
    // Remarks and order are no other recipe.
    let resumed = train(&recipe(&SMALL.replace("epochs = 3\nbatch = 10", "batch = 10 # trials\nepochs = 3")), &settings).unwrap();
    let whole = trained(SMALL, &out.path().join("whole"));
    assert_eq!((resumed.trainings[0].sha256.as_str(), resumed.held_out), (whole.trainings[0].sha256.as_str(), whole.held_out));
    assert!(resumed.notes[0].contains("continued"));
}

#[track_caller]
fn refused(from: &str, to: &str, says: &[&str]) {
    assert!(SMALL.contains(from), "{from}");
    let error = Recipe::parse("small.toml", &SMALL.replace(from, to))
        .map_err(anyhow::Error::from)
        .and_then(|recipe| {
            let parts = recipe.open()?;
            recipe.trainer(&recipe.network(&parts)?).map(|_| ())
        })
        .expect_err("it is refused");
    let text = format!("{error:#}");
    says.iter().for_each(|part| assert!(text.contains(part), "no \"{part}\" in {text}"));
}

#[test]
fn mistakes_have_a_line_and_a_name() {
    refused("epochs = 3", "epoch = 3", &["small.toml, line 1", "`epochs` is missing"]);
    refused("batch = 10", "batsh = 10", &["small.toml, line 3: the recipe has no key `batsh`", "did you mean `batch`?"]);
    refused("side = 8", "sides = 8", &["line 4: [data] has no key `sides`", "did you mean `side`?"]);
    refused("steps = 20", "setps = 20", &["line 4: [data.code] has no key `setps`", "did you mean `steps`?"]);
    refused("\"strokes\"", "\"strokse\"", &["line 4: [data]: there is no `strokse`", "did you mean `strokes`?", "nmnist"]);
    refused("model = \"lif\"", "model = \"liff\"", &["line 6", "no model is called `liff`", "did you mean `lif`?"]);
    refused("tau = 0.01 }, {", "tua = 0.01 }, {", &["line 6: [network.populations] 1 has no key `tua`", "did you mean `tau`?", "v_th"]);
    refused("random = 0.2", "randon = 0.2", &["line 8", "has no key `randon`", "did you mean `random`?"]);
    refused("{ fan_in = 2.0 } },\n]", "{ fan_in = 2.0, normal = 1 } },\n]", &["line 9", "give one of: { normal = 0.1 }"]);
    refused("from = \"hidden\"", "from = \"hiden\"", &["small.toml: [network]", "`hiden`", "there are: in, hidden, out"]);
    refused(
        "[network]",
        "structure = { name = \"deep_r\", l2 = 1 }\n[network]",
        &["line 5: [structure] has no key `l2`", "did you mean `l1`?"],
    );
    refused("[network]", "device = { on = \"brainscale\" }\n[network]", &["line 5", "did you mean `brainscales`?"]);
    refused("[network]", "seed = -3\n[network]", &["seed = -3", "whole number"]);
    refused("[network]", "[network]\ndt = 0.002", &["steps of 0.002 s, [data] of 0.001 s"]);
    refused("[network]", "rule = \"st_rsbp\"\n[network]", &["small.toml: it cannot be trained so", "st_rsbp"]);
    let folder = "name = \"idx\", folder = \"/no/such/folder\", code";
    refused("name = \"strokes\", side = 8, train = 40, test = 20, code", folder, &["[data], idx", "/no/such/folder", "not found"]);
}

#[test]
fn whatever_the_text_it_is_a_recipe_or_an_error_with_a_line() {
    let mut rng = Seed::new(1).child("changes").rng();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..2000 {
        let mut text = SMALL.as_bytes().to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..text.len());
            match rng.random_range(0..3) {
                0 => text[at] = rng.random_range(b' '..=b'~'),
                1 => drop(text.remove(at)),
                _ => text.truncate(at.max(1)),
            }
        }
        match Recipe::parse("changed.toml", &String::from_utf8(text).unwrap()) {
            Ok(_) => good += 1,
            Err(LabError::Recipe { line, .. }) => {
                assert!((1..=11).contains(&line), "line {line}");
                bad += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(good > 50 && bad > 1000, "{good} good, {bad} bad");
}

#[test]
fn every_data_set_that_needs_no_files_trains() {
    let out = tempfile::tempdir().unwrap();
    for (data, more) in [
        ("name = \"prototypes\", train = 20, test = 10, code = { name = \"poisson\", steps = 10 }, pool = 4", ""),
        ("name = \"strokes\", side = 8, train = 20, test = 10, code = \"scan\"", ""),
        ("name = \"templates\", train = 20, test = 10, inputs = 30", ""),
        ("name = \"randman\", per_class = 8, validation = 0.25", ""),
        ("name = \"xor\", train = 20, test = 10", ""),
        ("name = \"evidence\", train = 4, test = 2", ""),
        ("name = \"store_recall\", train = 4, test = 2", "loss = { cross_entropy = \"mean\" }"),
        ("name = \"temporal_order\", train = 6, test = 2", ""),
        ("name = \"pattern\", steps = 50, outputs = 1, periods = [0.05, 0.02]", "loss = \"mean_squared\"\nrule = \"eprop\""),
    ] {
        let size = if data.contains("pattern") { ", size = 1" } else { "" };
        let text = format!(
            "epochs = 1\ndata = {{ {data} }}\n{more}\n[network]\npopulations = [{{ name = \"hidden\", size = 20, model = \"lif\" }}, {{ name = \"out\", model = \"li\"{size} }}]\n\
             projections = [{{ from = \"in\", to = \"hidden\", weights = {{ fan_in = 2 }} }}, {{ from = \"hidden\", to = \"out\", weights = {{ fan_in = 1 }} }}]"
        );
        let trained = trained(&text, &out.path().join("run"));
        assert!(trained.loss.is_finite() && trained.trials.0 > 0, "{data}");
        assert_eq!(trained.accuracy.is_some(), !data.contains("pattern"), "{data}");
    }
}

#[test]
fn a_machine_in_the_loop_and_a_network_from_a_file() {
    let out = tempfile::tempdir().unwrap();
    let first = trained(SMALL, &out.path().join("first"));
    let network = out.path().join("first/network.json");
    // From the trained weights on, with a chip in the loop.
    let start = SMALL.find("[network]").unwrap();
    let text = format!("{}device = {{ on = \"brainscales\", clip = 1.5 }}\n[network]\nfile = {network:?}\n", &SMALL[..start]);
    let on_chip = trained(&text, &out.path().join("chip"));
    assert_eq!(on_chip.links, first.links);
    assert_ne!(on_chip.trainings[0].sha256, first.trainings[0].sha256);
    let recipe = Recipe::parse("chip.toml", &text).unwrap();
    let (parts, network) = (recipe.open().unwrap(), snn_repro::recipe::read_network(&network).unwrap());
    let machine = snn_hw::by_name("brainscales").unwrap();
    let (stats, costs) = recipe.evaluate(&network, &parts.held_out().unwrap(), Some((&*machine, Seed::new(0)))).unwrap();
    assert!(stats.trials == 20 && costs.expect("costs").seconds > 0.0);
}
