//! Where a trial ended, so that another goes on from there.

use crate::clocked::{Clocked, Record};
use crate::lanes::{LANES, Scalar, blocks, flat};
use crate::trace::Trace;
use serde::{Deserialize, Serialize};
use snn_core::Raster;

/// The state of a network between two trials of which the second goes on where the first ended: state variables, and the events of the last
/// [`history`](Clocked::history) steps, which somebody may still hear. The default is rest.
///
/// A trial that goes on has these steps in front: its step 0 is step `history` of the record.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_sparse::{Clocked, Past, Record, Wants};
/// let net = Net::new(ms(1.0)).input("in", 1).population("a", 1, Lif::default())
///     .project("in", "a", Connect::All, Init::Constant(0.6)).delay(ms(1.0)).output("a").build(Seed::new(0))?;
/// let engine = Clocked::<f64>::compile(&net);
/// let (mut half, mut input) = (Raster::new(1, 2), Raster::default());
/// half.fill([(0, 0), (1, 0)]);                                     // one input is heard in this half, the other in the next
/// let (mut past, mut record) = (Past::default(), Record::new(&engine));
/// let fired: Vec<usize> = (0..2).map(|_| {
///     past.lead(&engine, 0, &half, &mut input);
///     engine.go_on(&past, &[&input], Wants::Spikes, &mut record);
///     past = past.after(&engine, &[&input], &record);
///     record.spikes[0].len()
/// }).collect();
/// assert_eq!(fired, [0, 1]);
/// # Ok::<(), snn_core::NetworkError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past<F> {
    /// Steps done.
    pub(crate) clock: usize,
    /// The last events of every input.
    pub(crate) inputs: Vec<Tail>,
    /// By population: its last events, and `[block][state variable][lane]`.
    pub(crate) populations: Vec<(Tail, Vec<F>)>,
}

impl<F> Default for Past<F> {
    fn default() -> Self {
        Past { clock: 0, inputs: Vec::new(), populations: Vec::new() }
    }
}

/// The last events of a raster, as `(step, unit, value)`; of spikes the value is 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub(crate) graded: bool,
    events: Vec<(u32, u32, f64)>,
}

impl Tail {
    /// The events of the last `steps` steps.
    fn of(raster: &Raster, steps: usize) -> Self {
        let first = raster.steps() - steps;
        let at = |t: usize| {
            let values = raster.values_at(t);
            let event = move |(n, &unit): (usize, &u32)| ((t - first) as u32, unit, values.get(n).copied().unwrap_or(1.0));
            raster.at(t).iter().enumerate().map(event)
        };
        Tail { graded: raster.is_graded(), events: (first..raster.steps()).flat_map(at).collect() }
    }

    /// Writes them as the first `steps` steps of a silent raster.
    pub(crate) fn write(&self, steps: usize, graded: bool, into: &mut Raster) {
        let mut rest = &self.events[..];
        for t in 0..steps {
            let here = rest.partition_point(|event| event.0 as usize <= t);
            let events = rest.split_off(..here).unwrap_or_default();
            match graded {
                true => into.push_values(t, |units, values| {
                    units.extend(events.iter().map(|event| event.1));
                    values.extend(events.iter().map(|event| event.2));
                }),
                false => into.push_step(t, |units| units.extend(events.iter().map(|event| event.1))),
            }
        }
    }

    /// They as `(step, unit)`.
    pub(crate) fn events(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.events.iter().map(|event| (event.0 as usize, event.1))
    }

    fn fits(&self, units: usize, steps: usize) -> bool {
        let ascending = self.events.windows(2).all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1));
        ascending && self.events.iter().all(|&(t, unit, value)| (t as usize) < steps && (unit as usize) < units && value.is_finite())
    }
}

impl<F: Scalar> Past<F> {
    /// Where a trial that [went on](Clocked::go_on) from here has come to, on these inputs.
    pub fn after(&self, engine: &Clocked<F>, inputs: &[&Raster], record: &Record<F>) -> Self {
        let population = |(spikes, trace): (_, &Trace<F>)| (spikes, flat(&trace.state).to_vec());
        self.moved(engine, inputs, record.spikes.iter().zip(&record.traces).map(population))
    }

    /// The same, of each population the events and the state variables `[block][state variable][lane]` being given: for those who run trials themselves.
    ///
    /// # Panics
    /// If a raster has fewer steps than [`Clocked::history`].
    #[track_caller]
    pub fn moved<'a>(&self, engine: &Clocked<F>, inputs: &[&Raster], populations: impl Iterator<Item = (&'a Raster, Vec<F>)>) -> Self {
        let history = engine.history();
        let steps = inputs.first().map_or(history, |raster| raster.steps());
        Past {
            clock: self.clock.wrapping_add(steps - history),
            inputs: inputs.iter().map(|raster| Tail::of(raster, history)).collect(),
            populations: populations.map(|(events, state)| (Tail::of(events, history), state)).collect(),
        }
    }

    /// Writes the last events of an input and then those of `next` to `into`: what a trial that goes on hears there.
    pub fn lead(&self, engine: &Clocked<F>, input: usize, next: &Raster, into: &mut Raster) {
        let history = engine.history();
        into.reset(next.units(), history + next.steps());
        let tail = self.inputs.get(input);
        let graded = next.is_graded() || tail.is_some_and(|tail| tail.graded);
        tail.into_iter().for_each(|tail| tail.write(history, graded, into));
        for t in 0..next.steps() {
            let (units, values) = (next.at(t), next.values_at(t));
            match graded {
                true => into.push_values(history + t, |into, of| {
                    into.extend_from_slice(units);
                    of.extend((0..units.len()).map(|n| values.get(n).copied().unwrap_or(1.0)));
                }),
                false => into.push_step(history + t, |into| into.extend_from_slice(units)),
            }
        }
    }

    /// Whether a trial of this engine can go on from here.
    pub fn fits(&self, engine: &Clocked<F>) -> bool {
        let (history, draft) = (engine.history(), engine.network().draft());
        let rest = self.inputs.is_empty() && self.populations.is_empty();
        let inputs = || self.inputs.iter().zip(&draft.inputs).all(|(tail, input)| tail.fits(input.size, history));
        let population = |(p, (tail, state)): (usize, &(Tail, Vec<F>))| {
            let (size, states) = (engine.cells()[p].size(), engine.cells()[p].states());
            tail.fits(size, history) && state.len() == blocks(size) * states * LANES
        };
        let populations = || self.populations.iter().enumerate().all(population);
        let counts = (self.inputs.len(), self.populations.len()) == (draft.inputs.len(), engine.cells().len());
        rest || counts && inputs() && populations()
    }

    /// Steps done so far.
    pub fn clock(&self) -> usize {
        self.clock
    }

    /// Of population `p`: the state variables `[block][state variable][lane]`; empty at rest.
    pub fn state(&self, p: usize) -> &[F] {
        self.populations.get(p).map_or(&[], |(_, state)| state)
    }

    /// Of population `p`: its last events, as `(step, unit, value)` with steps `0..history`.
    pub fn events(&self, p: usize) -> &[(u32, u32, f64)] {
        self.populations.get(p).map_or(&[], |(tail, _)| &tail.events)
    }
}
