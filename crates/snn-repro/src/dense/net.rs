//! The networks of a [`Plan`], with weights.

use candle_core::{Device, Result, Tensor, Var};
use rand::RngExt;
use snn_core::Seed;

use super::gru::Gru;
use super::ops::{Moments, convolve, floats, normalise, pool_elu};
use super::plan::{Plan, PlanError, Tail};

/// Gain and offset of a batch norm, and the place of its moments.
struct Norm {
    gain: Var,
    offset: Var,
    at: usize,
}

struct Conv {
    weight: Var,
    bias: Var,
    norm: Norm,
}

struct Dense {
    weight: Var,
    bias: Var,
    /// Hidden layers have one.
    norm: Option<Norm>,
}

/// How much is left out while learning: shares of numbers set to 0, the others made larger to match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// After every block.
    pub blocks: f64,
    /// Before the output layer.
    pub last: f64,
}

/// A network that tags pictures.
///
/// Weights are drawn from streams of a seed: uniform, of the variance of Glorot and Bengio 2010; biases and offsets 0, gains 1.
///
/// ```
/// use snn_core::Seed;
/// use snn_repro::dense::{net::Net, plan::{Kind, Picture, Plan}};
/// let plan = Plan::near(Kind::Crnn, &Picture::TONES, 12, 10_000);
/// let net = Net::new(&plan, Seed::new(1))?;
/// assert_eq!(net.logits(&vec![0.0; 3 * 40 * 160])?.len(), 3 * 12);
/// # Ok::<(), snn_repro::dense::net::NetError>(())
/// ```
pub struct Net {
    plan: Plan,
    input: Norm,
    convs: Vec<Conv>,
    grus: Vec<Gru>,
    dense: Vec<Dense>,
    parameters: Vec<(String, Var)>,
    /// Running moments of every batch norm.
    moments: Vec<Moments>,
}

/// Why a network cannot be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The plan cannot be.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Pictures or weights of another size.
    #[error("{what}: {found} numbers, expected {expected}")]
    Size {
        /// What.
        what: String,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: String,
    },
    /// The library refused.
    #[error("the dense network cannot be computed: {0}")]
    Library(#[from] candle_core::Error),
}

/// Weights and running moments as plain numbers.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Weights {
    /// One list per parameter, in the order of [`Net::parameters`].
    pub values: Vec<Vec<f32>>,
    /// Running moments.
    pub moments: Vec<Moments>,
}

/// Draws parameters and keeps the list of them.
struct Maker {
    seed: Seed,
    parameters: Vec<(String, Var)>,
    moments: Vec<Moments>,
}

impl Maker {
    fn keep(&mut self, name: String, numbers: Vec<f32>, shape: &[usize]) -> Result<Var> {
        let var = Var::from_vec(numbers, shape, &Device::Cpu)?;
        self.parameters.push((name, var.clone()));
        Ok(var)
    }

    fn constant(&mut self, name: String, x: f32, len: usize) -> Result<Var> {
        self.keep(name, vec![x; len], &[len])
    }

    fn uniform(&mut self, name: String, shape: &[usize], fans: usize) -> Result<Var> {
        let (limit, mut rng) = ((6.0 / fans.max(1) as f64).sqrt() as f32, self.seed.child(&name).rng());
        let numbers = (0..shape.iter().product()).map(|_| rng.random_range(-limit..=limit)).collect();
        self.keep(name, numbers, shape)
    }

    fn norm(&mut self, name: &str, channels: usize) -> Result<Norm> {
        self.moments.push(Moments::new(channels));
        let gain = self.constant(format!("{name}_gain"), 1.0, channels)?;
        Ok(Norm { gain, offset: self.constant(format!("{name}_offset"), 0.0, channels)?, at: self.moments.len() - 1 })
    }

    fn dense(&mut self, name: &str, from: usize, to: usize, hidden: bool) -> Result<Dense> {
        let weight = self.uniform(format!("{name}_weight"), &[from, to], from + to)?;
        let bias = self.constant(format!("{name}_bias"), 0.0, to)?;
        let norm = if hidden { Some(self.norm(name, to)?) } else { None };
        Ok(Dense { weight, bias, norm })
    }

