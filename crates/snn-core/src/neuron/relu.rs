use super::{Neuron, Output, Param};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The rectified linear unit: the neuron of dense networks, without memory.
///
/// ```text
/// u[t] = x[t]
/// z[t] = max(u[t], 0)                                  an event of value u where u > 0
/// ```
/// A network of such units is run for one step per image, pixels being graded events; over several steps every step is on its own. Units
/// that are 0 cost nothing, forward and backward. The derivative is 1 where `u > 0`, else 0.
///
/// No parameters. Source: Glorot, Bordes and Bengio 2011, eq. 1.
///
/// ```
/// use snn_core::neuron::{Neuron, Output, Relu};
/// let c = Relu::default().consts::<f64>(0, 1e-3);
/// assert_eq!(Relu::step(c, [], 0.0, [0.25]).1, 0.25);           // an event of value 0.25
/// assert!(Relu::step(c, [], 0.0, [-1.0]).1 < 0.0);              // none
/// assert_eq!(Relu::OUTPUT, Output::Rectified);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relu {}

impl Neuron for Relu {
    const NAME: &'static str = "relu";
    const OUTPUT: Output = Output::Rectified;
    type State<R: Real> = [R; 0];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 0];
    type Consts<R: Real> = [R; 0];

    fn params(&self) -> Vec<Param<'_>> {
        Vec::new()
    }

    fn derive<R: Real>(&self, _: [R; 0], _: f64) -> [R; 0] {
        []
    }

    #[inline(always)]
    fn step<R: Real>(_: [R; 0], _: [R; 0], _: R, [x]: [R; 1]) -> ([R; 0], R) {
        ([], x)
    }

    fn jump<R: Real>(_: [R; 0], _: [R; 0], _: u32) -> Option<[R; 0]> {
        Some([]) // nothing is kept
    }

    fn ceiling<R: Real>(_: [R; 0], _: [R; 0]) -> R {
        R::of(0.0)
    }
}
