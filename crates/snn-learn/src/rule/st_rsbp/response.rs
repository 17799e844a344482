//! What a spike does to a neuron that fires when it is told to: the spike-train level postsynaptic potential and its dependence on counts.

use crate::gemm::solve;
use rand::RngExt;
use snn_core::Seed;
use snn_core::neuron::{Jacobian, LifPsc, Neuron, jacobian};
use snn_sparse::lanes::{Isa, Kernel};
use snn_sparse::{Block, LANES, Scalar, Simd};

/// A neuron's local derivatives while it is free, and while a spike before holds it back (reset, or clamped).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Filter {
    free: [f64; 3], // ∂v/∂x, ∂v/∂i, ∂v/∂v of the step before
    held: [f64; 3],
    current: [f64; 2], // ∂i/∂x, ∂i/∂i
    hold: usize,       // steps for which a spike holds it back
}

impl Filter {
    /// That of neurons which all have the parameters of the first.
    pub fn new(model: &LifPsc, dt: f64) -> Self {
        let c = model.consts::<f64>(0, dt);
        let after = |z: f64| jacobian::<LifPsc>(c, &[0.0; 3], z, [0.0]);
        let potential = |j: &Jacobian| [j.u_x, j.u_s[0], j.u_s[1]];
        let (free, held) = (after(0.0), after(1.0));
        let hold = ((model.t_ref.at(0) / dt).round() as usize).max(1);
        Filter { free: potential(&free), held: potential(&held), current: [free.s_x[0], free.s_s[0][0]], hold }
    }

    /// Steps for which a spike holds a neuron back.
    pub fn hold(&self) -> usize {
        self.hold
    }

    /// For each of 64 neurons that fire when `fired` says, and each step `t`: by how much one unit of input at `t` raises the sum of the potentials at the neuron's spikes. Summed over the
    /// spikes that arrive from `j`, this is the S-PSP `e_ij`: it is linear in them, as the neuron's own spikes are given. Cost: 64 · steps.
    pub fn respond<F: Scalar>(&self, simd: Simd, fired: &[u64], into: &mut [Block<F>]) {
        simd.run(Respond { filter: self, fired, into });
    }
}

struct Respond<'a, F> {
    filter: &'a Filter,
    fired: &'a [u64],
    into: &'a mut [Block<F>],
}

impl<F: Scalar> Kernel for Respond<'_, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Respond { filter, fired, into } = self;
        let lanes = |bits: u64| Block::<F>(std::array::from_fn(|l| F::of(f64::from((bits >> l) as u32 & 1))));
        let (free, held, [i_x, i_i]) = (filter.free.map(F::of), filter.held.map(F::of), filter.current.map(F::of));
        let one = F::of(1.0);
        // ∂e/∂i and ∂e/∂v, from the steps after the present one.
        let (mut current, mut potential) = (Block::<F>::zero(), Block::<F>::zero());
        for (t, into) in into.iter_mut().enumerate().rev() {
            let bound = lanes((1..=filter.hold.min(t)).fold(0, |bound, ago| bound | fired[t - ago]));
            let spikes = lanes(fired[t]);
            for l in 0..LANES {
                let loose = one - bound.0[l];
                let pick = |k: usize| loose * free[k] + bound.0[l] * held[k];
                let (v, i) = (spikes.0[l] + potential.0[l], current.0[l]);
                into.0[l] = pick(0) * v + i_x * i;
                current.0[l] = pick(1) * v + i_i * i;
                potential.0[l] = pick(2) * v;
            }
        }
    }
}

/// Draws for each count [code: 1000 pairs of trains].
const DRAWS: usize = 1024;
const DEGREE: usize = 4;

/// How the S-PSP depends on how often the neuron itself fires: a polynomial of degree 4 through means over random trains.
///
/// For a source of `n` spikes at random steps the expected S-PSP is `n` times the mean over steps of [`Filter::respond`], so only the neuron's own trains are drawn: one polynomial stands for
/// all counts of the source.
#[derive(Clone, Debug)]
pub(super) struct Table {
    coefficients: Vec<f64>,
    /// Counts beyond which it is not used.
    pub top: usize,
}

impl Table {
    /// For trials of `steps` steps and own counts from 1 to `counts`, or as many as there is room for.
    pub fn new(filter: &Filter, steps: usize, counts: usize, simd: Simd) -> Self {
        let room = (steps + filter.hold) / (filter.hold + 1);
        let top = counts.min(room).max(1);
        let mut rng = Seed::new(0).child("s-psp").rng();
        let mut response = vec![Block::<f64>::zero(); steps];
        let mut mean = |count: usize| -> f64 {
            let mut sum = 0.0;
            for _ in 0..DRAWS / LANES {
                let mut fired = vec![0u64; steps];
                (0..LANES).for_each(|l| train(steps, count.min(room), filter.hold, &mut rng).for_each(|t| fired[t] |= 1 << l));
                filter.respond(simd, &fired, &mut response);
                // What is sent at a step is heard at the next.
                sum += response.iter().skip(1).flat_map(|block| block.0).sum::<f64>();
            }
            sum / (DRAWS * steps.max(1)) as f64
        };
        let means: Vec<f64> = (1..=top).map(&mut mean).collect();
        Table { coefficients: fit(&means, DEGREE.min(top - 1)), top }
    }

    /// The derivative of the mean S-PSP per spike of the source by the own count, clamped to the table.
    pub fn slope(&self, count: f64) -> f64 {
        let x = count.clamp(1.0, self.top as f64) / self.top as f64;
        let term = |(k, c): (usize, &f64)| k as f64 * c * x.powi(k as i32 - 1);
        self.coefficients.iter().enumerate().skip(1).map(term).sum::<f64>() / self.top as f64
    }
}

