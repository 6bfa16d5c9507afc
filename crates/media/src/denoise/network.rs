//! The recurrent network of RNNoise: 42 features of a frame to a gain for each of 22 bands.
//!
//! ```text
//! features ─▶ dense 24 ─▶ voice 24 ─┐
//!     │            └──────┬─────────┼─▶ dense 1 ─▶ voice or none
//!     ├───────────────────┴▶ noise 48 ─┐
//!     └──────────────────────▶ gain 96 ◀┘ ─▶ dense 22 ─▶ gains
//! ```
//! The weights are RNNoise's own (`weights/COPYING`), 8 bits each, and stay so: 88 kB are shared
//! by all streams and fit a core's second-level cache.

use std::sync::LazyLock;

use super::vector::{Machine, tanh};

/// Bands of the network.
pub(super) const BANDS: usize = 22;
/// What it is told of a frame.
pub(super) const FEATURES: usize = 42;

const DENSE: usize = 24;
const VOICE: usize = 24;
const NOISE: usize = 48;
const GAIN: usize = 96;

/// Columns of a matrix that are summed side by side in registers.
const TILE: usize = 48;
/// Longest input of a layer with its own state.
const INPUT_MAX: usize = VOICE + NOISE + FEATURES + GAIN;
/// What a weight counts.
const SCALE: f32 = 1.0 / 256.0;

/// The weights as the Python of RNNoise's training wrote them and nnnoiseless 0.5.2 keeps them:
/// each layer is its sizes, its activation and its matrices, row by row.
static WEIGHTS: &[u8] = include_bytes!("weights/rnnoise.bin");

static NETWORK: LazyLock<Network> = LazyLock::new(|| Network::read(WEIGHTS));

/// What the network says of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// What of each band is speech, 0 to 1.
    pub(super) gains: [f32; BANDS],
    /// How probably somebody speaks, 0 to 1.
    pub(super) voice: f32,
}

/// One stream's memory.
#[derive(Clone, Debug)]
pub(super) struct State {
    voice: [f32; VOICE],
    noise: [f32; NOISE],
    gain: [f32; GAIN],
}

struct Network {
    dense: Dense,
    voice: Recurrent,
    noise: Recurrent,
    gain: Recurrent,
    gains: Dense,
    speaks: Dense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    Tanh,
    Sigmoid,
    Relu,
}

struct Dense {
    matrix: Matrix,
    activation: Activation,
}

/// A gated recurrent unit.
struct Recurrent {
    /// Update gate and reset gate, from input and state.
    gates: Matrix,
    /// The new state, from input and what was not reset.
    candidate: Matrix,
    activation: Activation,
}

/// Weights cut into tiles of columns: a tile has all of its rows one after the other.
struct Matrix {
    rows: usize,
    columns: usize,
    bias: Box<[[f32; TILE]]>,
    weights: Box<[[i8; TILE]]>,
}

impl State {
    pub(super) const fn new() -> Self {
        Self { voice: [0.0; VOICE], noise: [0.0; NOISE], gain: [0.0; GAIN] }
    }

    /// Hears the next frame.
    #[inline(always)]
    pub(super) fn run(&mut self, machine: impl Machine, features: &[f32; FEATURES]) -> Heard {
        let network = &*NETWORK;
        let mut dense = [0.0; TILE];
        network.dense.run(machine, features, &mut dense);
        network.voice.run(machine, &[&dense[..DENSE]], &mut self.voice);
        let before_noise = [&dense[..DENSE], &self.voice, features];
        network.noise.run(machine, &before_noise, &mut self.noise);
        let before_gain = [&self.voice[..], &self.noise, features];
        network.gain.run(machine, &before_gain, &mut self.gain);
        let mut gains = [0.0; TILE];
        network.gains.run(machine, &self.gain, &mut gains);
        let mut first = [0.0; BANDS];
        first.copy_from_slice(&gains[..BANDS]);
        let mut voice = [0.0; TILE];
        network.speaks.run(machine, &self.voice, &mut voice);
        Heard { gains: first, voice: voice[0] }
    }
}

impl Activation {
    /// Of sums in units of the weights.
    #[inline(always)]
    fn apply(self, machine: impl Machine, sums: &mut [f32]) {
        match self {
            Self::Tanh => sums.iter_mut().for_each(|x| *x = tanh(machine, SCALE * *x)),
            Self::Sigmoid => sums.iter_mut().for_each(|x| {
                *x = machine.mul_add(0.5, tanh(machine, 0.5 * SCALE * *x), 0.5);
            }),
            Self::Relu => sums.iter_mut().for_each(|x| *x = (SCALE * *x).max(0.0)),
        }
    }
}

impl Dense {
    #[inline(always)]
    fn run(&self, machine: impl Machine, input: &[f32], output: &mut [f32; TILE]) {
        self.matrix.multiply(machine, input, output);
        self.activation.apply(machine, &mut output[..self.matrix.columns]);
    }
}

