//! One node: an actor with a state of its own, a mailbox, and links to its neighbours.

use super::Reservoir;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use snn_core::Seed;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

/// What a node sends at a step: its state and its reading, `K + 1` numbers.
pub(super) struct Packet {
    from: usize,
    state: Arc<[f64]>,
    reading: f64,
}

/// A radio link to a neighbour, which may lose what is sent.
struct Link {
    mailbox: Sender<Packet>,
    seed: Seed,
    luck: ChaCha8Rng,
}

/// What is known of a neighbour, or of the node itself: what it said last.
struct Ear {
    of: usize,
    /// `K × K`, row by row: what its state does to this one's.
    weights: Vec<f64>,
    state: Arc<[f64]>,
    reading: f64,
    /// Steps since it was heard.
    age: usize,
}

/// A node. Nothing in it is shared: what it knows of others came through its mailbox.
pub(super) struct Node {
    id: usize,
    how: Reservoir,
    /// Neighbours and itself, in ascending order.
    ears: Vec<Ear>,
    input: Vec<f64>,
    bias: Vec<f64>,
    inbox: Receiver<Packet>,
    links: Vec<Link>,
    /// Of all nodes: who is not to be heard.
    out: Arc<[bool]>,
    /// What is known of the neighbours at this step, and whether all of it is fresh.
    pub(super) features: Vec<f64>,
    pub(super) fresh: bool,
    /// Packets sent so far.
    pub(super) sent: u64,
}

impl Node {
    /// A node with weights drawn from its own stream. `neighbours` with their mailboxes, in ascending order.
    pub(super) fn new(id: usize, how: Reservoir, inbox: Receiver<Packet>, neighbours: Vec<(usize, Sender<Packet>)>, seed: Seed) -> Self {
        let (k, mut rng) = (how.units, seed.child("weights").nth(id as u64).rng());
        let nothing: Arc<[f64]> = vec![0.0; k].into();
        let mut heard: Vec<usize> = neighbours.iter().map(|(j, _)| *j).chain([id]).collect();
        heard.sort_unstable();
        let mut draw = |bound: f64| bound * (2.0 * rng.random::<f64>() - 1.0);
        let mut ears: Vec<Ear> = heard
            .into_iter()
            .map(|of| {
                let weights = (0..k * k).map(|_| if draw(1.0).abs() < how.density { draw(1.0) } else { 0.0 }).collect();
                Ear { of, weights, state: nothing.clone(), reading: 0.0, age: 0 }
            })
            .collect();
        // Rows whose absolute values add up to less than 1 shrink every difference, whichever links are up.
        for unit in 0..k {
            let row = |ear: &Ear| ear.weights[unit * k..][..k].iter().map(|w| w.abs()).sum::<f64>();
            let sum: f64 = ears.iter().map(row).sum();
            if sum > 0.0 {
                ears.iter_mut().flat_map(|ear| &mut ear.weights[unit * k..][..k]).for_each(|w| *w *= how.rho / sum);
            }
        }
        let [input, bias] = [how.input, how.bias].map(|bound| (0..k).map(|_| draw(bound)).collect());
        let link = |(to, mailbox): (usize, Sender<Packet>)| {
            let seed = seed.child("links").nth(id as u64).nth(to as u64);
            Link { mailbox, seed, luck: seed.rng() }
        };
        let links = neighbours.into_iter().map(link).collect();
        let out = Arc::new([]);
        Node { id, how, ears, input, bias, inbox, links, out, features: Vec::new(), fresh: false, sent: 0 }
    }

    /// Features of its neighbours, less those that are out, and one that is always 1.
    pub(super) fn count(&self, out: &[bool]) -> usize {
        1 + (self.how.units + 1) * self.ears.iter().filter(|ear| ear.of != self.id && !out[ear.of]).count()
    }

    /// Begins anew, without those that are out; every link loses the same again.
    pub(super) fn reset(&mut self, out: &Arc<[bool]>) {
        while self.inbox.try_recv().is_ok() {}
        self.links.iter_mut().for_each(|link| link.luck = link.seed.rng());
        let nothing: Arc<[f64]> = vec![0.0; self.how.units].into();
        for ear in &mut self.ears {
            (ear.state, ear.reading, ear.age) = (nothing.clone(), 0.0, 0);
        }
        self.out = out.clone();
    }

    /// `x(t) = tanh(Σ_j W_j·x_j(t−1) + w_in·u(t) + b)` of what was heard, and out it goes. Without a reading (NaN) nothing is sent.
    pub(super) fn speak(&mut self, reading: f64) {
        let k = self.how.units;
        let mut state = vec![0.0; k];
        for (unit, x) in state.iter_mut().enumerate() {
            for ear in self.ears.iter().filter(|ear| ear.of == self.id || !self.out[ear.of]) {
                ear.weights[unit * k..][..k].iter().zip(&*ear.state).for_each(|(w, y)| *x += w * y);
            }
        }
        let known = if reading.is_finite() { reading } else { 0.0 };
        state.iter_mut().zip(&self.input).zip(&self.bias).for_each(|((x, w), b)| *x = (*x + w * known + b).tanh());
        let state: Arc<[f64]> = state.into();
        if let Some(own) = self.ears.iter_mut().find(|ear| ear.of == self.id) {
            own.state = state.clone();
        }
        for link in &mut self.links {
            // Drawn whether or not something is sent: what one node does changes nobody's luck.
            let through = link.luck.random::<f64>() < self.how.quality;
            if reading.is_finite() && !self.out[self.id] {
                self.sent += 1;
                if through {
                    // A neighbour that has gone hears nothing.
                    let _ = link.mailbox.send(Packet { from: self.id, state: state.clone(), reading });
                }
            }
        }
    }

    /// Reads the mailbox. From a neighbour that was not heard the last message counts, for as long as patience goes.
    pub(super) fn listen(&mut self) {
        self.ears.iter_mut().for_each(|ear| ear.age += 1);
        while let Ok(Packet { from, state, reading }) = self.inbox.try_recv() {
            if let Ok(k) = self.ears.binary_search_by_key(&from, |ear| ear.of) {
                let ear = &mut self.ears[k];
                (ear.state, ear.reading, ear.age) = (state, reading, 0);
            }
        }
        self.features.clear();
        self.fresh = true;
        for ear in self.ears.iter().filter(|ear| ear.of != self.id && !self.out[ear.of]) {
            self.features.extend(&*ear.state);
            self.features.push(ear.reading);
            self.fresh &= ear.age <= self.how.patience;
        }
        self.features.push(1.0);
    }

    /// Its state.
    pub(super) fn state(&self) -> &[f64] {
        self.ears.iter().find(|ear| ear.of == self.id).map_or(&[], |ear| &ear.state)
    }
}

#[cfg(test)]
impl Node {
    pub(super) fn id(&self) -> usize {
        self.id
    }

    pub(super) fn matrix(&self) -> impl Iterator<Item = (usize, &[f64])> {
        self.ears.iter().map(|ear| (ear.of, &ear.weights[..]))
    }

    pub(super) fn drive(&self, unit: usize) -> (f64, f64) {
        (self.input[unit], self.bias[unit])
    }
}
