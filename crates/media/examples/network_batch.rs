//! What it would save to run several streams through the matrices of noise removal's network at once:
//! nanoseconds for one stream's frame of 10 ms, alone and beside others, best of several rounds.
//! The matrices have the network's sizes and weights by chance; nothing else of noise removal is in it.
//!
//! `RUSTFLAGS="-C target-cpu=x86-64-v3" cargo run --release -p media --example network_batch`
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::needless_range_loop)]

use std::array;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 15;
const FRAMES: u32 = 2000;
/// Rows and columns of all matrices (`denoise/network.rs`).
const SIZES: [(usize, usize); 9] =
    [(42, 24), (48, 48), (48, 24), (138, 96), (138, 48), (210, 192), (210, 96), (96, 22), (24, 1)];
const ROWS_MAX: usize = 210;
const TILES_MAX: usize = 12;

/// Weights in tiles of `TILE` columns: as many as are summed in registers beside each other.
struct Matrix<const TILE: usize> {
    rows: usize,
    weights: Vec<[i8; TILE]>,
}

impl<const TILE: usize> Matrix<TILE> {
    fn of((rows, columns): (usize, usize), chance: &mut impl FnMut() -> i8) -> Self {
        let len = rows * columns.div_ceil(TILE);
        Self { rows, weights: (0..len).map(|_| array::from_fn(|_| chance())).collect() }
    }

    #[inline(always)]
    fn multiply<const STREAMS: usize>(
        &self,
        inputs: &[[f32; STREAMS]; ROWS_MAX],
        outputs: &mut [[[f32; TILE]; STREAMS]; TILES_MAX],
    ) {
        for (tile, output) in self.weights.chunks_exact(self.rows).zip(outputs) {
            let mut sums = [[0.0; TILE]; STREAMS];
            for (weights, input) in tile.iter().zip(inputs) {
                let mut wide = [0.0; TILE];
                for column in 0..TILE {
                    wide[column] = f32::from(weights[column]);
                }
                for stream in 0..STREAMS {
                    for column in 0..TILE {
                        sums[stream][column] =
                            wide[column].mul_add(input[stream], sums[stream][column]);
                    }
                }
            }
            *output = sums;
        }
    }
}

/// Nanoseconds a stream and frame.
fn cost<const TILE: usize, const STREAMS: usize>() -> f64 {
    let mut state = 1_u32;
    let mut chance = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24).cast_signed() as i8
    };
    let network = SIZES.map(|size| Matrix::<TILE>::of(size, &mut chance));
    let inputs = array::from_fn(|row| [(row as f32).sin(); STREAMS]);
    let mut outputs = [[[0.0; TILE]; STREAMS]; TILES_MAX];
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..FRAMES {
            for matrix in &network {
                matrix.multiply(black_box(&inputs), &mut outputs);
                black_box(&outputs);
            }
        }
        let each = begun.elapsed().as_nanos() as f64 / f64::from(FRAMES) / STREAMS as f64;
        best = best.min(each);
    }
    best
}

fn main() {
    println!("| streams at once | ns a stream and frame |\n|---|---|");
    println!("| 1 | {:.0} |", cost::<48, 1>());
    println!("| 4 | {:.0} |", cost::<16, 4>());
    println!("| 8 | {:.0} |", cost::<8, 8>());
}
