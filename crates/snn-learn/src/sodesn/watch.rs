//! Reading by reading: who is at fault.

use super::{Detector, Graph, Heard, Moments, Reservoir, Rls, Score, SensorNet, SodesnError};
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_core::stats::{mean, variance};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// What there is to say of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It has had no reading for longer than [`Reservoir::patience`].
    Silent,
    /// It reads the same all the time, and its neighbours say otherwise.
    Stuck,
    /// It is off, by about the same all the time.
    Shifted,
    /// It is off, now more and now less.
    Erratic,
    /// It is well again.
    Well,
}

/// Something that has been found out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The node.
    pub node: usize,
    /// What is the matter.
    pub what: What,
    /// Its reading, as it was given; NaN if there is none.
    pub reading: f64,
    /// What its neighbours say it should be; NaN if they do not.
    pub expected: f64,
    /// Its score, and the largest that is no fault.
    pub score: Option<f64>,
    /// See `score`.
    pub limit: f64,
}

/// What a [`Watch`] remembers of what it has heard: enough to go on later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The last readings, standardised.
    recent: VecDeque<Vec<f64>>,
    /// What is the matter with each node.
    out: Vec<Option<What>>,
    /// Steps in a row without a reading and with one.
    gaps: Vec<usize>,
    runs: Vec<usize>,
}

/// What nodes know while some are out: weights, and what their errors are like.
struct Fit {
    weights: Vec<Vec<f64>>,
    moments: Vec<Moments>,
}

/// A sensor network that looks for faults, reading by reading.
///
/// 1. Each node learns to predict its own reading from what its neighbours say ([`Rls`]), on a past in which all was well; the last fifth of it tells what its errors are like.
///    Its own state and reading are left out, or a faulty sensor would confirm itself. What it said a step ago is in its neighbours' states all the same; it takes large weights to read it there,
///    so the penalty has to be large enough, and grows with the time to learn from.
/// 2. A node whose score is above its limit ([`Detector`]) may be at fault, or hear somebody who is. The one that is furthest off, in standard deviations of its reading, is taken *out*:
///    nobody hears it any more, all nodes learn the past anew without it, and the last readings are looked at again. So on, until no score is too high.
/// 3. A node that is out is still judged, and is back when all has been well for a window: also at once, if the blame turns out to be another's. A node without readings for
///    longer than the last one stands is out, too, until it has read for a window.
///
/// Nobody learns from readings that are being watched. Nodes learn anew rather than do without a feature because a node that is out has been in the states of the others as well.
///
/// Cost of a step: that of [`SensorNet::step`] and `F` per node, with `F = |N|·(K + 1) + 1` features; of a fit: steps of the past times `Σ F²`, kept for up to 256 sets of nodes that are out.
/// Memory: the past, and `Σ F` for every such set.
///
/// ```
/// use snn_core::Seed;
/// use snn_learn::sodesn::{Detector, Graph, Reservoir, Watch, What};
/// // Four thermometers in a room; the last one gets stuck.
/// let room = |t: usize| (0.1 * t as f64).sin() + 0.4 * (0.037 * t as f64).sin();
/// let rows = |from: usize, to: usize| (from..to).map(|t| (0..4).map(|i| 20.0 + (1.0 + 0.1 * i as f64) * room(t)).collect()).collect::<Vec<Vec<f64>>>();
/// let mut watch = Watch::new(&Graph::complete(4)?, Reservoir::default(), Detector::default(), &rows(0, 1000), Seed::new(1))?;
/// let mut found = Vec::new();
/// for (t, mut row) in rows(1000, 1100).into_iter().enumerate() {
///     row[3] = if t < 40 { row[3] } else { 19.0 };
///     found.extend(watch.hear(&row)?.into_iter().map(|alarm| (t, alarm.node, alarm.what)));
/// }
/// assert!(matches!(found[..], [(40..60, 3, What::Stuck | What::Shifted | What::Erratic), ..]), "{found:?}");
/// # Ok::<(), snn_learn::sodesn::SodesnError>(())
/// ```
pub struct Watch {
    net: SensorNet,
    detector: Detector,
    /// The time to learn from, standardised; NaN where nothing was read.
    past: Vec<Vec<f64>>,
    /// Mean and standard deviation of each node's readings.
    scale: Vec<(f64, f64)>,
    fits: HashMap<Vec<bool>, Arc<Fit>>,
    fit: Arc<Fit>,
    memory: Memory,
    scores: Vec<Score>,
    /// What each node should read at this step, standardised.
    expected: Vec<f64>,
    heard: usize,
}

