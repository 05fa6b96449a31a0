//! `x·Wᵀ + b`, optionally followed by ReLU: the operation most of the network's time is spent in.
//!
//! Two things beyond an ordinary linear layer save whole passes over the data. It can use a range of the weight's
//! rows, so that the stacked q, k and v projections of an attention are one parameter as in a checkpoint. And its
//! bias can be a table of P rows that repeats over the rows of x: a position embedding that is added before the
//! projection becomes a part of that table, computed once instead of once per sample.

use super::lanes::{add_assign, wide};
use super::matmul::{Matrix, Output, append_matmul, matmul};
use super::sink::gradient_of;
use super::storage::{slice, tensor_like, with_slice};
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use std::ops::Range;

/// What follows the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// max(0, ·)
    Relu,
}

/// A whole linear layer: see [`linear_rows`].
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    linear_rows(x, weight, 0..weight.dim(0)?, bias, activation)
}

/// `activation(x · weight[rows]ᵀ + bias)`.
///
/// # Shapes
/// x `[…, I]` (N rows in all), weight `[O, I]`, rows of length L in `0..O`, bias `[L]` or `[P, L]` with P dividing
/// N; row r of x gets row `r mod P` of the bias → `[…, L]`
pub fn linear_rows(
    x: &Tensor,
    weight: &Tensor,
    rows: Range<usize>,
    bias: &Tensor,
    activation: Activation,
) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let n = x.elem_count() / inputs.max(1);
    let period = bias.elem_count() / rows.len().max(1);
    if x.dim(D::Minus1)? != inputs || rows.is_empty() || rows.end > outputs {
        bail!("x {:?} does not fit rows {rows:?} of weight {:?}", x.shape(), weight.shape());
    }
    if bias.dim(D::Minus1)? != rows.len() || period == 0 || !n.is_multiple_of(period) {
        bail!("bias {:?} does not fit {n} rows of {} numbers", bias.shape(), rows.len());
    }
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Linear { rows, activation });
    }
    stock(x, weight, rows, bias, activation)
}

fn stock(x: &Tensor, weight: &Tensor, rows: Range<usize>, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let inputs = x.dim(D::Minus1)?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = rows.len();
    }
    let weight = weight.narrow(0, rows.start, rows.len())?;
    let y = x.reshape(((), inputs))?.matmul(&weight.t()?)?;
    let bias = bias.reshape(((), rows.len()))?;
    let period = bias.dim(0)?;
    let y = y.reshape(((), period, rows.len()))?.broadcast_add(&bias)?.reshape(shape)?;
    match activation {
        Activation::Identity => Ok(y),
        Activation::Relu => y.relu(),
    }
}

struct Linear {
    rows: Range<usize>,
    activation: Activation,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let (_, inputs) = l2.shape().dims2()?;
        let (n, outputs) = (x.len() / inputs, self.rows.len());
        let mut y = Vec::with_capacity(n * outputs);
        for _ in 0..n * outputs / bias.len() {
            y.extend_from_slice(bias);
        }
        let weight = &weight[self.rows.start * inputs..self.rows.end * inputs];
        let (left, right) = (Matrix::rows(x, inputs), Matrix::transposed(weight, inputs));
        matmul((n, outputs, inputs), left, right, &mut y, outputs, Output::Add);
        if self.activation == Activation::Relu {
            wide(|| y.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { 0.0 }));
        }
        let mut shape = l1.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        Ok((CpuStorage::F32(y), Shape::from(shape)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grads = (None, None, None);
        with_slice(x, |xs| {
            with_slice(weight, |ws| {
                with_slice(out, |ys| {
                    with_slice(grad, |gs| {
                        let masked = (self.activation == Activation::Relu).then(|| relu_gradient(gs, ys));
                        let gs = masked.as_deref().unwrap_or(gs);
                        grads.0 = x.track_op().then(|| self.gradient_of_x(xs.len(), ws, gs));
                        grads.1 = Some(gradient_of(weight, |d| self.add_gradient_of_weight(xs, gs, d)));
                        grads.2 = Some(gradient_of(bias, |d| {
                            wide(|| gs.chunks_exact(d.len()).for_each(|g| add_assign(d, g)));
                        }));
                    })
                })
            })
        })????;
        let (d_x, d_weight, d_bias) = grads;
        Ok((
            d_x.map(|d| tensor_like(d, x)).transpose()?,
            d_weight.transpose()?.flatten(),
            d_bias.transpose()?.flatten(),
        ))
    }
}

#[inline(never)]
fn relu_gradient(grad: &[f32], out: &[f32]) -> Vec<f32> {
    wide(|| grad.iter().zip(out).map(|(g, y)| if *y > 0.0 { *g } else { 0.0 }).collect())
}

impl Linear {
    fn gradient_of_x(&self, len: usize, weight: &[f32], grad: &[f32]) -> Vec<f32> {
        let outputs = self.rows.len();
        let n = grad.len() / outputs;
        let inputs = len / n;
        let weight = &weight[self.rows.start * inputs..self.rows.end * inputs];
        let mut d_x = Vec::new();
        let (left, right) = (Matrix::rows(grad, outputs), Matrix::rows(weight, inputs));
        append_matmul((n, inputs, outputs), left, right, &mut d_x);
        d_x
    }

    fn add_gradient_of_weight(&self, x: &[f32], grad: &[f32], d_weight: &mut [f32]) {
        let outputs = self.rows.len();
        let n = grad.len() / outputs;
        let inputs = x.len() / n;
        let d_weight = &mut d_weight[self.rows.start * inputs..self.rows.end * inputs];
        let (left, right) = (Matrix::transposed(grad, outputs), Matrix::rows(x, inputs));
        matmul((outputs, inputs, n), left, right, d_weight, inputs, Output::Add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::testing::{assert_same_function, random};

    #[test]
    fn equals_the_stock_path_with_row_ranges_and_bias_tables() {
        for (shape, outputs, rows, period) in [
            (vec![1, 3], 5, 0..5, 1),
            (vec![2, 4, 6], 9, 3..9, 4),
            (vec![3, 2, 7], 8, 0..4, 2),
            (vec![5, 8], 8, 7..8, 5),
        ] {
            for activation in [Activation::Identity, Activation::Relu] {
                let inputs = *shape.last().unwrap();
                let args = [random(&shape, 1), random(&[outputs, inputs], 2), random(&[period, rows.len()], 3)];
                assert_same_function(
                    &args,
                    |t| linear_rows(&t[0], &t[1], rows.clone(), &t[2], activation),
                    |t| stock(&t[0], &t[1], rows.clone(), &t[2], activation),
                );
            }
        }
    }

    #[test]
    fn a_bias_that_does_not_divide_the_rows_is_an_error() {
        let (x, weight) = (random(&[5, 3], 1), random(&[2, 3], 2));
        assert!(linear(&x, &weight, &random(&[2, 2], 3), Activation::Identity).is_err());
        assert!(linear_rows(&x, &weight, 1..3, &random(&[2], 3), Activation::Identity).is_err());
    }
}
