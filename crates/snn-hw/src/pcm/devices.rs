use super::Physics;
use snn_sparse::SubstrateState;
use snn_sparse::noise::Normals;

/// The states of many devices, a list each. What is done to one is a function of its number and of how often it was written.
#[derive(Clone, Debug)]
pub struct Devices {
    g: Vec<f32>,
    p: Vec<f32>,
    at: Vec<f64>,
    writes: Vec<u32>,
}

impl Devices {
    /// Devices after a RESET at time 0.
    pub fn new(count: usize, physics: &Physics, noise: Normals) -> Self {
        let mut devices = Devices { g: vec![0.0; count], p: vec![0.0; count], at: vec![0.0; count], writes: vec![0; count] };
        (0..count).for_each(|d| devices.reset(d, 0.0, physics, noise));
        devices
    }

    /// A normal number that device `d` has not met before.
    fn draw(&mut self, d: usize, noise: Normals) -> f32 {
        self.writes[d] = self.writes[d].wrapping_add(1);
        noise.pair((d as u64) << 31 ^ u64::from(self.writes[d]))[0]
    }

    /// A SET pulse on device `d` at time `now` (s).
    pub fn set(&mut self, d: usize, now: f64, physics: &Physics, noise: Normals) {
        let normal = self.draw(d, noise);
        (self.g[d], self.p[d]) = physics.set(self.g[d], self.p[d], normal);
        self.at[d] = now;
    }

    /// A RESET of device `d` at time `now` (s).
    pub fn reset(&mut self, d: usize, now: f64, physics: &Physics, noise: Normals) {
        let normal = self.draw(d, noise);
        (self.g[d], self.p[d], self.at[d]) = (physics.reset(normal), 1.0, now);
    }

    /// Makes device `d` as if it had been written to `mean + std·N(0,1)` µS at time 0.
    pub fn begin(&mut self, d: usize, mean: f32, std: f32, physics: &Physics, noise: Normals) {
        let g = mean + std * self.draw(d, noise);
        self.g[d] = g.clamp(super::physics::G_MIN, physics.g_max);
    }

    /// The conductance of device `d` (µS) at time `now`, drifted.
    pub fn conductance(&self, d: usize, now: f64, physics: &Physics) -> f32 {
        if physics.drift { (f64::from(self.g[d]) * physics.drift(now - self.at[d])) as f32 } else { self.g[d] }
    }

    /// The conductances (µS) as written.
    pub fn conductances(&self) -> &[f32] {
        &self.g
    }

    pub(super) fn save(&self, into: &mut SubstrateState) {
        let wide = |list: &[f32]| list.iter().map(|&x| f64::from(x)).collect();
        into.reals.extend([wide(&self.g), wide(&self.p), self.at.clone()]);
        into.counts.push(self.writes.iter().map(|&n| u64::from(n)).collect());
    }

    pub(super) fn restore(&mut self, reals: &mut std::slice::Iter<'_, Vec<f64>>, counts: &mut std::slice::Iter<'_, Vec<u64>>) {
        for list in [&mut self.g, &mut self.p] {
            list.iter_mut().zip(reals.next().into_iter().flatten()).for_each(|(to, &from)| *to = from as f32);
        }
        self.at.iter_mut().zip(reals.next().into_iter().flatten()).for_each(|(to, &from)| *to = from);
        self.writes.iter_mut().zip(counts.next().into_iter().flatten()).for_each(|(to, &from)| *to = from as u32);
    }
}