/// Share of the past that tells what errors are like.
const JUDGED: f64 = 0.2;
/// Steps before nodes learn or are judged: what was before is forgotten.
const WASHOUT: usize = 32;
/// Fewest steps to learn from.
const LEAST: usize = 10 * WASHOUT;
/// Sets of nodes whose fits are kept.
const MOST_FITS: usize = 256;

impl Watch {
    /// Learns from `past[step][node]`, a time in which all was well; NaN where nothing was read. What is heard next is taken to follow at once.
    ///
    /// # Errors
    /// [`SodesnError::Past`] if it is shorter than 320 steps, [`SodesnError::Readings`] if a step has not one reading for each node, [`SodesnError::Node`] if a node never reads, or always the
    /// same; [`SodesnError::Setting`].
    pub fn new(graph: &Graph, how: Reservoir, detector: Detector, past: &[Vec<f64>], seed: Seed) -> Result<Self, SodesnError> {
        detector.check()?;
        let (net, n) = (SensorNet::new(graph, how, seed)?, graph.nodes());
        if past.len() < LEAST {
            return Err(SodesnError::Past { steps: past.len(), least: LEAST });
        }
        if let Some((step, row)) = past.iter().enumerate().find(|(_, row)| row.len() != n) {
            return Err(SodesnError::Readings { step, found: row.len(), nodes: n });
        }
        let scale = (0..n).map(|node| scale(&past[..learned(past.len())], node)).collect::<Result<Vec<_>, _>>()?;
        let past: Vec<Vec<f64>> = past.iter().map(|row| standard(row, &scale)).collect();
        let nothing = Arc::new(Fit { weights: Vec::new(), moments: Vec::new() });
        let mut watch = Watch {
            net,
            detector,
            past,
            scale,
            fits: HashMap::new(),
            fit: nothing,
            memory: Memory::default(),
            scores: vec![Score::default(); n],
            expected: vec![f64::NAN; n],
            heard: 0,
        };
        let recent = watch.past[watch.past.len() - watch.most_recent()..].to_vec();
        watch.memory = Memory { recent: recent.into(), out: vec![None; n], gaps: vec![0; n], runs: vec![usize::MAX; n] };
        watch.look_again();
        Ok(watch)
    }

