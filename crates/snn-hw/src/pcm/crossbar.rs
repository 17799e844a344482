use super::physics::T0;
use super::{Devices, Physics};
use snn_core::Seed;
use snn_sparse::SubstrateState;
use snn_sparse::noise::Normals;
use std::slice::Iter;

/// Synapses made of pairs of groups of devices: what one group conducts counts for the weight, what the other does against it.
///
/// ```text
/// w = (mean of G₊ − mean of G₋) / scale
/// ```
/// with `pairs` devices on either side and `scale` in µS. A weight rises by pulses on its plus side and falls by pulses on its minus side, so both sides only
/// ever rise until they are renewed.
///
/// Memory: 48 bytes per pair. Source: Demirag et al. 2021; Boybat et al. 2018 for several devices a side, addressed in turn.
///
/// ```
/// use snn_core::Seed;
/// use snn_hw::pcm::{Crossbar, Physics, Side};
/// let mut bar = Crossbar::new(Physics::ideal(8), 1, 12.0, 2, Seed::new(0));
/// bar.pulse(1, Side::Minus, 64, 0.0);                            // 64 of 256 steps of a range of 12 µS, downwards
/// assert_eq!(bar.weights(0.0), [0.0, -0.25]);
/// assert_eq!(bar.pulses(), 64);
/// ```
#[derive(Clone, Debug)]
pub struct Crossbar {
    physics: Physics,
    pairs: usize,
    scale: f32,
    devices: Devices, // [synapse][pair][side]
    turn: Vec<u32>,   // [synapse][side]: pulses so far, of which the next device follows
    writing: Normals,
    looking: Normals,
    pulses: u64,
    resets: u64,
    looks: u64,
}

/// A side of a synapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Counts for the weight.
    Plus,
    /// Counts against it.
    Minus,
}

impl Side {
    /// The side whose pulses move a weight in the direction of `change`.
    pub fn towards(change: f32) -> Side {
        if change > 0.0 { Side::Plus } else { Side::Minus }
    }
}

/// When both sides of a synapse are so high that little room is left, and their difference so small that it can be written anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Renewal {
    /// A side above this (µS).
    pub level: f32,
    /// Their difference below this share of the higher side.
    pub share: f32,
}

impl Crossbar {
    /// Synapses whose devices were all RESET at time 0. Everything that is random in them comes from the seed.
    pub fn new(physics: Physics, pairs: usize, scale: f64, synapses: usize, seed: Seed) -> Self {
        let (pairs, writing) = (pairs.max(1), Normals::new(seed.child("writes")));
        Crossbar {
            physics,
            pairs,
            scale: scale as f32,
            devices: Devices::new(2 * pairs * synapses, &physics, writing),
            turn: vec![0; 2 * synapses],
            writing,
            looking: Normals::new(seed.child("looks")),
            pulses: 0,
            resets: 0,
            looks: 0,
        }
    }

    /// Makes all devices as if they had been written to `mean·(1 + std·N(0,1))` µS at time 0.
    pub fn begin(&mut self, mean: f64, std: f64) {
        for d in 0..self.devices.conductances().len() {
            self.devices.begin(d, mean as f32, (mean * std) as f32, &self.physics, self.writing);
        }
    }

