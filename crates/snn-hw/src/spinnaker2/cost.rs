//! What a step takes: cycles, bytes and joules, from named constants. All are estimates of ours `[ours]` unless marked: nobody measured
//! them, and the paper's tables were not available. What they are good for is ratios.

use serde::{Deserialize, Serialize};

/// Local memory of a core (bytes) `[rec]`.
pub const SRAM: usize = 64 * 1024;
/// Of it for program and stack (bytes) `[ours]`.
pub const PROGRAM: usize = 16 * 1024;
/// A link: address and weight of 16 bits each (bytes) `[ours]`.
pub const LINK_BYTES: usize = 4;
/// A plastic link: parameter, eligibility, gradient and weight in float32, and an address (bytes) `[ours]`.
pub const PLASTIC_BYTES: usize = 20;
/// A number of a neuron's state or constants (bytes).
pub const NUMBER_BYTES: usize = 4;
/// A place in a ring buffer (bytes).
pub const RING_BYTES: usize = 2;
/// A place in a ring buffer for packets with values (bytes) `[ours]`.
pub const WIDE_RING_BYTES: usize = 4;
/// Places in a ring buffer: delays are shorter than so many steps (SpiNNaker's 4 bits of delay).
pub const RING_SLOTS: usize = 16;
/// Most neurons of a core `[ours]`.
pub const CORE_NEURONS: usize = 256;

/// Cycles of a step for timer, spikes of the last step and bookkeeping `[ours]`.
pub const STEP_CYCLES: u64 = 500;
/// Of a neuron, and for each number of its state `[ours]`.
pub const NEURON_CYCLES: u64 = 30;
/// For each number of a neuron's state `[ours]`.
pub const STATE_CYCLES: u64 = 10;
/// Of a spike that is sent `[ours]`.
pub const PACKET_CYCLES: u64 = 50;
/// Of a link that a spike goes over: unpack, add to the ring buffer `[ours]`.
pub const EVENT_CYCLES: u64 = 15;
/// Of the value that comes with it: load, multiply, shift `[ours]`.
pub const PAYLOAD_CYCLES: u64 = 4;
/// Of an update of a plastic link without random number and exponential: about 14 float operations, 9 loads and stores of 2 cycles, 13 of
/// loop and branches `[ours]`.
pub const PLASTIC_CYCLES: u64 = 45;
/// An exponential in software: 100 cycles and more `[ours]`.
pub const EXP_SOFTWARE: u64 = 100;
/// One of the accelerator: write, wait for its pipeline of 4, read `[ours]`.
pub const EXP_UNIT: u64 = 5;
/// Range reduction around the accelerator for a float `[nmu]`.
pub const EXP_FLOAT: u64 = 49;
/// A uniform number in software `[ours]`.
pub const UNIFORM_SOFTWARE: u64 = 25;
/// One of the accelerator `[ours]`.
pub const UNIFORM_UNIT: u64 = 3;
/// A normal number in software: 100 cycles and more `[ours]`.
pub const NORMAL_SOFTWARE: u64 = 100;
/// One of the accelerator `[ours]`.
pub const NORMAL_UNIT: u64 = 5;

/// Energy of a byte from or to external memory (J) `[ours]`.
pub const DRAM_BYTE: f64 = 200e-12;
/// Power of external memory that is there (W), shared by all cores `[ours]`.
pub const DRAM_POWER: f64 = 20e-3;

/// Clock and voltage of the cores. The test chip switches among three; the lowest and the highest are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// 125 MHz at 0.7 V.
    Low,
    /// 500 MHz at 1.0 V.
    #[default]
    High,
}

impl Level {
    /// Clock (Hz).
    pub fn clock(self) -> f64 {
        match self {
            Level::Low => 125e6,
            Level::High => 500e6,
        }
    }
    /// Energy of a cycle of a busy core (J) `[ours]`; it goes with the square of the voltage.
    pub fn cycle(self) -> f64 {
        match self {
            Level::Low => 20e-12,
            Level::High => 40e-12,
        }
    }
    /// Leakage of a core (W) `[ours]`.
    pub fn leakage(self) -> f64 {
        match self {
            Level::Low => 0.5e-3,
            Level::High => 1e-3,
        }
    }
}

/// Cycles of what can be done by accelerators or in software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arithmetic {
    pub(crate) exp: u64,
    pub(crate) exp_float: u64,
    pub(crate) uniform: u64,
    pub(crate) normal: u64,
}

impl Arithmetic {
    pub(crate) fn new(accelerators: bool) -> Self {
        match accelerators {
            true => Arithmetic { exp: EXP_UNIT, exp_float: EXP_UNIT + EXP_FLOAT, uniform: UNIFORM_UNIT, normal: NORMAL_UNIT },
            false => Arithmetic { exp: EXP_SOFTWARE, exp_float: EXP_SOFTWARE, uniform: UNIFORM_SOFTWARE, normal: NORMAL_SOFTWARE },
        }
    }
    /// Of an update of a plastic link: arithmetic, a normal number for the noise, an exponential for the weight.
    pub(crate) fn plastic(self) -> u64 {
        PLASTIC_CYCLES + self.normal + self.exp_float
    }
}
