use serde::{Deserialize, Serialize};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lsnn};
use snn_core::{Net, Network, NetworkError, Seed, Value};

/// A recurrent network of adaptive and regular neurons with a graded readout, for tasks that need memory: every number is the caller's.
///
/// ```text
/// in ─▶ hidden ⟲ ─▶ out       hidden: `lsnn`, units 0..regular with β = 0, the others with β = beta;   out: `li`
/// ```
/// All links exist but those from a unit to itself; recurrent ones take one step. Weights are normal with a standard deviation of
/// `weight/√(sources)`.
///
/// Source: Bellec, Salaj, Subramoney, Legenstein and Maass 2018 (arXiv:1803.09574). With `beta = 0` it is the control without adaptation: the same
/// links and weights from the same seed.
///
/// ```
/// use snn_core::Seed;
/// use snn_arch::Agent;
/// let agent = Agent {
///     dt: 1e-3, regular: 6, adaptive: 4, tau: 0.02, tau_a: 1.0, v_th: 0.01, beta: 1.7, refractory: 2e-3, tau_out: 0.02,
///     weight_in: 0.2, weight_recurrent: 0.2, weight_out: 1.0,
/// };
/// let (net, control) = (agent.network(5, 3, Seed::new(1))?, Agent { beta: 0.0, ..agent }.network(5, 3, Seed::new(1))?);
/// assert_eq!(net.links(), 5 * 10 + 10 * 9 + 10 * 3);
/// assert_eq!(net.draft().projections, control.draft().projections);
/// # Ok::<(), snn_core::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Time step (s).
    pub dt: f64,
    /// Neurons without adaptation.
    pub regular: usize,
    /// Neurons with adaptation.
    pub adaptive: usize,
    /// Membrane time constant (s).
    pub tau: f64,
    /// Adaptation time constant (s).
    pub tau_a: f64,
    /// Base threshold.
    pub v_th: f64,
    /// Threshold rise per unit of the filtered own spike train.
    pub beta: f64,
    /// Refractory period (s).
    pub refractory: f64,
    /// Time constant of the readout (s).
    pub tau_out: f64,
    /// Spread of the input's weights, times the root of the number of channels.
    pub weight_in: f64,
    /// Spread of the recurrent weights, times the root of the number of neurons.
    pub weight_recurrent: f64,
    /// Spread of the readout's weights, times the root of the number of neurons.
    pub weight_out: f64,
}

impl Agent {
    /// The network for `inputs` channels and `outputs` numbers.
    ///
    /// # Errors
    /// As [`Net::build`].
    pub fn network(&self, inputs: usize, outputs: usize, seed: Seed) -> Result<Network, NetworkError> {
        let size = self.regular + self.adaptive;
        let beta = (0..size).map(|j| if j < self.regular { 0.0 } else { self.beta }).collect();
        let model = Lsnn { tau: self.tau.into(), tau_a: self.tau_a.into(), v_th: self.v_th.into(), beta: Value::Each(beta) };
        let spread = |weight: f64, sources: usize| Init::normal(weight / (sources as f64).sqrt());
        Net::new(self.dt)
            .input("in", inputs)
            .population("hidden", size, model)
            .refractory(self.refractory)
            .population("out", outputs, Li { tau: self.tau_out.into() })
            .project("in", "hidden", Connect::All, spread(self.weight_in, inputs))
            .project("hidden", "hidden", Connect::All, spread(self.weight_recurrent, size))
            .without_autapses()
            .delay(self.dt)
            .project("hidden", "out", Connect::All, spread(self.weight_out, size))
            .output("out")
            .build(seed)
    }
}