    /// Synapses.
    pub fn synapses(&self) -> usize {
        self.turn.len() / 2
    }
    /// Devices a side.
    pub fn pairs(&self) -> usize {
        self.pairs
    }
    /// µS for a weight of 1.
    pub fn scale(&self) -> f32 {
        self.scale
    }
    /// Of its devices.
    pub fn physics(&self) -> &Physics {
        &self.physics
    }
    /// What a pulse is taken to add to the mean conductance of a side (µS).
    pub fn step(&self) -> f32 {
        self.physics.step() / self.pairs as f32
    }
    /// SET pulses so far.
    pub fn pulses(&self) -> u64 {
        self.pulses
    }
    /// RESETs of devices so far.
    pub fn resets(&self) -> u64 {
        self.resets
    }
    /// Devices read back so far, one at a time: not those read by spikes.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    fn device(&self, synapse: usize, pair: usize, side: Side) -> usize {
        (synapse * self.pairs + pair) * 2 + side as usize
    }

    /// `times` SET pulses on a side at time `now` (s), the devices in turn.
    pub fn pulse(&mut self, synapse: usize, side: Side, times: u32, now: f64) {
        for _ in 0..times {
            let turn = &mut self.turn[2 * synapse + side as usize];
            let pair = *turn as usize % self.pairs;
            *turn = turn.wrapping_add(1);
            let device = self.device(synapse, pair, side);
            self.devices.set(device, now, &self.physics, self.writing);
        }
        self.pulses += u64::from(times);
    }

    /// RESETs all devices of a synapse at time `now` (s).
    pub fn reset(&mut self, synapse: usize, now: f64) {
        for device in self.device(synapse, 0, Side::Plus)..self.device(synapse + 1, 0, Side::Plus) {
            self.devices.reset(device, now, &self.physics, self.writing);
        }
        self.resets += 2 * self.pairs as u64;
    }

    /// The mean of something over the devices of a side.
    fn mean(&self, synapse: usize, side: Side, of: impl Fn(usize) -> f32) -> f32 {
        (0..self.pairs).map(|pair| of(self.device(synapse, pair, side))).sum::<f32>() / self.pairs as f32
    }

    /// The mean conductance of a side (µS) at time `now`, as a read without noise would find it.
    pub fn level(&self, synapse: usize, side: Side, now: f64) -> f32 {
        self.mean(synapse, side, |d| self.drifted(d, now))
    }

    fn drifted(&self, device: usize, now: f64) -> f32 {
        self.physics.read(self.devices.conductance(device, now, &self.physics), 0.0)
    }

    /// The weights at time `now`, as reads without noise would find them.
    pub fn weights(&self, now: f64) -> Vec<f32> {
        let level = |synapse, side| self.level(synapse, side, now);
        (0..self.synapses()).map(|s| (level(s, Side::Plus) - level(s, Side::Minus)) / self.scale).collect()
    }

    /// Every conductance at time `now` before noise: `[synapse][pair][side]`, µS.
    pub(super) fn conductances(&self, now: f64) -> Vec<f32> {
        (0..self.devices.conductances().len()).map(|d| self.devices.conductance(d, now, &self.physics)).collect()
    }

    /// Reads a synapse back at time `now`: the mean conductances found on its sides (µS), with the noise of reading.
    pub fn look(&mut self, synapse: usize, now: f64) -> [f32; 2] {
        let first = self.looks;
        self.looks += 2 * self.pairs as u64;
        [Side::Plus, Side::Minus].map(|side| {
            self.mean(synapse, side, |d| {
                let nth = first + (d - self.device(synapse, 0, Side::Plus)) as u64;
                self.physics.read(self.devices.conductance(d, now, &self.physics), self.looking.pair(nth)[0])
            })
        })
    }

    /// Reads a synapse back, RESETs it, and writes the difference that was found on the side that was higher.
    pub fn renew(&mut self, synapse: usize, now: f64) {
        let [plus, minus] = self.look(synapse, now);
        self.reset(synapse, now);
        let times = ((plus - minus).abs() / self.step()).round() as u32;
        self.pulse(synapse, Side::towards(plus - minus), times, now);
    }

    /// Renews every synapse that has run out of room, as far as reading back can tell. Returns how many.
    pub fn renew_where(&mut self, rule: Renewal, now: f64) -> usize {
        let mut count = 0;
        for synapse in 0..self.synapses() {
            let [plus, minus] = self.look(synapse, now);
            let high = plus.max(minus);
            if high > rule.level && (plus - minus).abs() < rule.share * high {
                self.renew(synapse, now);
                count += 1;
            }
        }
        count
    }

    /// Writes a weight from the bottom by pulses that are each read back, until `T0` after the last pulse the difference is what is wanted. Where it has become more than
    /// `tolerance` µS too large, all begins anew, at most `attempts` times: what then remains is the error of writing.
    pub fn program(&mut self, synapse: usize, weight: f32, tolerance: f32, attempts: usize, now: f64) {
        let (side, wanted) = (Side::towards(weight), (weight * self.scale).abs());
        let most = (2.0 * self.physics.g_max / self.step()) as u32;
        for attempt in 0..attempts.max(1) {
            if attempt == 0 || self.missing(synapse, side, wanted, now) < -tolerance {
                self.reset(synapse, now);
            }
            for _ in 0..most {
                let missing = self.missing(synapse, side, wanted, now) / self.step();
                if missing < 0.5 {
                    break;
                }
                // Steps of performance mode can be counted in advance.
                self.pulse(synapse, side, if self.physics.bits.is_some() { missing.round() as u32 } else { 1 }, now);
            }
        }
    }

    /// How much the difference of the sides lacks of `wanted` (µS), from a few reads.
    fn missing(&mut self, synapse: usize, side: Side, wanted: f32, now: f64) -> f32 {
        const READS: usize = 4; // [ours]
        let noisy = if self.physics.read_noise { READS } else { 1 };
        let found = (0..noisy).map(|_| self.look(synapse, now + T0)).map(|[plus, minus]| plus - minus).sum::<f32>() / noisy as f32;
        wanted - if side == Side::Plus { found } else { -found }
    }

    pub(super) fn save(&self, into: &mut SubstrateState) {
        self.devices.save(into);
        into.counts.push(self.turn.iter().map(|&n| u64::from(n)).collect());
        into.counts.push(vec![self.pulses, self.resets, self.looks]);
    }

    pub(super) fn restore(&mut self, reals: &mut Iter<'_, Vec<f64>>, counts: &mut Iter<'_, Vec<u64>>) {
        self.devices.restore(reals, counts);
        self.turn.iter_mut().zip(counts.next().into_iter().flatten()).for_each(|(to, &from)| *to = from as u32);
        if let Some(&[pulses, resets, looks]) = counts.next().map(Vec::as_slice) {
            (self.pulses, self.resets, self.looks) = (pulses, resets, looks);
        }
    }
}
