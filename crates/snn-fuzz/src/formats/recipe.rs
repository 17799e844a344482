//! Recipes of `snn train`, as TOML.

use super::{Format, LEAST, PLAIN};
use snn_repro::recipe::Recipe;
use std::path::Path;

pub const FORMAT: Format = Format {
    name: "recipe",
    seeds,
    forms: &[PLAIN],
    words: &[
        "epochs",
        "batch",
        "data",
        "rule",
        "optimiser",
        "schedule",
        "loss",
        "regulariser",
        "structure",
        "device",
        "rates",
        "network",
        "populations",
        "projections",
        "name",
        "size",
        "model",
        "links",
        "random",
        "weights",
        "fan_in",
        "delay",
        "seed",
        "file",
        "nan",
        "inf",
        "-1",
        "1e308",
        "[[",
        "\"\"\"",
        "{ ",
        " }",
    ],
    // A character may be a value of its own, with its place, in a table.
    memory: |n| LEAST + 512 * n,
    read,
};

fn seeds() -> Vec<Vec<u8>> {
    let drawn = r#"
seed = "1/first"
epochs = 2
batch = 20
clip = 1.0
out = "first"
data = { name = "strokes", side = 8, train = 60, test = 20, code = { name = "latency", steps = 25 } }
rule = { name = "sparse_bptt", surrogate = { shape = "fast_sigmoid", beta = 10, window = 1 } }
optimiser = { name = "adam", lr = 0.02 }
regulariser = { upper = 0.06, upper_count = 1 }
structure = { name = "deep_r", l1 = 1e-4 }
device = { on = "brainscales", seed = 0, clip = 1.5 }
[network]
populations = [{ name = "hidden", size = 30, model = "lif", tau = 0.01 }, { name = "out", model = "li", tau = 0.01 }]
projections = [
    { from = "in", to = "hidden", links = { random = 0.1 }, weights = { fan_in = 2.0 }, delay = 0.001 },
    { from = "hidden", to = "out", weights = { fan_in = 2.0 } },
]
"#;
    let kept = "epochs = 1\nbatch = 8\nloss = { cross_entropy = \"last\" }\nschedule = \"cosine\"\noptimiser = \"sgd\"\ndata = { name = \"idx\", folder = \"digits\", code = \"analog\" }\n[network]\nfile = \"net.json\"\n";
    [drawn, kept].map(|text| text.as_bytes().to_vec()).into()
}

fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    let recipe = Recipe::read(path).map_err(|error| error.to_string())?;
    // Its data are not opened: how many trials it asks for is its own business.
    Ok(Box::new(move || {
        let again = Recipe::parse("again.toml", recipe.text()).unwrap();
        assert_eq!((again.digest(), again.epochs(), again.out()), (recipe.digest(), recipe.epochs(), recipe.out()));
    }))
}
