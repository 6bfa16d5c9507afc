//! Code made twice from one source: for any machine, and for those with AVX2 and FMA.

/// What differs between the machines.
pub(super) trait Machine: Copy {
    /// `a * b + c`, rounded once or twice.
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32;
}

/// Any machine: whatever the compiler was told it can count on.
#[derive(Clone, Copy)]
pub(super) struct Any;

/// A machine that multiplies and adds in one instruction.
#[derive(Clone, Copy)]
struct Fused;

impl Machine for Any {
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
            a.mul_add(b, c)
        } else {
            a * b + c
        }
    }
}

impl Machine for Fused {
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Work that is worth a version for wide vectors. Implement it `#[inline(always)]`, as everything
/// it calls, or it is compiled for any machine all the same.
pub(super) trait Work {
    /// Does it.
    fn run(self, machine: impl Machine);
}

/// Does it in the version for this machine.
pub(super) fn run(work: impl Work) {
    #[cfg(test)]
    if tests::is_anywhere() {
        return work.run(Any);
    }
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "a function with target features is called")]
        // SAFETY: the features that `run_fused` is compiled for were just found on this machine.
        unsafe {
            run_fused(work);
        }
        return;
    }
    work.run(Any);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_fused(work: impl Work) {
    work.run(Fused);
}

/// Sums kept side by side, so that the compiler uses vectors.
const LANES: usize = 16;

/// The inner product of two slices of the same length.
#[inline(always)]
pub(super) fn dot(machine: impl Machine, a: &[f32], b: &[f32]) -> f32 {
    let len = a.len().min(b.len());
    let (a, a_rest) = a[..len].as_chunks::<LANES>();
    let (b, b_rest) = b[..len].as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = machine.mul_add(a[lane], b[lane], sums[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// The hyperbolic tangent to 7 digits, without a branch.
#[inline(always)]
pub(super) fn tanh(machine: impl Machine, x: f32) -> f32 {
    const ODD: [f32; 7] = [
        -2.760_768_4e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297e-8,
        1.485_722_4e-5,
        6.372_619_3e-4,
        4.893_524_6e-3,
    ];
    const EVEN: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
    let x = x.clamp(-7.905_311, 7.905_311);
    let square = x * x;
    let horner = |sum: f32, c: &f32| machine.mul_add(sum, square, *c);
    let odd = x * ODD.iter().fold(0.0, horner);
    odd / EVEN.iter().fold(0.0, horner)
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static ANYWHERE: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn is_anywhere() -> bool {
        ANYWHERE.get()
    }

    /// What comes of it in the version for any machine, on this one.
    pub(in super::super) fn anywhere<T>(work: impl FnOnce() -> T) -> T {
        ANYWHERE.set(true);
        let result = work();
        ANYWHERE.set(false);
        result
    }

    struct Tanh<'a>(&'a mut [f32]);

    impl Work for Tanh<'_> {
        #[inline(always)]
        fn run(self, machine: impl Machine) {
            self.0.iter_mut().for_each(|x| *x = tanh(machine, *x));
        }
    }

    #[test]
    fn the_tangent_is_exact_on_both_kinds_of_machine() {
        let xs: Vec<f32> = (-1200..=1200).map(|n| n as f32 / 100.0).collect();
        let (mut here, mut anywhere) = (xs.clone(), xs.clone());
        run(Tanh(&mut here));
        self::anywhere(|| run(Tanh(&mut anywhere)));
        for (x, ys) in xs.iter().zip(here.iter().zip(&anywhere)) {
            let right = f64::from(*x).tanh();
            for y in [ys.0, ys.1] {
                assert!((f64::from(*y) - right).abs() < 5e-7, "tanh({x}) = {right}, not {y}");
            }
        }
    }

    struct Dot<'a>(&'a [f32], &'a mut f32);

    impl Work for Dot<'_> {
        #[inline(always)]
        fn run(self, machine: impl Machine) {
            *self.1 = dot(machine, self.0, self.0);
        }
    }

    #[test]
    fn the_inner_product_takes_all() {
        let xs: Vec<f32> = (1..=37).map(|n| n as f32).collect();
        let mut sum = 0.0;
        run(Dot(&xs, &mut sum));
        assert_eq!(sum, 17_575.0);
        anywhere(|| run(Dot(&xs, &mut sum)));
        assert_eq!(sum, 17_575.0);
    }
}