    /// Goes on as if these were the last readings heard, `rows[step][node]`, and all was well with them.
    ///
    /// # Errors
    /// [`SodesnError::Readings`].
    pub fn restart(&mut self, rows: &[Vec<f64>]) -> Result<(), SodesnError> {
        let n = self.net.nodes();
        if let Some((step, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != n) {
            return Err(SodesnError::Readings { step, found: row.len(), nodes: n });
        }
        let recent = &rows[rows.len().saturating_sub(self.most_recent())..];
        let gap = |i: usize| rows.iter().rev().take_while(|row| !row[i].is_finite()).count();
        let recent = recent.iter().map(|row| standard(row, &self.scale)).collect();
        self.memory = Memory { recent, out: vec![None; n], gaps: (0..n).map(gap).collect(), runs: vec![usize::MAX; n] };
        self.look_again();
        Ok(())
    }

    /// What it remembers of what it has heard.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Goes on from what was remembered, by a watch with the same past and settings.
    ///
    /// # Errors
    /// [`SodesnError::Memory`] if it is of another number of nodes.
    pub fn remember(&mut self, memory: Memory) -> Result<(), SodesnError> {
        let n = self.net.nodes();
        let lists = [memory.out.len(), memory.gaps.len(), memory.runs.len()];
        match memory.recent.iter().map(Vec::len).chain(lists).find(|&found| found != n) {
            Some(found) => Err(SodesnError::Memory { found, nodes: n }),
            None => {
                self.memory = memory;
                self.memory.recent.truncate(self.most_recent());
                self.look_again();
                Ok(())
            }
        }
    }

    /// Hears the next readings, NaN where there is none, and says what has been found out.
    ///
    /// # Errors
    /// [`SodesnError::Readings`] if there is not one for each node.
    pub fn hear(&mut self, readings: &[f64]) -> Result<Vec<Alarm>, SodesnError> {
        let n = self.net.nodes();
        if readings.len() != n {
            return Err(SodesnError::Readings { step: self.heard, found: readings.len(), nodes: n });
        }
        self.heard += 1;
        let row = standard(readings, &self.scale);
        self.step(&row, true);
        for (i, x) in row.iter().enumerate() {
            let (gap, run) = (&mut self.memory.gaps[i], &mut self.memory.runs[i]);
            (*gap, *run) = if x.is_finite() { (0, run.saturating_add(1)) } else { (*gap + 1, 0) };
        }
        self.memory.recent.push_back(row);
        if self.memory.recent.len() > self.most_recent() {
            self.memory.recent.pop_front();
        }
        Ok(self.settle(readings))
    }

    /// Takes nodes out and back until no score is too high, or it would go round in circles.
    fn settle(&mut self, readings: &[f64]) -> Vec<Alarm> {
        let (mut seen, mut alarms) = (HashSet::from([self.out()]), Vec::<Alarm>::new());
        while let Some((node, what)) = self.change() {
            let before = self.memory.out[node];
            self.memory.out[node] = Some(what).filter(|what| *what != What::Well);
            if !seen.insert(self.out()) {
                self.memory.out[node] = before;
                break;
            }
            let (mean, std) = self.scale[node];
            let (expected, limit) = (mean + std * self.expected[node], self.fit.moments[node].limit);
            let alarm = Alarm { node, what, reading: readings[node], expected, score: self.scores[node].now(), limit };
            // Blamed and cleared at the same step: nothing has happened.
            match alarms.iter().position(|other| other.node == node) {
                Some(k) => drop(alarms.remove(k)),
                None => alarms.push(alarm),
            }
            self.look_again();
        }
        alarms
    }

    /// The node that is to go out or come back next.
    fn change(&self) -> Option<(usize, What)> {
        let (memory, patience) = (&self.memory, self.net.how().patience);
        let changed = |i: &usize| match memory.out[*i] {
            None => memory.gaps[*i] > patience,
            Some(What::Silent) => memory.runs[*i] >= self.detector.window,
            Some(_) => self.scores[*i].is_well(&self.detector),
        };
        if let Some(i) = (0..self.net.nodes()).find(changed) {
            return Some((i, if memory.out[i].is_none() { What::Silent } else { What::Well }));
        }
        let off = |i: usize| self.scores[i].now().unwrap_or(0.0) * self.fit.moments[i].std;
        let blamed = (0..self.net.nodes()).filter(|&i| memory.out[i].is_none() && self.scores[i].is_fault(&self.detector));
        blamed.max_by(|&a, &b| off(a).total_cmp(&off(b))).map(|i| (i, self.diagnosis(i)))
    }

    /// What a node that is off looks like.
    fn diagnosis(&self, node: usize) -> What {
        // It has been off for as long as an alarm is held back, or longer.
        let last = self.memory.recent.iter().rev().take(self.detector.hold);
        let readings: Vec<f64> = last.map(|row| row[node]).filter(|x| x.is_finite()).collect();
        if readings.len() > 1 && readings.windows(2).all(|two| two[0] == two[1]) {
            return What::Stuck;
        }
        // Neighbours change slowly, so how far readings spread around the last prediction is what counts.
        let errors: Vec<f64> = readings.iter().map(|x| x - self.expected[node]).collect();
        if mean(&errors).powi(2) > 4.0 * variance(&errors) { What::Shifted } else { What::Erratic }
    }

    /// Who is out, one of each node.
    pub fn out(&self) -> Vec<bool> {
        self.memory.out.iter().map(Option::is_some).collect()
    }

    /// What is the matter with a node; `None` if it is well.
    ///
    /// # Panics
    /// If there is no such node.
    #[track_caller]
    pub fn state(&self, node: usize) -> Option<What> {
        self.memory.out[node]
    }

    /// What each node's last reading should have been, in standard deviations of its readings less their mean; NaN where its neighbours are not heard.
    pub fn expected(&self) -> &[f64] {
        &self.expected
    }

    /// The scores now.
    pub fn scores(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.scores.iter().map(Score::now)
    }

    /// What the errors of each node are like when all is well, with those out who are out: an error of `limit·std` for a window is the smallest that is seen.
    pub fn moments(&self) -> &[Moments] {
        &self.fit.moments
    }

    /// Readings in standard deviations of each node's, less their mean.
    pub fn standard(&self, readings: &[f64]) -> Vec<f64> {
        standard(readings, &self.scale)
    }

    /// The network.
    pub fn net(&self) -> &SensorNet {
        &self.net
    }

    fn most_recent(&self) -> usize {
        WASHOUT + 3 * self.detector.window
    }

    /// Fits the nodes that are in, if that has not been done, and looks at the last readings again.
    fn look_again(&mut self) {
        let out = self.out();
        self.fit = match self.fits.get(&out) {
            Some(fit) => fit.clone(),
            None => {
                let fit = Arc::new(self.fitted(&out));
                if self.fits.len() >= MOST_FITS {
                    self.fits.retain(|out, _| !out.contains(&true));
                }
                self.fits.insert(out.clone(), fit.clone());
                fit
            }
        };
        self.net.reset(&out);
        self.scores.fill(Score::default());
        let recent = std::mem::take(&mut self.memory.recent);
        recent.iter().enumerate().for_each(|(k, row)| self.step(row, k >= WASHOUT.min(recent.len() / 2)));
        self.memory.recent = recent;
    }

    /// One step of the network; errors count if they are `judged`.
    fn step(&mut self, row: &[f64], judged: bool) {
        let weights = &self.fit.weights;
        let say = |i: usize, heard: Heard<'_>, expected: &mut f64| {
            let answer = || weights[i].iter().zip(heard.features).map(|(w, x)| w * x).sum();
            *expected = if heard.fresh { answer() } else { f64::NAN };
        };
        self.net.step_with(row, &mut self.expected, say);
        if judged {
            for (i, score) in self.scores.iter_mut().enumerate() {
                score.push(&self.detector, &self.fit.moments[i], row[i] - self.expected[i]);
            }
        }
    }