/// `count` random steps, at least `hold + 1` apart: places among those that are free, moved apart.
fn train(steps: usize, count: usize, hold: usize, rng: &mut impl rand::Rng) -> impl Iterator<Item = usize> {
    let free = steps - (count.max(1) - 1) * hold;
    // Floyd's sample of distinct places.
    let mut places = std::collections::BTreeSet::new();
    for last in free - count..free {
        let place = rng.random_range(0..=last);
        if !places.insert(place) {
            places.insert(last);
        }
    }
    places.into_iter().enumerate().map(move |(k, place)| place + k * hold)
}

/// The polynomial in `k/n` that is nearest to `values[k − 1]`, `k = 1…n`, in the sum of squares.
fn fit(values: &[f64], degree: usize) -> Vec<f64> {
    let n = values.len() as f64;
    let power = |k: usize, d: usize| ((k + 1) as f64 / n).powi(d as i32);
    let size = degree + 1;
    let moments: Vec<f64> = (0..size * size).map(|at| (0..values.len()).map(|k| power(k, at / size + at % size)).sum()).collect();
    let mut right: Vec<f64> = (0..size).map(|d| values.iter().enumerate().map(|(k, v)| v * power(k, d)).sum()).collect();
    solve(&moments, &mut right);
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::ms;

    /// The neuron itself, told when to fire, with one input of weight 1: the sum of its potentials at its spikes.
    fn played(model: &LifPsc, fired: &[u64], lane: usize, arrivals: &[usize]) -> f64 {
        let c = model.consts::<f64>(0, 1e-3);
        let (mut s, mut z, mut sum) = ([0.0; 3], 0.0, 0.0);
        for (t, fired) in fired.iter().enumerate() {
            s = LifPsc::step(c, s, z, [arrivals.iter().filter(|&&a| a == t).count() as f64]).0;
            z = f64::from((fired >> lane) as u32 & 1);
            sum += z * s[1];
        }
        sum
    }

    proptest! {
        /// The response is what the neuron's own equation gives, for any trains: with and without a clamp.
        #[test]
        fn a_response_is_the_neuron_played(fired in prop::collection::vec(any::<u64>(), 1..40), clamp in 0u32..4, seed: u64, tau in 1.0f64..20.0) {
            let model = LifPsc { tau: ms(tau).into(), tau_syn: ms(3.0).into(), resistance: tau.into(), t_ref: ms(f64::from(clamp)).into(), ..LifPsc::default() };
            // Sparse trains.
            let fired: Vec<u64> = fired.iter().map(|f| f & (f >> 7) & (f >> 13)).collect();
            let mut response = vec![Block::<f64>::zero(); fired.len()];
            Filter::new(&model, 1e-3).respond(Simd::detect(), &fired, &mut response);
            let arrivals: Vec<usize> = (0..fired.len()).filter(|t| seed >> (t % 61) & 1 == 1).collect();
            for lane in [0, 17, 63] {
                let ours: f64 = arrivals.iter().map(|&t| response[t][lane]).sum();
                let theirs = played(&model, &fired, lane, &arrivals);
                prop_assert!((ours - theirs).abs() < 1e-10 * (1.0 + theirs.abs()), "{ours} {theirs}");
            }
        }

        #[test]
        fn trains_have_their_count_and_keep_apart(steps in 1usize..200, hold in 1usize..4, part in 0f64..=1.0, seed: u64) {
            let room = (steps + hold) / (hold + 1);
            let count = (part * room as f64) as usize;
            let found: Vec<usize> = train(steps, count, hold, &mut Seed::new(seed).rng()).collect();
            prop_assert_eq!(found.len(), count);
            prop_assert!(found.windows(2).all(|w| w[1] - w[0] > hold) && found.iter().all(|&t| t < steps));
        }

        /// A polynomial is found again.
        #[test]
        fn a_fit_is_exact_for_polynomials(c in prop::array::uniform5(-2.0f64..2.0)) {
            let value = |x: f64| (0..5).map(|k| c[k] * x.powi(k as i32)).sum::<f64>();
            let found = fit(&(1..=30).map(|k| value(f64::from(k) / 30.0)).collect::<Vec<_>>(), 4);
            prop_assert!(found.iter().zip(&c).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {c:?}");
        }
    }

    #[test]
    fn a_table_follows_random_trains() {
        let model =
            LifPsc { tau: ms(64.0).into(), tau_syn: ms(8.0).into(), resistance: 64.0.into(), t_ref: ms(2.0).into(), ..LifPsc::default() };
        let filter = Filter::new(&model, 1e-3);
        let table = Table::new(&filter, 200, 30, Simd::detect());
        // The mean S-PSP of a source of 20 spikes, over other draws of both trains, at two counts; and what the table says of the way between them.
        let mean = |count: usize| {
            let mut rng = Seed::new(7).nth(count as u64).rng();
            let mut sum = 0.0;
            for _ in 0..4000 {
                let mut fired = vec![0u64; 200];
                train(200, count, 2, &mut rng).for_each(|t| fired[t] = 1);
                let arrivals: Vec<usize> = (0..20).map(|_| rng.random_range(0..200) + 1).collect();
                sum += played(&model, &fired, 0, &arrivals);
            }
            sum / 4000.0
        };
        let (few, many) = (mean(4), mean(25));
        let said = 20.0 * (0..210).map(|k| 0.1 * table.slope(4.05 + 0.1 * f64::from(k))).sum::<f64>();
        // The curve rises fast at first, which a polynomial of degree 4 follows as a whole, not count by count.
        assert!(many > few && (said - (many - few)).abs() < 0.15 * (many - few), "{said}, not {}", many - few);
    }
}
