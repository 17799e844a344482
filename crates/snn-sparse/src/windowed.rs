//! The engine of windows: neurons that hear in windows are given the events of a window at once.

use crate::bank::{Link, Source};
use crate::clocked::Clocked;
use crate::lanes::{Block, Isa, Kernel, LANES, Scalar, bits, blocks, flat_mut};
use crate::store::{Csr, Store};
use snn_core::{Network, Raster};

/// A network run window by window.
///
/// A few-spikes neuron fires in one window what it heard in the one before, and of that only the sum counts. So all events of a source in a
/// window are one, of the value they have together: a row of weights is read once for each source that fired, not once for each spike, and a neuron's
/// window is a few operations in registers. Spikes and links are counted all the same. Events are those of [`Clocked`]; sums differ in rounding.
///
/// Takes feed-forward networks in which every model gathers ([`Neuron::GATHERS`](snn_core::neuron::Neuron::GATHERS)) over the same number of steps, and every delay is a
/// number of windows: what the few-spikes conversion makes.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::{FewSpikes, Sum}};
/// use snn_sparse::{Windowed, Windows};
/// let net = Net::new(ms(1.0))
///     .input("in", 2)
///     .population("a", 3, FewSpikes::relu(4, 16.0))
///     .population("out", 1, Sum { period: 4, ..Sum::default() })
///     .project("in", "a", Connect::All, Init::Constant(1.0))
///     .project("a", "out", Connect::All, Init::Constant(2.0))
///     .output("out")
///     .build(Seed::new(0))?;
/// let engine = Windowed::<f32>::compile(&net)?;
/// let mut input = Raster::new(2, 8);
/// input.fill_values([(0, 0, 5.0), (0, 1, 6.5)]);               // heard in window 0, said in window 1
/// let mut windows = Windows::default();
/// engine.run(&[&input], &mut windows);
/// assert_eq!(windows.events[0].values_at(1), [11.0; 3]);
/// assert_eq!(windows.output(1, 1, 0), 66.0);
/// assert_eq!((windows.spikes[0][1], windows.synaptic[0][1]), (9, 9));     // 8 + 2 + 1, three times
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Windowed<F: Scalar = f32> {
    engine: Clocked<F>,
    period: usize,
    order: Vec<usize>,
    late: Vec<usize>,              // by link: windows
    straight: Vec<Option<Vec<F>>>, // by link: the weight of each channel, of an input that goes one to one
    fan_out: Vec<FanOut>,          // by population
}

/// Links over which an event of a unit goes.
enum FanOut {
    Same(u64),
    Each(Vec<u32>),
}

impl FanOut {
    fn new(each: Vec<u32>) -> Self {
        if each.iter().all(|n| *n == each[0]) { FanOut::Same(each[0].into()) } else { FanOut::Each(each) }
    }
}

/// What a network did, window by window; reused from run to run.
#[derive(Clone, Debug)]
pub struct Windows<F = f32> {
    /// By population: who fired in each window, and what its events were worth together. Nothing of those that are read out.
    pub events: Vec<Raster>,
    /// By population and window: spikes.
    pub spikes: Vec<Vec<u64>>,
    /// By population and window: spikes times the links they go over.
    pub synaptic: Vec<Vec<u64>>,
    outputs: Vec<Vec<Block<F>>>, // by population: [window][block]
    inputs: Vec<Raster>,
    planes: Vec<Block<F>>, // of the population at hand: [window][block]
    counts: Vec<Block<F>>,
    any: Vec<u64>,
    sums: Vec<f64>,
}

impl<F> Default for Windows<F> {
    fn default() -> Self {
        let (events, inputs, spikes, synaptic, outputs) = Default::default();
        Windows { events, spikes, synaptic, outputs, inputs, planes: Vec::new(), counts: Vec::new(), any: Vec::new(), sums: Vec::new() }
    }
}

impl<F: Scalar> Windows<F> {
    /// The graded output of unit `j` of population `p` at the end of a window.
    pub fn output(&self, p: usize, window: usize, j: usize) -> F {
        let width = self.outputs[p].len() / self.spikes[p].len();
        self.outputs[p][window * width + j / LANES][j % LANES]
    }
}

