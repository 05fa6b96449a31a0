//! Loops over channels-last data with per-channel constants, eight channels at a time in registers.

const BLOCK: usize = 8;

/// Sums over all pixels, per channel, of the M terms that `term(constants, values)` gives for one number.
///
/// # Shapes
/// constants `[C]` each, streams `[pixels, C]` each → M times `[C]`
#[inline(always)]
pub fn sums<const P: usize, const N: usize, const M: usize>(
    channels: usize,
    constants: [&[f32]; P],
    streams: [&[f32]; N],
    term: impl Fn([f32; P], [f32; N]) -> [f32; M],
) -> [Vec<f32>; M] {
    let mut totals = std::array::from_fn(|_| vec![0.0; channels]);
    let blocked = channels - channels % BLOCK;
    for first in (0..blocked).step_by(BLOCK) {
        block_sums::<BLOCK, P, N, M>(channels, first, constants, streams, &term, &mut totals);
    }
    for first in blocked..channels {
        block_sums::<1, P, N, M>(channels, first, constants, streams, &term, &mut totals);
    }
    totals
}

#[inline(always)]
fn block_sums<const W: usize, const P: usize, const N: usize, const M: usize>(
    channels: usize,
    first: usize,
    constants: [&[f32]; P],
    streams: [&[f32]; N],
    term: &impl Fn([f32; P], [f32; N]) -> [f32; M],
    totals: &mut [Vec<f32>; M],
) {
    let constants: [[f32; W]; P] = constants.map(|c| block(c, first));
    let mut sums = [[0.0_f32; W]; M];
    for at in (first..streams.first().map_or(0, |s| s.len())).step_by(channels) {
        let rows: [[f32; W]; N] = streams.map(|s| block(s, at));
        for i in 0..W {
            let terms = term(constants.map(|c| c[i]), rows.map(|row| row[i]));
            for m in 0..M {
                sums[m][i] += terms[m];
            }
        }
    }
    for (total, sum) in totals.iter_mut().zip(sums) {
        total[first..first + W].copy_from_slice(&sum);
    }
}

/// `out = value(constants, values)` for every number; shapes as in [`sums`].
#[inline(always)]
pub fn map<const P: usize, const N: usize>(
    channels: usize,
    constants: [&[f32]; P],
    streams: [&[f32]; N],
    out: &mut [f32],
    value: impl Fn([f32; P], [f32; N]) -> f32,
) {
    let blocked = channels - channels % BLOCK;
    for row in (0..out.len()).step_by(channels) {
        for first in (0..blocked).step_by(BLOCK) {
            block_map::<BLOCK, P, N>(first, row + first, constants, streams, out, &value);
        }
        for first in blocked..channels {
            block_map::<1, P, N>(first, row + first, constants, streams, out, &value);
        }
    }
}

#[inline(always)]
fn block_map<const W: usize, const P: usize, const N: usize>(
    first: usize,
    at: usize,
    constants: [&[f32]; P],
    streams: [&[f32]; N],
    out: &mut [f32],
    value: &impl Fn([f32; P], [f32; N]) -> f32,
) {
    let constants: [[f32; W]; P] = constants.map(|c| block(c, first));
    let rows: [[f32; W]; N] = streams.map(|s| block(s, at));
    let values: [f32; W] = std::array::from_fn(|i| value(constants.map(|c| c[i]), rows.map(|row| row[i])));
    out[at..at + W].copy_from_slice(&values);
}

#[inline(always)]
fn block<const W: usize>(values: &[f32], at: usize) -> [f32; W] {
    let mut block = [0.0; W];
    block.copy_from_slice(&values[at..at + W]);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_maps_cover_whole_blocks_and_the_rest() {
        let channels = 11;
        let x: Vec<f32> = (0..33_u8).map(f32::from).collect();
        let k: Vec<f32> = (0..11_u8).map(|c| f32::from(c) * 2.0).collect();
        let [plain, scaled] = sums(channels, [&k], [&x], |[k], [x]| [x, k * x]);
        for c in 0..channels {
            let wanted = x[c] + x[c + 11] + x[c + 22];
            assert_eq!((plain[c], scaled[c]), (wanted, k[c] * wanted));
        }
        let mut out = vec![0.0; 33];
        map(channels, [&k], [&x, &x], &mut out, |[k], [x, y]| x + y - k);
        assert!(out.iter().enumerate().all(|(i, o)| *o == 2.0 * x[i] - k[i % 11]));
    }
}