    fn gru(&mut self, name: &str, inputs: usize, units: usize) -> Result<Gru> {
        Ok(Gru {
            input: self.uniform(format!("{name}_input"), &[inputs, 3 * units], inputs + units)?,
            gates: self.uniform(format!("{name}_gates"), &[units, 2 * units], 2 * units)?,
            candidate: self.uniform(format!("{name}_candidate"), &[units, units], 2 * units)?,
            bias: self.constant(format!("{name}_bias"), 0.0, 3 * units)?,
        })
    }
}

/// What a forward pass for learning needs and gives beside the logits.
struct Live {
    dropout: Dropout,
    seed: Seed,
    moments: Vec<Moments>,
}

impl Net {
    /// A network with new weights.
    ///
    /// # Errors
    /// [`NetError::Plan`] for a plan that cannot be.
    pub fn new(plan: &Plan, seed: Seed) -> std::result::Result<Net, NetError> {
        let shapes = plan.shapes()?;
        let mut maker = Maker { seed, parameters: Vec::new(), moments: Vec::new() };
        let input = maker.norm("input", plan.bands)?;
        let (mut convs, mut channels) = (Vec::new(), 1);
        for (k, block) in plan.blocks.iter().enumerate() {
            let (kh, kw) = block.kernel;
            let name = format!("block{k}");
            let weight = maker.uniform(format!("{name}_weight"), &[block.maps, channels, kh, kw], kh * kw * (channels + block.maps))?;
            let bias = maker.constant(format!("{name}_bias"), 0.0, block.maps)?;
            convs.push(Conv { weight, bias, norm: maker.norm(&name, block.maps)? });
            channels = block.maps;
        }
        let (maps, height, width) = shapes.last().copied().unwrap_or((1, plan.bands, plan.frames));
        let (mut grus, mut dense, mut from) = (Vec::new(), Vec::new(), maps * height * width);
        match &plan.tail {
            Tail::Gru(units) => {
                grus = vec![maker.gru("gru0", maps * height, *units)?, maker.gru("gru1", *units, *units)?];
                from = *units;
            }
            Tail::Dense(widths) => {
                for (k, &to) in widths.iter().enumerate() {
                    dense.push(maker.dense(&format!("dense{k}"), from, to, true)?);
                    from = to;
                }
            }
        }
        dense.push(maker.dense("output", from, plan.tags, false)?);
        let Maker { parameters, moments, .. } = maker;
        Ok(Net { plan: plan.clone(), input, convs, grus, dense, parameters, moments })
    }

    /// What it is made of.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// All that is trained, by name.
    pub fn parameters(&self) -> &[(String, Var)] {
        &self.parameters
    }

    /// A copy of all weights and moments.
    ///
    /// # Errors
    /// [`NetError::Library`].
    pub fn weights(&self) -> std::result::Result<Weights, NetError> {
        let values = self.parameters.iter().map(|(_, var)| floats(var)).collect::<Result<_>>()?;
        Ok(Weights { values, moments: self.moments.clone() })
    }

    /// Puts other weights in the place of these.
    ///
    /// # Errors
    /// [`NetError::Size`] for weights of another network; then nothing has changed.
    pub fn set_weights(&mut self, weights: &Weights) -> std::result::Result<(), NetError> {
        let sizes = |w: &Weights| -> Vec<usize> {
            let moments = w.moments.iter().flat_map(|m| [m.mean.len(), m.variance.len()]);
            w.values.iter().map(Vec::len).chain(moments).collect()
        };
        let (ours, theirs) = (sizes(&self.weights()?), sizes(weights));
        if ours != theirs {
            let (what, expected) =
                (format!("weights of a {}", self.plan.kind.name()), format!("{}, in other parts", ours.iter().sum::<usize>()));
            return Err(NetError::Size { what, found: theirs.iter().sum(), expected });
        }
        for ((_, var), numbers) in self.parameters.iter().zip(&weights.values) {
            var.set(&Tensor::from_slice(numbers, var.shape(), var.device())?)?;
        }
        self.moments.clone_from(&weights.moments);
        Ok(())
    }