/// Why a network cannot be run in windows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// A population that does not hear in windows.
    #[error("population `{population}` ({model}) {why}; run this network on the clocked engine")]
    Population {
        /// Population.
        population: String,
        /// Its model.
        model: &'static str,
        /// Reason.
        why: String,
    },
    /// A delay that is no number of windows.
    #[error(
        "projection `{from}` -> `{to}`: a delay of {steps} steps is no multiple of a window of {period}; run this network on the clocked engine"
    )]
    Delay {
        /// Source.
        from: String,
        /// Target.
        to: String,
        /// Its delay.
        steps: usize,
        /// Steps of a window.
        period: usize,
    },
}

impl<F: Scalar> Windowed<F> {
    /// Lowers a network.
    ///
    /// # Errors
    /// [`WindowError`], naming the population or projection that does not fit into windows.
    pub fn compile(network: &Network) -> Result<Self, WindowError> {
        let (engine, draft) = (Clocked::<F>::compile(network), network.draft());
        let refuse = |p: usize, why: String| {
            let p = &draft.populations[p];
            WindowError::Population { population: p.name.clone(), model: p.model.name(), why }
        };
        let window = |p: usize| engine.cells()[p].window().ok_or_else(|| refuse(p, "does not hear in windows".into()));
        let period = window(0)?;
        for (p, population) in draft.populations.iter().enumerate() {
            match window(p)? {
                other if other != period => return Err(refuse(p, format!("has windows of {other} steps, others of {period}"))),
                _ if population.model.ports().len() > 1 => return Err(refuse(p, "hears several inputs apart".into())),
                _ if population.has_current() || draft.drives.iter().any(|d| d.to == population.name) => {
                    return Err(refuse(p, "has an input at every step".into()));
                }
                _ if population.escape.is_some() => return Err(refuse(p, "has escape noise, drawn at every step".into())),
                _ => {}
            }
        }
        if let Some(c) = engine.components().iter().find(|c| c.recurrent) {
            return Err(refuse(c.populations[0], "is part of a loop".into()));
        }
        if let Some(link) = engine.links().iter().find(|link| link.delay % period != 0) {
            let p = &draft.projections[link.projection];
            return Err(WindowError::Delay { from: p.from.clone(), to: p.to.clone(), steps: link.delay, period });
        }
        let late = engine.links().iter().map(|link| link.delay / period).collect();
        let order = engine.components().iter().flat_map(|c| c.populations.iter().copied()).collect();
        let leaving = |p: usize| engine.links().iter().filter(move |link| link.from == Source::Population(p));
        let fan_out = |p: usize| {
            let links = |unit: u32| leaving(p).map(|link| link.store.fan_out(&[unit]) as u32).sum();
            FanOut::new((0..engine.cells()[p].size() as u32).map(links).collect())
        };
        let straight = engine.links().iter().map(|link| one_to_one(link, engine.size(link.from), engine.cells()[link.to].size())).collect();
        Ok(Windowed { period, late, order, straight, fan_out: (0..engine.cells().len()).map(fan_out).collect(), engine })
    }

    /// The same network step by step.
    pub fn clocked(&self) -> &Clocked<F> {
        &self.engine
    }

    /// Steps of a window.
    pub fn period(&self) -> usize {
        self.period
    }

    /// Runs from rest: one raster per input, all of the same number of steps. A window that is cut off is left out.
    ///
    /// # Panics
    /// If the rasters do not fit the network's inputs.
    #[track_caller]
    pub fn run(&self, inputs: &[&Raster], into: &mut Windows<F>) {
        let steps = inputs.first().map_or(0, |r| r.steps());
        self.engine.fit(inputs, steps..steps + 1);
        let count = steps / self.period;
        into.inputs.resize_with(inputs.len(), Raster::default);
        inputs.iter().zip(&mut into.inputs).for_each(|(raster, merged)| merge(raster, self.period, count, &mut into.sums, merged));
        self.run_all(count, &[], into);
    }

