//! What the tests of the operations share: seeded inputs, and the comparison of two ways to compute one thing.

use crate::base::Seed;
use candle_core::{Device, Result, Tensor, Var};
use rand::Rng as _;

/// Seeded numbers in [−1, 1).
pub fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Seed(seed).rng();
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Values and gradients of `ours` and `stock` agree for these inputs, and `ours` agrees with finite differences.
pub fn assert_same_function(
    inputs: &[Tensor],
    ours: impl Fn(&[Tensor]) -> Result<Tensor>,
    stock: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (value, grads) = evaluate(inputs, &ours);
    let (stock_value, stock_grads) = evaluate(inputs, &stock);
    assert_close(&value, &stock_value, "value");
    for (i, (a, b)) in grads.iter().zip(&stock_grads).enumerate() {
        assert_close(a, b, &format!("gradient {i}"));
        assert_finite_difference(inputs, i, a, &ours);
    }
}

/// A fixed weighting of the output, so that the gradient arriving at an operation is not constant.
fn weighted_sum(out: &Tensor) -> Tensor {
    (out * random(out.dims(), 99)).unwrap().sum_all().unwrap()
}

fn evaluate(inputs: &[Tensor], f: &impl Fn(&[Tensor]) -> Result<Tensor>) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let out = f(&tensors).unwrap();
    let grads = weighted_sum(&out).backward().unwrap();
    (out, vars.iter().map(|v| grads.get(v).expect("every input has a gradient").clone()).collect())
}

fn assert_close(a: &Tensor, b: &Tensor, what: &str) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (i, (x, y)) in flat(a).into_iter().zip(flat(b)).enumerate() {
        assert!((x - y).abs() <= 2e-5 + 1e-4 * y.abs(), "{what} [{i}]: {x} and {y}");
    }
}

/// The directional derivative along one random direction, by central differences.
fn assert_finite_difference(inputs: &[Tensor], which: usize, grad: &Tensor, f: &impl Fn(&[Tensor]) -> Result<Tensor>) {
    const STEP: f64 = 1e-3;
    let direction = random(inputs[which].dims(), 7);
    let at = |step: f64| {
        let mut moved = inputs.to_vec();
        moved[which] = (&inputs[which] + (&direction * step).unwrap()).unwrap();
        f64::from(weighted_sum(&f(&moved).unwrap()).to_scalar::<f32>().unwrap())
    };
    let measured = (at(STEP) - at(-STEP)) / (2.0 * STEP);
    let claimed = f64::from((grad * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
    assert!((measured - claimed).abs() <= 0.02 + 0.03 * claimed.abs(), "input {which}: {measured} and {claimed}");
}
