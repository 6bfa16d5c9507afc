//! A machine's outputs of one input, without memory of their own.

/// The most outputs a machine gives for one input.
const STEPS_MAX: usize = 6;

/// Outputs in order.
pub(super) type Steps<T> = std::iter::Flatten<std::array::IntoIter<Option<T>, STEPS_MAX>>;

/// Collects what `run` emits.
pub(super) fn collect<T: Copy>(run: impl FnOnce(&mut dyn FnMut(T))) -> Steps<T> {
    let mut steps = [None; STEPS_MAX];
    let mut len = 0;
    run(&mut |step| {
        steps[len] = Some(step);
        len += 1;
    });
    steps.into_iter().flatten()
}