    /// Runs a network of one input from rest for `count` windows: `numbers` are what its channels are given, window after window, and nothing
    /// after them. The same as [`run`](Self::run) with an event for each number but 0.
    ///
    /// # Panics
    /// If the network has more inputs than one, or `numbers` is no whole number of windows, or more than `count`.
    #[track_caller]
    pub fn run_numbers(&self, numbers: &[f32], count: usize, into: &mut Windows<F>) {
        let [input] = &self.engine.network().draft().inputs[..] else { panic!("numbers for a network with more inputs than one") };
        let size = input.size;
        let fits = numbers.len().is_multiple_of(size) && numbers.len() / size <= count;
        assert!(fits, "{} numbers for {count} windows of {size} channels", numbers.len());
        into.inputs.resize_with(1, Raster::default);
        into.inputs[0].reset(size, count);
        let direct =
            self.engine.links().iter().zip(&self.straight).all(|(link, weights)| weights.is_some() || link.from != Source::Input(0));
        if direct {
            return self.run_all(count, numbers, into);
        }
        for w in 0..count {
            let image = numbers.chunks(size).nth(w).unwrap_or(&[]);
            into.inputs[0].push_values(w, |units, values| {
                for (unit, &x) in image.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                    units.push(unit as u32);
                    values.push(f64::from(x));
                }
            });
        }
        self.run_all(count, &[], into);
    }

    /// All populations; the events of the inputs are in `into`, or `numbers` go straight to those who hear them.
    fn run_all(&self, count: usize, numbers: &[f32], into: &mut Windows<F>) {
        let populations = self.engine.cells().len();
        into.events.resize_with(populations, Raster::default);
        into.outputs.resize_with(populations, Vec::new);
        for list in [&mut into.spikes, &mut into.synaptic] {
            list.resize_with(populations, Vec::new);
            list.iter_mut().for_each(|list| list.clear());
        }
        self.order.iter().for_each(|&p| self.advance(p, count, numbers, into));
    }

    /// All windows of one population.
    fn advance(&self, p: usize, count: usize, numbers: &[f32], into: &mut Windows<F>) {
        let (cells, width) = (&self.engine.cells()[p], blocks(self.engine.cells()[p].size()));
        let Windows { events, spikes, synaptic, outputs, inputs, planes, counts, any, .. } = into;
        planes.clear();
        planes.resize(count * width, Block::zero());
        counts.resize(count * width, Block::zero());
        any.resize(count * width, 0);
        self.engine.simd().run(Hear { windowed: self, p, width, numbers, inputs, events, planes });
        cells.windows(self.engine.simd(), planes, &mut counts[..count * width], &mut any[..count * width]);
        events[p].reset(cells.size(), count);
        if cells.output().is_events() {
            let (raster, fan_out) = (&mut events[p], &self.fan_out[p]);
            let list = List { width, count, planes, counts, any, fan_out, raster, spikes: &mut spikes[p], synaptic: &mut synaptic[p] };
            self.engine.simd().run(list);
        } else {
            spikes[p].resize(count, 0);
            synaptic[p].resize(count, 0);
        }
        if !cells.output().is_events() {
            outputs[p].clone_from(planes);
        }
    }
}

/// The weight of every channel of an input that goes one to one; `None` of any other link.
fn one_to_one<F: Scalar>(link: &Link<F>, sources: usize, targets: usize) -> Option<Vec<F>> {
    let straight = |csr: &Csr<F>| csr.links() == sources && csr.cells().all(|(i, j)| i == j);
    let Store::Csr(csr) = &link.store else { return None };
    let input = matches!(link.from, Source::Input(_));
    (input && sources == targets && straight(csr)).then(|| link.store.values())
}

/// Adds the events of every window: one raster step for each.
fn merge(raster: &Raster, period: usize, count: usize, sums: &mut Vec<f64>, into: &mut Raster) {
    into.reset(raster.units(), count);
    for w in 0..count {
        let mut filled = (w * period..(w + 1) * period).filter(|&t| !raster.at(t).is_empty());
        let (first, more) = (filled.next(), filled.next().is_some());
        into.push_values(w, |units, values| match first {
            None => {}
            Some(t) if !more => {
                units.extend_from_slice(raster.at(t));
                if raster.is_graded() { values.extend_from_slice(raster.values_at(t)) } else { values.resize(units.len(), 1.0) }
            }
            Some(_) => {
                sums.clear();
                sums.resize(raster.units(), 0.0);
                for t in w * period..(w + 1) * period {
                    let value = |k: usize| raster.values_at(t).get(k).copied().unwrap_or(1.0);
                    raster.at(t).iter().enumerate().for_each(|(k, &unit)| sums[unit as usize] += value(k));
                }
                for (unit, &x) in sums.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                    units.push(unit as u32);
                    values.push(x);
                }
            }
        });
    }
}

