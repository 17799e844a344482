//! Gated recurrent units.

use candle_core::{Result, Tensor, Var};
use candle_nn::ops::sigmoid;

/// A layer of gated recurrent units (Cho et al. 2014), the reset gate before the recurrent product:
///
/// ```text
/// z = σ(W_z x + U_z h + b_z)    r = σ(W_r x + U_r h + b_r)    c = tanh(W_c x + U_c (r⊙h) + b_c)    h ← z⊙h + (1 − z)⊙c
/// ```
/// from `h = 0`. One bias a gate: `3·(inputs·units + units² + units)` parameters. Departure from the paper's program: its gates are piecewise linear.
#[derive(Clone, Debug)]
pub struct Gru {
    /// `[inputs, 3·units]`: W of z, r, c side by side.
    pub input: Var,
    /// `[units, 2·units]`: U of z and r.
    pub gates: Var,
    /// `[units, units]`: U of c.
    pub candidate: Var,
    /// `[3·units]`.
    pub bias: Var,
}

impl Gru {
    /// The states after every step of `x`, `[batch, steps, inputs]`: each `[batch, units]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn states(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let (batch, steps, inputs) = x.dims3()?;
        let units = self.candidate.dim(0)?;
        let drive = x.reshape((batch * steps, inputs))?.matmul(&self.input)?.broadcast_add(&self.bias)?;
        let drive = drive.reshape((batch, steps, 3 * units))?;
        let mut h = Tensor::zeros((batch, units), x.dtype(), x.device())?;
        let mut states = Vec::with_capacity(steps);
        for t in 0..steps {
            let drive = drive.narrow(1, t, 1)?.squeeze(1)?;
            let gates = sigmoid(&(drive.narrow(1, 0, 2 * units)? + h.matmul(&self.gates)?)?)?;
            let (z, r) = (gates.narrow(1, 0, units)?, gates.narrow(1, units, units)?);
            let c = (drive.narrow(1, 2 * units, units)? + (r * &h)?.matmul(&self.candidate)?)?.tanh()?;
            h = ((&z * &h)? + (z.affine(-1.0, 1.0)? * c)?)?;
            states.push(h.clone());
        }
        Ok(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use rand::RngExt;
    use snn_core::Seed;

    const UNITS: usize = 3;
    const INPUTS: usize = 2;
    const STEPS: usize = 4;

    fn random(name: &str, shape: &[usize]) -> Var {
        let mut rng = Seed::new(1).child(name).rng();
        let numbers: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Var::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    fn gru() -> Gru {
        Gru {
            input: random("input", &[INPUTS, 3 * UNITS]),
            gates: random("gates", &[UNITS, 2 * UNITS]),
            candidate: random("candidate", &[UNITS, UNITS]),
            bias: random("bias", &[3 * UNITS]),
        }
    }

    fn numbers(x: &Tensor) -> Vec<f64> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The equations, one number at a time.
    fn scalar(gru: &Gru, x: &[f64]) -> Vec<f64> {
        let (w, u, uc, b) = (numbers(&gru.input), numbers(&gru.gates), numbers(&gru.candidate), numbers(&gru.bias));
        let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut h = vec![0.0; UNITS];
        for x in x.chunks(INPUTS) {
            let drive = |g: usize, j: usize| (0..INPUTS).map(|i| x[i] * w[i * 3 * UNITS + g * UNITS + j]).sum::<f64>() + b[g * UNITS + j];
            let gate = |g: usize, j: usize| sigma(drive(g, j) + (0..UNITS).map(|i| h[i] * u[i * 2 * UNITS + g * UNITS + j]).sum::<f64>());
            let reset: Vec<f64> = (0..UNITS).map(|j| gate(1, j) * h[j]).collect();
            let c = |j: usize| (drive(2, j) + (0..UNITS).map(|i| reset[i] * uc[i * UNITS + j]).sum::<f64>()).tanh();
            h = (0..UNITS).map(|j| gate(0, j) * h[j] + (1.0 - gate(0, j)) * c(j)).collect();
        }
        h
    }

    #[test]
    fn equals_the_equations() {
        let (gru, x) = (gru(), random("x", &[2, STEPS, INPUTS]));
        let states = gru.states(&x).unwrap();
        assert_eq!(states.len(), STEPS);
        let last = numbers(&states[STEPS - 1]);
        for (n, x) in numbers(&x).chunks(STEPS * INPUTS).enumerate() {
            for (a, b) in last[n * UNITS..].iter().zip(scalar(&gru, x)) {
                assert!((a - b).abs() < 1e-12, "{a} {b}");
            }
        }
        assert!(gru.states(&random("x", &[2, STEPS, INPUTS + 1])).is_err());
    }

    #[test]
    fn gradients_are_finite_differences() {
        let (gru, x) = (gru(), random("x", &[2, STEPS, INPUTS]));
        let weights = random("weights", &[2, UNITS]);
        let loss = || -> Tensor {
            let states = gru.states(&x).unwrap();
            // The last state, and one on the way.
            let sum = (&states[STEPS - 1] + (&states[1] * 0.5).unwrap()).unwrap();
            (sum * weights.as_tensor()).unwrap().sum_all().unwrap()
        };
        let grads = loss().backward().unwrap();
        for var in [&gru.input, &gru.gates, &gru.candidate, &gru.bias, &x] {
            let (grad, at) = (numbers(grads.get(var).unwrap()), numbers(var));
            for k in 0..at.len() {
                let moved = |by: f64| {
                    let mut moved = at.clone();
                    moved[k] += by;
                    var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
                    loss().to_scalar::<f64>().unwrap()
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                moved(0.0);
                assert!((slope - grad[k]).abs() < 1e-5 * (1.0 + slope.abs()), "{k}: {slope} {}", grad[k]);
            }
        }
    }
}