    /// What nodes learn of the past while some are out. Each goes by itself.
    fn fitted(&mut self, out: &[bool]) -> Fit {
        struct Learner {
            rls: Rls,
            errors: Vec<f64>,
        }
        let (how, learned) = (*self.net.how(), learned(self.past.len()));
        self.net.reset(out);
        let lambda = how.lambda * learned as f64;
        let learner = |i| Learner { rls: Rls::new(self.net.features(i, out), lambda, how.forgetting), errors: Vec::new() };
        let mut learners: Vec<Learner> = (0..self.net.nodes()).map(learner).collect();
        for (t, row) in self.past.iter().enumerate() {
            let learn = |i: usize, heard: Heard<'_>, learner: &mut Learner| {
                if t >= learned {
                    let error = row[i] - learner.rls.answer(heard.features);
                    learner.errors.push(if heard.fresh { error } else { f64::NAN });
                } else if t >= WASHOUT && heard.fresh && row[i].is_finite() {
                    learner.rls.learn(heard.features, row[i]);
                }
            };
            self.net.step_with(row, &mut learners, learn);
        }
        let moments = learners.iter().map(|learner| self.detector.moments(&learner.errors)).collect();
        Fit { weights: learners.into_iter().map(|learner| learner.rls.weights().to_vec()).collect(), moments }
    }
}