/// Who fired in each window, and what that was worth.
struct List<'a, F> {
    width: usize,
    count: usize,
    planes: &'a [Block<F>],
    counts: &'a [Block<F>],
    any: &'a [u64],
    fan_out: &'a FanOut,
    raster: &'a mut Raster,
    spikes: &'a mut Vec<u64>,
    synaptic: &'a mut Vec<u64>,
}

impl<F: Scalar> Kernel for List<'_, F> {
    type Number = F;
    type Out = ();
    #[inline(always)]
    fn run<I: Isa>(self) {
        let List { width, count, planes, counts, any, fan_out, raster, spikes, synaptic } = self;
        let ones = Block::splat(F::of(1.0));
        for w in 0..count {
            let (mut fired, mut links) = (0, 0);
            raster.push_values(w, |units, values| {
                for (b, at) in (w * width..(w + 1) * width).enumerate().filter(|(_, at)| any[*at] != 0) {
                    // Whole numbers, and few: the sum is exact.
                    fired += counts[at].dot::<I>(&ones).value() as u64;
                    if let FanOut::Each(each) = fan_out {
                        links += bits(any[at]).map(|l| counts[at][l].value() as u64 * u64::from(each[b * LANES + l])).sum::<u64>();
                    }
                    // Events may cancel.
                    let worth = &planes[at];
                    let nothing = F::within::<I>(worth, F::of(f64::from(f32::MIN_POSITIVE)));
                    let mask = any[at] & !nothing;
                    let first = units.len();
                    I::push_units(units, mask, (b * LANES) as u32);
                    values.extend(units[first..].iter().map(|&unit| worth[unit as usize % LANES].value()));
                }
            });
            spikes.push(fired);
            synaptic.push(if let FanOut::Same(each) = fan_out { fired * each } else { links });
        }
    }
}

/// What population `p` hears in all windows.
struct Hear<'a, F: Scalar> {
    windowed: &'a Windowed<F>,
    p: usize,
    width: usize,
    numbers: &'a [f32],
    inputs: &'a [Raster],
    events: &'a [Raster],
    planes: &'a mut [Block<F>],
}

impl<F: Scalar> Kernel for Hear<'_, F> {
    type Number = F;
    type Out = ();
    #[inline(always)]
    fn run<I: Isa>(self) {
        let Hear { windowed, p, width, numbers, inputs, events, planes } = self;
        let engine = &windowed.engine;
        let source = |from: Source| match from {
            Source::Input(i) => &inputs[i],
            Source::Population(q) => &events[q],
        };
        for &k in engine.incoming(p) {
            let (link, late) = (&engine.links()[k], windowed.late[k]);
            let heard = source(link.from);
            if let (Some(weights), false) = (&windowed.straight[k], numbers.is_empty()) {
                for (row, image) in planes.chunks_mut(width).skip(late).zip(numbers.chunks(weights.len())) {
                    for ((x, &number), &w) in flat_mut(row).iter_mut().zip(image).zip(weights) {
                        *x += w * F::of(f64::from(number));
                    }
                }
            } else if let Store::Csr(csr) = &link.store {
                for (row, w) in planes.chunks_mut(width).skip(late).zip(0..) {
                    csr.push_values(heard.at(w), heard.values_at(w), 0..width, flat_mut(row));
                }
            }
        }
        // Block by block over all windows: its rows stay in cache.
        for b in 0..width {
            for &k in engine.pulled(p) {
                let (link, late) = (&engine.links()[k], windowed.late[k]);
                let heard = source(link.from);
                for (w, at) in (b + late * width..planes.len()).step_by(width).enumerate() {
                    planes[at] = link.store.hear::<I>(b, heard, w, planes[at]);
                }
            }
        }
    }
}