    /// One number per picture and tag, `[pictures × tags]`; the tag's probability is its logistic function. `pictures` are `[pictures × bands × frames]`.
    ///
    /// # Errors
    /// [`NetError::Size`] for pictures of another size.
    pub fn logits(&self, pictures: &[f32]) -> std::result::Result<Vec<f32>, NetError> {
        let mut logits = Vec::new();
        // Parts of a size that does not depend on how many there are.
        for part in pictures.chunks(64 * self.picture()) {
            logits.extend(floats(&self.forward(self.batch(part)?, &mut None)?)?);
        }
        Ok(logits)
    }

    /// The maps that the convolutions give, `[pictures × maps × rows × columns]`: what the tail hears.
    ///
    /// # Errors
    /// As [`Net::logits`].
    pub fn maps(&self, pictures: &[f32]) -> std::result::Result<Vec<f32>, NetError> {
        Ok(floats(&self.front(self.batch(pictures)?, &mut None)?)?)
    }

    /// Logits for learning, `[pictures, tags]`, with dropout drawn from `seed` and batch norms that use the batch; and its moments.
    pub(crate) fn learn(&self, pictures: &[f32], dropout: Dropout, seed: Seed) -> std::result::Result<(Tensor, Vec<Moments>), NetError> {
        let mut live = Some(Live { dropout, seed, moments: Vec::new() });
        let logits = self.forward(self.batch(pictures)?, &mut live)?;
        Ok((logits, live.map_or(Vec::new(), |live| live.moments)))
    }

    /// Moves the running moments towards those of a batch.
    pub(crate) fn follow(&mut self, batch: &[Moments], share: f32) {
        self.moments.iter_mut().zip(batch).for_each(|(ours, batch)| ours.follow(batch, share));
    }

    fn picture(&self) -> usize {
        self.plan.bands * self.plan.frames
    }

    fn batch(&self, pictures: &[f32]) -> std::result::Result<Tensor, NetError> {
        let each = self.picture();
        if pictures.is_empty() || !pictures.len().is_multiple_of(each) {
            let expected = format!("a multiple of {each} = {} bands × {} frames", self.plan.bands, self.plan.frames);
            return Err(NetError::Size { what: "pictures".into(), found: pictures.len(), expected });
        }
        Ok(Tensor::from_slice(pictures, (pictures.len() / each, self.plan.bands, self.plan.frames), &Device::Cpu)?)
    }

    fn normal(&self, x: &Tensor, norm: &Norm, live: &mut Option<Live>) -> Result<Tensor> {
        match live {
            None => normalise(x, &norm.gain, &norm.offset, &self.moments[norm.at], false),
            Some(live) => {
                let moments = Moments::of(x)?;
                let y = normalise(x, &norm.gain, &norm.offset, &moments, true);
                live.moments.push(moments);
                y
            }
        }
    }

    fn front(&self, x: Tensor, live: &mut Option<Live>) -> Result<Tensor> {
        let (batch, bands, frames) = x.dims3()?;
        let mut x = self.normal(&x, &self.input, live)?;
        if self.plan.pad > 0 {
            x = x.pad_with_zeros(2, self.plan.pad, self.plan.pad)?;
        }
        let mut x = x.reshape((batch, 1, bands, frames + 2 * self.plan.pad))?;
        for (k, (conv, block)) in self.convs.iter().zip(&self.plan.blocks).enumerate() {
            x = convolve(&x, &conv.weight, &conv.bias, block.zeros())?;
            x = pool_elu(&self.normal(&x, &conv.norm, live)?, block.pool)?;
            if let Some(live) = live {
                x = drop_out(x, live.dropout.blocks, live.seed.child("block").nth(k as u64))?;
            }
        }
        Ok(x)
    }

