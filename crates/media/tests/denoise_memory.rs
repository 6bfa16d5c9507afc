//! What a stream's noise removal takes.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use media::denoise::{DenoiseSettings, Denoiser};

/// Counts the bytes that the current thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.with(|held| held.set(held.get() + layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get().saturating_sub(layout.size())));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_stream_takes_less_than_its_share_of_a_calls_60_kb() {
    for (rate, most) in [(8000, 10_000), (16_000, 12_000), (24_000, 15_000), (48_000, 23_000)] {
        let mut pcm = vec![500; rate / 50];
        let make = || {
            let mut denoiser =
                Box::new(Denoiser::new(rate as u32, DenoiseSettings::default()).unwrap());
            // The first makes what all streams share.
            denoiser.process(&mut vec![500; rate / 50]);
            denoiser
        };
        let _shared = make();
        let before = HELD.with(Cell::get);
        let mut denoiser = make();
        let held = HELD.with(Cell::get) - before;
        assert!(held < most, "{rate} Hz: {held} bytes");
        for _ in 0..100 {
            denoiser.process(&mut pcm);
        }
        assert_eq!(HELD.with(Cell::get) - before, held, "{rate} Hz: it grows");
    }
}