impl Recurrent {
    #[inline(always)]
    fn run(&self, machine: impl Machine, inputs: &[&[f32]], state: &mut [f32]) {
        let units = state.len();
        let mut all = [0.0; INPUT_MAX];
        let mut len = 0;
        for part in inputs.iter().copied().chain([&*state]) {
            all[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        let mut gates = [0.0; 2 * GAIN];
        self.gates.multiply(machine, &all[..len], &mut gates);
        let gates = &mut gates[..2 * units];
        Activation::Sigmoid.apply(machine, gates);
        let (update, reset) = gates.split_at(units);
        for (x, reset) in all[len - units..len].iter_mut().zip(reset) {
            *x *= reset;
        }
        let mut candidate = [0.0; GAIN];
        self.candidate.multiply(machine, &all[..len], &mut candidate);
        let candidate = &mut candidate[..units];
        self.activation.apply(machine, candidate);
        for ((state, update), new) in state.iter_mut().zip(update).zip(candidate) {
            *state = machine.mul_add(*update, *state - *new, *new);
        }
    }
}

impl Matrix {
    /// Columns `columns` of a layer whose rows are those of each of `parts` in turn.
    fn new(parts: &[Rows<'_>], bias: &[i8], columns: std::ops::Range<usize>) -> Self {
        let rows: Vec<&[i8]> =
            parts.iter().flat_map(Rows::iter).map(|r| &r[columns.clone()]).collect();
        let bias = &bias[columns.clone()];
        let starts = (0..columns.len()).step_by(TILE);
        let tile = |row: &[i8], start: usize| {
            let mut tile = [0; TILE];
            let end = row.len().min(start + TILE);
            tile[..end - start].copy_from_slice(&row[start..end]);
            tile
        };
        Self {
            rows: rows.len(),
            columns: columns.len(),
            bias: starts.clone().map(|start| tile(bias, start).map(f32::from)).collect(),
            weights: starts
                .flat_map(|start| rows.iter().map(move |row| tile(row, start)))
                .collect(),
        }
    }

    /// `bias + input · weights`; `output` has room for whole tiles.
    #[inline(always)]
    fn multiply(&self, machine: impl Machine, input: &[f32], output: &mut [f32]) {
        debug_assert_eq!(input.len(), self.rows, "the layer before has as many outputs");
        let (output, _) = output.as_chunks_mut::<TILE>();
        let tiles = self.weights.chunks_exact(self.rows).zip(&self.bias);
        for ((tile, bias), output) in tiles.zip(output) {
            let mut sums = *bias;
            for (weights, x) in tile.iter().zip(input) {
                for column in 0..TILE {
                    sums[column] = machine.mul_add(f32::from(weights[column]), *x, sums[column]);
                }
            }
            *output = sums;
        }
    }
}

/// A matrix as it is stored.
struct Rows<'a> {
    weights: &'a [i8],
    columns: usize,
}

impl Rows<'_> {
    fn iter(&self) -> impl Iterator<Item = &[i8]> {
        self.weights.chunks_exact(self.columns)
    }
}

/// Reads layers one after the other. The file is part of the program: what does not fit it is a
/// mistake of the build.
struct Reader<'a>(&'a [i8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [i8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    /// The sizes of a layer, which must be these, and its activation.
    fn head(&mut self, inputs: usize, units: usize) -> Activation {
        let head = self.take(3);
        assert_eq!([inputs, units], [head[0] as usize, head[1] as usize], "sizes of a layer");
        match head[2] {
            0 => Activation::Tanh,
            1 => Activation::Sigmoid,
            2 => Activation::Relu,
            other => panic!("activation {other} of a layer"),
        }
    }

    fn rows(&mut self, rows: usize, columns: usize) -> Rows<'a> {
        Rows { weights: self.take(rows * columns), columns }
    }

    fn dense(&mut self, inputs: usize, units: usize) -> Dense {
        let activation = self.head(inputs, units);
        let rows = self.rows(inputs, units);
        Dense { matrix: Matrix::new(&[rows], self.take(units), 0..units), activation }
    }

    fn recurrent(&mut self, inputs: usize, units: usize) -> Recurrent {
        let activation = self.head(inputs, units);
        let parts = [self.rows(inputs, 3 * units), self.rows(units, 3 * units)];
        let bias = self.take(3 * units);
        Recurrent {
            gates: Matrix::new(&parts, bias, 0..2 * units),
            candidate: Matrix::new(&parts, bias, 2 * units..3 * units),
            activation,
        }
    }
}

impl Network {
    fn read(bytes: &[u8]) -> Self {
        let bytes: Vec<i8> = bytes.iter().map(|byte| byte.cast_signed()).collect();
        let mut reader = Reader(&bytes);
        let network = Self {
            dense: reader.dense(FEATURES, DENSE),
            voice: reader.recurrent(DENSE, VOICE),
            noise: reader.recurrent(DENSE + VOICE + FEATURES, NOISE),
            gain: reader.recurrent(VOICE + NOISE + FEATURES, GAIN),
            gains: reader.dense(GAIN, BANDS),
            speaks: reader.dense(VOICE, 1),
        };
        assert!(reader.0.is_empty(), "all weights are used");
        network
    }
}