    fn forward(&self, x: Tensor, live: &mut Option<Live>) -> Result<Tensor> {
        let x = self.front(x, live)?;
        let (batch, maps, height, width) = x.dims4()?;
        let mut x = match &self.grus[..] {
            [] => x.reshape((batch, maps * height * width))?,
            // Time is the sequence, maps and bands are its features.
            [first, second] => {
                let x = x.permute((0, 3, 1, 2))?.contiguous()?.reshape((batch, width, maps * height))?;
                let states = second.states(&Tensor::stack(&first.states(&x)?, 1)?)?;
                match states.into_iter().next_back() {
                    Some(last) => last,
                    None => candle_core::bail!("no time step is left"),
                }
            }
            _ => candle_core::bail!("two recurrent layers or none"),
        };
        for (k, dense) in self.dense.iter().enumerate() {
            if let Some(live) = live
                && k + 1 == self.dense.len()
            {
                x = drop_out(x, live.dropout.last, live.seed.child("last"))?;
            }
            x = x.matmul(&dense.weight)?.broadcast_add(&dense.bias)?;
            if let Some(norm) = &dense.norm {
                x = self.normal(&x, norm, live)?.elu(1.0)?;
            }
        }
        Ok(x)
    }

    /// Weights, bias, gain, offset and moments of a block, for export.
    pub(crate) fn block(&self, k: usize) -> Result<[Vec<f32>; 6]> {
        let conv = &self.convs[k];
        let moments = &self.moments[conv.norm.at];
        let [weight, bias, gain, offset] = [&conv.weight, &conv.bias, &conv.norm.gain, &conv.norm.offset].map(|var| floats(var));
        Ok([weight?, bias?, gain?, offset?, moments.mean.clone(), moments.scales()])
    }

    /// Factor and offset of the batch norm of every band.
    pub(crate) fn bands(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let (gain, offset, moments) = (floats(&self.input.gain)?, floats(&self.input.offset)?, &self.moments[self.input.at]);
        let factor: Vec<f32> = gain.iter().zip(moments.scales()).map(|(g, s)| g * s).collect();
        let offset = offset.iter().zip(&moments.mean).zip(&factor).map(|((o, m), f)| o - m * f).collect();
        Ok((factor, offset))
    }
}

/// Sets a share of the numbers to 0 and divides the others by what is left (Srivastava et al. 2014).
fn drop_out(x: Tensor, share: f64, seed: Seed) -> Result<Tensor> {
    if share <= 0.0 {
        return Ok(x);
    }
    let (mut rng, kept) = (seed.rng(), (1.0 / (1.0 - share)) as f32);
    let mask: Vec<f32> = (0..x.elem_count()).map(|_| if f64::from(rng.random::<f32>()) < share { 0.0 } else { kept }).collect();
    x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?)
}

#[cfg(test)]
mod tests {
    use super::super::plan::{CRNN_MAPS, K2C2_MAPS, Kind, Picture};
    use super::*;

    fn pictures(count: usize, plan: &Plan) -> Vec<f32> {
        let mut rng = Seed::new(3).rng();
        (0..count * plan.bands * plan.frames).map(|_| rng.random_range(-60f32..0.0)).collect()
    }

    /// Parameters without those of batch norms.
    fn count(net: &Net) -> usize {
        let plain = net.parameters.iter().filter(|(name, _)| !name.ends_with("_gain") && !name.ends_with("_offset"));
        plain.map(|(_, var)| var.elem_count()).sum()
    }

    #[test]
    fn parameters_are_those_of_the_plan() {
        for plan in [Plan::k2c2(&Picture::MUSIC, K2C2_MAPS[0], 50), Plan::crnn(&Picture::MUSIC, CRNN_MAPS[0], 30, 50)] {
            assert_eq!(count(&Net::new(&plan, Seed::new(1)).unwrap()), plan.weights());
        }
        for kind in Kind::ALL {
            let plan = Plan::near(kind, &Picture::TONES, 12, 10_000);
            assert_eq!(count(&Net::new(&plan, Seed::new(1)).unwrap()), plan.weights());
        }
    }

