//! Dense networks that were trained on the engines of this workspace.

use snn_core::ann::{Activation, Ann, AnnError, Graph, Node, Op};
use snn_core::neuron::Model;
use snn_core::{Network, Value};

/// Why a network is no dense one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DenseError {
    /// A population that is no unit of dense networks.
    #[error(
        "population `{population}` ({model}): only rectified units (`relu`) and a readout (`li`, `sum`) are dense; this network spikes already"
    )]
    Population {
        /// Population.
        population: String,
        /// Its model.
        model: &'static str,
    },
    /// Not one input and one output, or a loop, or delays.
    #[error("{0}")]
    Shape(String),
    /// What was made is no graph.
    #[error(transparent)]
    Graph(#[from] AnnError),
}

/// The graph of a network of rectified units that was run for one step per input, as Grad R's and DEEP R's dense networks are: populations of [`Relu`](snn_core::neuron::Relu), and
/// one readout, whose gain is left out. Constant currents are biases.
///
/// # Errors
/// [`DenseError`], naming what is not dense.
pub fn dense(network: &Network) -> Result<Ann, DenseError> {
    let draft = network.draft();
    let shape = |why: &str| DenseError::Shape(why.into());
    let ([input], [output]) = (&draft.inputs[..], &draft.outputs[..]) else { return Err(shape("one input and one output are needed")) };
    if draft.projections.iter().any(|p| p.delay.given().iter().any(|&d| d != 0.0)) {
        return Err(shape("a delay has no place in a dense network; give all projections a delay of 0"));
    }
    let mut nodes = vec![Node::new(&input.name, input.size, [], Op::Input)];
    // The node that stands for each group.
    let mut done = vec![(input.name.clone(), 0)];
    while done.len() <= draft.populations.len() {
        let known = |name: &str| done.iter().find(|(n, _)| n == name).map(|&(_, k)| k);
        let into = |name: &str| draft.projections.iter().filter(|p| p.to == name).collect::<Vec<_>>();
        let ready = draft.populations.iter().find(|p| known(&p.name).is_none() && into(&p.name).iter().all(|q| known(&q.from).is_some()));
        // A network without delays has no loops.
        let Some(p) = ready else { return Err(shape("a population is part of a loop")) };
        let mut terms = Vec::new();
        for (n, projection) in into(&p.name).into_iter().enumerate() {
            let bias = if n == 0 { bias(&p.current) } else { 0.0.into() };
            let op = Op::Linear { links: projection.links.clone(), weights: projection.weights.clone(), bias };
            nodes.push(Node::new(&format!("{}->{}", projection.from, p.name), p.size, [known(&projection.from).unwrap_or(0)], op));
            terms.push(nodes.len() - 1);
        }
        if terms.len() != 1 {
            nodes.push(Node::new(&format!("into {}", p.name), p.size, terms, Op::Add));
        }
        let last = nodes.len() - 1;
        match (&p.model, p.name == *output) {
            (Model::Relu(_), _) => nodes.push(Node::new(&p.name, p.size, [last], Op::Activation(Activation::Relu))),
            (Model::Li(_) | Model::Sum(_), true) => {}
            (model, _) => return Err(DenseError::Population { population: p.name.clone(), model: model.name() }),
        }
        done.push((p.name.clone(), nodes.len() - 1));
        // What stands after the output is not part of what it says.
        if p.name == *output {
            break;
        }
    }
    Ok(Ann::try_from(Graph { nodes })?)
}

fn bias(current: &Value) -> Value<f32> {
    match current {
        Value::Shared(x) => Value::Shared(*x as f32),
        Value::Each(list) => Value::Each(list.iter().map(|&x| x as f32).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Forward;
    use snn_core::net::{Connect, Init};
    use snn_core::neuron::{Li, Lif, Relu};
    use snn_core::{Net, Raster, Seed, ms};
    use snn_sparse::{Clocked, Record, Wants};

    fn network() -> Net {
        Net::new(ms(1.0))
            .input("in", 5)
            .population("out", 3, Li { tau: 1e-9.into() })
            .population("a", 7, Relu {})
            .current(vec![0.1, -0.2, 0.3, 0.0, 0.0, 0.5, 0.1])
            .population("b", 6, Relu {})
            .project("in", "a", Connect::Random { p: 0.6 }, Init::normal(1.0))
            .project("a", "b", Connect::All, Init::normal(0.5))
            .project("in", "b", Connect::All, Init::normal(0.5))
            .project("b", "out", Connect::All, Init::normal(0.5))
    }

    #[test]
    fn the_graph_says_what_the_engine_says() {
        let net = network().output("out").build(Seed::new(2)).unwrap();
        let (forward, engine) = (Forward::<f32>::new(&dense(&net).unwrap()), Clocked::<f32>::compile(&net));
        let (mut record, mut raster) = (Record::new(&engine), Raster::new(5, 1));
        for image in [[0.0, 1.0, 0.5, -1.0, 0.25], [1.0, 0.0, 2.0, 0.0, 0.0]] {
            raster.fill_dense(image.map(f64::from));
            engine.run(&[&raster], Wants::Spikes, &mut record);
            let y = forward.outputs(&image).unwrap();
            assert!((0..3).all(|j| (y[j] - record.traces[0].output_at(0, j)).abs() < 1e-5), "{y:?}");
        }
    }

    #[test]
    fn what_is_not_dense_is_named() {
        let refused = |net: Net| dense(&net.build(Seed::new(2)).unwrap()).unwrap_err().to_string();
        assert!(refused(network().output("out").output("a")).contains("one input and one output"));
        assert!(
            refused(network().output("out").project("in", "out", Connect::All, Init::Constant(1.0)).delay(ms(1.0))).contains("a delay")
        );
        let spiking = network().population("s", 2, Lif::default()).project("in", "s", Connect::All, Init::Constant(1.0));
        assert!(refused(spiking.project("s", "out", Connect::All, Init::Constant(1.0)).output("out")).contains("`s` (lif)"));
    }
}