/// Steps of a past that weights are learned from.
fn learned(past: usize) -> usize {
    past - (JUDGED * past as f64) as usize
}

fn standard(row: &[f64], scale: &[(f64, f64)]) -> Vec<f64> {
    row.iter().zip(scale).map(|(x, (mean, std))| if x.is_finite() { (x - mean) / std } else { f64::NAN }).collect()
}

/// Mean and standard deviation of a node's readings.
fn scale(past: &[Vec<f64>], node: usize) -> Result<(f64, f64), SodesnError> {
    let readings: Vec<f64> = past.iter().map(|row| row[node]).filter(|x| x.is_finite()).collect();
    if readings.len() < WASHOUT {
        return Err(SodesnError::Node { node, why: "hardly ever reads anything" });
    }
    if readings.iter().all(|x| *x == readings[0]) {
        return Err(SodesnError::Node { node, why: "always reads the same" });
    }
    Ok((mean(&readings), variance(&readings).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand_distr::{Distribution, StandardNormal};

    /// Readings of a 4 × 4 grid: two waves and some noise.
    fn rows(from: usize, steps: usize) -> Vec<Vec<f64>> {
        let mut rng = Seed::new(9).nth(from as u64).rng();
        let wave = |t: f64, i: f64| (0.07 * t + 0.1 * (i % 4.0)).sin() + 0.7 * (0.031 * t - 0.1 * (i / 4.0).floor()).cos();
        let mut row = |t: usize| (0..16).map(|i| 10.0 + 3.0 * wave(t as f64, f64::from(i)) + 0.05 * normal(&mut rng)).collect();
        (from..from + steps).map(&mut row).collect()
    }

    fn normal(rng: &mut impl rand::Rng) -> f64 {
        StandardNormal.sample(rng)
    }

    fn grid() -> Graph {
        let places: Vec<(f64, f64)> = (0..16).map(|k| ((k % 4) as f64, (k / 4) as f64)).collect();
        Graph::within(&places, 1.5).unwrap()
    }

    fn watch(how: Reservoir) -> Watch {
        Watch::new(&grid(), how, Detector::default(), &rows(0, 600), Seed::new(1)).unwrap()
    }

    /// Alarms while `spoil` has its way with the readings from step 50 on.
    fn alarms(watch: &mut Watch, spoil: &mut dyn FnMut(usize, &mut Vec<f64>)) -> Vec<(usize, Alarm)> {
        let mut all = Vec::new();
        for (t, mut row) in rows(600, 150).into_iter().enumerate() {
            if t >= 50 {
                spoil(t, &mut row);
            }
            all.extend(watch.hear(&row).unwrap().into_iter().map(|alarm| (t, alarm)));
        }
        all
    }

    #[test]
    fn nothing_is_said_while_all_is_well() {
        assert_eq!(alarms(&mut watch(Reservoir::default()), &mut |_, _| ()), []);
    }

    #[test]
    fn each_fault_is_found_where_it_is_and_nowhere_else() {
        let mut rng = Seed::new(2).rng();
        let mut held = None;
        let check = |what: &[What], spoil: &mut dyn FnMut(usize, &mut Vec<f64>)| {
            let mut watch = watch(Reservoir::default());
            let found = alarms(&mut watch, spoil);
            assert!(matches!(found[..], [(50..75, alarm)] if alarm.node == 5 && what.contains(&alarm.what)), "{found:?}");
            assert!((0..16).all(|i| watch.state(i).is_some() == (i == 5)));
        };
        check(&[What::Shifted], &mut |_, row| row[5] += 6.0);
        check(&[What::Stuck], &mut |_, row| row[5] = *held.get_or_insert(row[5]));
        check(&[What::Erratic, What::Shifted], &mut |_, row| row[5] += 4.0 * (rng.random::<f64>() - 0.5) * 4.0);
        check(&[What::Silent], &mut |_, row| row[5] = f64::NAN);
    }

    #[test]
    fn faults_of_neighbours_are_told_apart_and_end() {
        let mut watch = watch(Reservoir::default());
        let found = alarms(&mut watch, &mut |t, row| {
            if t < 100 {
                (row[5], row[6], row[15]) = (row[5] + 5.0, row[6] - 5.0, f64::NAN);
            }
        });
        let of = |well: bool| {
            let mut nodes: Vec<usize> = found.iter().filter(|(_, a)| (a.what == What::Well) == well).map(|(_, a)| a.node).collect();
            nodes.sort_unstable();
            nodes
        };
        assert_eq!((of(false), of(true)), (vec![5, 6, 15], vec![5, 6, 15]), "{found:?}");
        assert_eq!(watch.out(), [false; 16]);
    }

    #[test]
    fn lost_messages_are_no_faults() {
        assert_eq!(alarms(&mut watch(Reservoir { quality: 0.8, ..Reservoir::default() }), &mut |_, _| ()), []);
    }

    #[test]
    fn it_goes_on_from_what_it_remembers() {
        let (mut first, mut second) = (watch(Reservoir::default()), watch(Reservoir::default()));
        let spoiled = |rows: Vec<Vec<f64>>| {
            rows.into_iter()
                .map(|mut row| {
                    row[3] += 5.0;
                    row
                })
                .collect::<Vec<_>>()
        };
        let (a, b) = (spoiled(rows(600, 60)), rows(660, 60));
        a.iter().for_each(|row| drop(first.hear(row).unwrap()));
        second.remember(first.memory().clone()).unwrap();
        assert_eq!(second.out(), first.out());
        assert!(second.state(3).is_some());
        for row in &b {
            let said = |watch: &mut Watch| watch.hear(row).unwrap().into_iter().map(|a| (a.node, a.what)).collect::<Vec<_>>();
            assert_eq!(said(&mut first), said(&mut second));
        }
        assert_eq!(first.out(), [false; 16]);
        let other = Memory { out: vec![None; 3], ..first.memory().clone() };
        assert_eq!(first.remember(other), Err(SodesnError::Memory { found: 3, nodes: 16 }));
    }

    /// A reading that is the mean of its neighbours' is predicted exactly.
    #[test]
    fn a_linear_field_leaves_no_error() {
        let seed = Seed::new(4);
        let past: Vec<Vec<f64>> = (0..500)
            .map(|t| {
                let mut rng = seed.nth(t).rng();
                let (a, b, c) = (normal(&mut rng), normal(&mut rng), normal(&mut rng));
                vec![(a + b + c) / 3.0, a, b, c]
            })
            .collect();
        let star = Graph::of_links(4, [(0, 1), (0, 2), (0, 3)]).unwrap();
        let how = Reservoir { units: 0, lambda: 1e-9, ..Reservoir::default() };
        let mut watch = Watch::new(&star, how, Detector::default(), &past, Seed::new(1)).unwrap();
        watch.hear(&past[7]).unwrap();
        assert!((watch.expected()[0] - watch.standard(&past[7])[0]).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_learned_from_is_named() {
        let new = |past: &[Vec<f64>]| Watch::new(&grid(), Reservoir::default(), Detector::default(), past, Seed::new(1)).err().unwrap();
        assert_eq!(new(&rows(0, 100)), SodesnError::Past { steps: 100, least: 320 });
        let mut past = rows(0, 400);
        past[3].pop();
        assert_eq!(new(&past), SodesnError::Readings { step: 3, found: 15, nodes: 16 });
        let set = |x: f64| {
            let mut past = rows(0, 400);
            past.iter_mut().for_each(|row| row[2] = x);
            past
        };
        assert!(new(&set(f64::NAN)).to_string().contains("node 2 hardly ever reads"));
        assert!(new(&set(1.0)).to_string().contains("node 2 always reads the same"));
    }
}