    #[test]
    fn full_pictures_give_the_shapes_of_the_table() {
        let crnn = Plan::crnn(&Picture::MUSIC, [2, 3, 3, 4], 3, 50);
        let k2c2 = Plan::k2c2(&Picture::MUSIC, [2, 3, 3, 4, 5], 50);
        for (plan, left) in [(crnn, 4 * 15), (k2c2, 5)] {
            let net = Net::new(&plan, Seed::new(1)).unwrap();
            let pictures = pictures(1, &plan);
            assert_eq!((net.maps(&pictures).unwrap().len(), net.logits(&pictures).unwrap().len()), (left, 50));
        }
    }

    #[test]
    fn a_picture_is_judged_by_itself_unless_learned() {
        for kind in Kind::ALL {
            let plan = Plan::near(kind, &Picture::WORDS, 3, 2_000);
            let net = Net::new(&plan, Seed::new(1)).unwrap();
            let pictures = pictures(5, &plan);
            let all = net.logits(&pictures).unwrap();
            let alone = net.logits(&pictures[..40 * 64]).unwrap();
            assert!(all[..3].iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5), "{kind:?}: {all:?} {alone:?}");
            assert!(all[..3] != all[3..6]);
            let none = Dropout { blocks: 0.0, last: 0.0 };
            let (plain, moments) = net.learn(&pictures, none, Seed::new(1)).unwrap();
            assert_eq!(moments.len(), net.moments.len());
            let some = net.learn(&pictures, Dropout { blocks: 0.3, last: 0.3 }, Seed::new(1)).unwrap().0;
            assert_ne!(floats(&plain).unwrap(), floats(&some).unwrap());
            assert_ne!(floats(&plain).unwrap(), all);
        }
    }

    #[test]
    fn every_parameter_has_a_gradient() {
        for kind in Kind::ALL {
            let plan = Plan::near(kind, &Picture::WORDS, 3, 2_000);
            let net = Net::new(&plan, Seed::new(1)).unwrap();
            let (logits, _) = net.learn(&pictures(6, &plan), Dropout { blocks: 0.1, last: 0.1 }, Seed::new(2)).unwrap();
            let targets = (0..18).map(|k| f32::from(u8::from(k % 4 == 0))).collect();
            let grads = super::super::ops::cross_entropy(&logits, targets).unwrap().backward().unwrap();
            for (name, var) in &net.parameters {
                let grad = floats(grads.get(var).unwrap()).unwrap();
                assert!(grad.iter().all(|g| g.is_finite()) && grad.iter().any(|g| *g != 0.0), "{kind:?}: {name}");
            }
        }
    }

    #[test]
    fn weights_go_out_and_in_and_wrong_ones_are_refused() {
        let plan = Plan::near(Kind::Crnn, &Picture::WORDS, 3, 2_000);
        let (a, mut b) = (Net::new(&plan, Seed::new(1)).unwrap(), Net::new(&plan, Seed::new(2)).unwrap());
        assert_ne!(a.weights().unwrap(), b.weights().unwrap());
        b.set_weights(&a.weights().unwrap()).unwrap();
        assert_eq!(a.weights().unwrap(), b.weights().unwrap());
        let other = Net::new(&Plan::near(Kind::Crnn, &Picture::WORDS, 3, 4_000), Seed::new(1)).unwrap();
        assert!(b.set_weights(&other.weights().unwrap()).unwrap_err().to_string().contains("weights of a CRNN"));
        assert!(a.logits(&[0.0; 7]).unwrap_err().to_string().contains("a multiple of 2560 = 40 bands × 64 frames"));
        assert!(a.logits(&[]).unwrap().is_empty());
        let none = Plan::crnn(&Picture::WORDS, [1, 1, 0, 1], 1, 3);
        assert!(matches!(Net::new(&none, Seed::new(1)), Err(NetError::Plan(_))));
    }
}
