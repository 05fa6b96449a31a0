//! Loops over f32 slices that the compiler turns into wide instructions.
//!
//! Release binaries are built for any x86-64, so wide instructions must be chosen at run time: [`wide`] runs a
//! closure compiled a second time for AVX2 and FMA. The sums below keep eight partial sums in a fixed order, so
//! that a result depends on the data and never on how the compiler unrolled the loop.

/// Runs `work` with AVX2 and FMA where the processor has them. `work` should be a plain loop that can be inlined.
#[inline(always)]
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(simd, work);
    }
    work()
}

const LANES: usize = 8;

/// Σ x.
#[inline(always)]
pub fn sum(values: &[f32]) -> f32 {
    fold(values, |total, x| total + x)
}

/// Σ (x − centre)².
#[inline(always)]
pub fn squared_deviation(values: &[f32], centre: f32) -> f32 {
    fold(values, |total, x| total + (x - centre) * (x - centre))
}

#[inline(always)]
fn fold(values: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = add(*lane, *x);
        }
    }
    rest.iter().fold(tree(lanes), |total, x| add(total, *x))
}

/// Σ x·y over the shorter of the two.
#[inline(always)]
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (left_chunks, left_rest) = left.as_chunks::<LANES>();
    let (right_chunks, right_rest) = right.as_chunks::<LANES>();
    for (x, y) in left_chunks.iter().zip(right_chunks) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i];
        }
    }
    left_rest.iter().zip(right_rest).fold(tree(lanes), |total, (x, y)| total + x * y)
}

/// The largest value; −∞ of nothing.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *x);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger)
}

/// `left += right`, element by element.
#[inline(always)]
pub fn add_assign(left: &mut [f32], right: &[f32]) {
    for (x, y) in left.iter_mut().zip(right) {
        *x += y;
    }
}

#[inline(always)]
fn tree(l: [f32; LANES]) -> f32 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

/// e^x without a call, so that a loop over it is vectorised: 2^n·e^r with |r| ≤ ln 2 / 2 and the polynomial of
/// Cephes' `expf`. Relative error below 2e-7 in [−87, 88]; beyond, the value at the nearer end.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5·2²³: adding it leaves the rounded integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let value = p * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    value * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_match_plain_ones_at_every_length() {
        for len in 0..40_u8 {
            let x: Vec<f32> = (0..len).map(|i| f32::from(i) * 0.37 - 2.0).collect();
            let y: Vec<f32> = x.iter().map(|v| 1.0 - v * 0.5).collect();
            let close = |a: f32, b: f32| (a - b).abs() < 1e-4;
            assert!(close(wide(|| sum(&x)), x.iter().sum()));
            assert!(close(wide(|| dot(&x, &y)), x.iter().zip(&y).map(|(a, b)| a * b).sum()));
            assert!(close(wide(|| squared_deviation(&x, 0.5)), x.iter().map(|v| (v - 0.5) * (v - 0.5)).sum()));
            assert_eq!(wide(|| max(&x)), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }

    #[test]
    fn exp_is_within_two_parts_in_ten_million() {
        for i in -8700..=8800_i16 {
            let x = f32::from(i) / 100.0;
            let (ours, theirs) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / theirs - 1.0).abs() < 2e-7, "exp({x}) = {ours}, not {theirs}");
        }
        assert!(exp(-1e30) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }
}
