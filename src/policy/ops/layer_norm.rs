//! Layer normalisation of a sum, `norm(x + y)`: the step that closes every block of a transformer.

use super::lanes::{add_assign, dot, squared_deviation, sum, wide};
use super::storage::{slice, tensor_like, with_slice};
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use std::sync::{Mutex, PoisonError};

/// Added to the variance, as in torch's LayerNorm.
const EPSILON: f32 = 1e-5;

/// `norm(x + y)·weight + bias` over the last dimension.
///
/// # Shapes
/// y `[…, D]` (N rows in all), x `[…, D]` of P rows with P dividing N, row r of y gets row `r mod P` of x; weight
/// and bias `[D]` → the shape of y
pub fn add_layer_norm(x: &Tensor, y: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let d = y.dim(D::Minus1)?;
    if x.dim(D::Minus1)? != d || x.elem_count() == 0 || !y.elem_count().is_multiple_of(x.elem_count()) {
        bail!("x {:?} does not repeat over y {:?}", x.shape(), y.shape());
    }
    if weight.dims() != [d] || bias.dims() != [d] {
        bail!("{d} features, but weight {:?} and bias {:?}", weight.shape(), bias.shape());
    }
    if y.device().is_cpu() {
        let affine = Tensor::cat(&[weight, bias], 0)?;
        return x.contiguous()?.apply_op3(&y.contiguous()?, &affine, AddLayerNorm::default());
    }
    stock(x, y, weight, bias)
}

/// `norm(x)·weight + bias` over the last dimension of `[…, D]`.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let nothing = Tensor::zeros(x.dim(D::Minus1)?, x.dtype(), x.device())?;
    add_layer_norm(&nothing, x, weight, bias)
}

fn stock(x: &Tensor, y: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let d = y.dim(D::Minus1)?;
    let x = x.reshape(((), d))?;
    let sum = y.reshape(((), x.dim(0)?, d))?.broadcast_add(&x)?.reshape(y.shape())?;
    let centred = sum.broadcast_sub(&sum.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + f64::from(EPSILON))?.sqrt()?)?;
    normed.broadcast_mul(weight)?.broadcast_add(bias)
}

/// Keeps what the forward pass found, for the backward pass.
#[derive(Default)]
struct AddLayerNorm {
    /// The normalised sum, `[N, D]`, then 1/√(variance + ε) of each row, `[N]`.
    saved: Mutex<(Vec<f32>, Vec<f32>)>,
}

impl CustomOp3 for AddLayerNorm {
    fn name(&self) -> &'static str {
        "add-layer-norm"
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
        let (x, y, affine) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let (weight, bias) = affine.split_at(affine.len() / 2);
        let d = weight.len();
        let mut out = vec![0.0; y.len()];
        let mut normed = y.to_vec();
        let mut inverses = vec![0.0; y.len() / d];
        wide(|| {
            normed.chunks_exact_mut(x.len()).for_each(|rows| add_assign(rows, x));
            for ((row, out), inverse) in
                normed.chunks_exact_mut(d).zip(out.chunks_exact_mut(d)).zip(inverses.iter_mut())
            {
                let mean = sum(row) / d as f32;
                *inverse = 1.0 / (squared_deviation(row, mean) / d as f32 + EPSILON).sqrt();
                for (((v, o), w), b) in row.iter_mut().zip(out).zip(weight).zip(bias) {
                    *v = (*v - mean) * *inverse;
                    *o = *v * w + b;
                }
            }
        });
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = (normed, inverses);
        Ok((CpuStorage::F32(out), l2.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        affine: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d = affine.elem_count() / 2;
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let (normed, inverses) = &*saved;
        let mut d_sum = vec![0.0; y.elem_count()];
        let mut d_affine = vec![0.0; 2 * d];
        with_slice(grad, |grad| {
            with_slice(affine, |affine| {
                wide(|| backward(normed, inverses, grad, &affine[..d], &mut d_sum, &mut d_affine))
            })
        })??;
        let d_x = if !x.track_op() {
            None
        } else if x.elem_count() == y.elem_count() {
            Some(tensor_like(d_sum.clone(), x)?)
        } else {
            let mut d_x = vec![0.0; x.elem_count()];
            wide(|| d_sum.chunks_exact(d_x.len()).for_each(|rows| add_assign(&mut d_x, rows)));
            Some(tensor_like(d_x, x)?)
        };
        Ok((d_x, Some(tensor_like(d_sum, y)?), Some(tensor_like(d_affine, affine)?)))
    }
}

/// Writes the gradient of the sum and adds to those of weight and bias, which lie one behind the other.
#[inline(always)]
fn backward(normed: &[f32], inverses: &[f32], grad: &[f32], weight: &[f32], d_sum: &mut [f32], d_affine: &mut [f32]) {
    let d = weight.len();
    let (d_weight, d_bias) = d_affine.split_at_mut(d);
    for (((row, grad), out), inverse) in
        normed.chunks_exact(d).zip(grad.chunks_exact(d)).zip(d_sum.chunks_exact_mut(d)).zip(inverses)
    {
        for j in 0..d {
            d_weight[j] += grad[j] * row[j];
            d_bias[j] += grad[j];
            out[j] = grad[j] * weight[j];
        }
        let mean = sum(out) / d as f32;
        let slope = dot(out, row) / d as f32;
        for (o, v) in out.iter_mut().zip(row) {
            *o = inverse * (*o - mean - v * slope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::testing::{assert_same_function, random};

    #[test]
    fn equals_the_stock_path_with_whole_and_repeating_residuals() {
        for (x, y) in
            [([1, 1, 5], [1, 1, 5]), ([2, 3, 16], [2, 3, 16]), ([1, 3, 9], [4, 3, 9]), ([1, 1, 24], [2, 2, 24])]
        {
            let d = x[2];
            let inputs = [random(&x, 1), random(&y, 2), random(&[d], 3), random(&[d], 4)];
            assert_same_function(
                &inputs,
                |t| add_layer_norm(&t[0], &t[1], &t[2], &t[3]),
                |t| stock(&t[0], &t[1], &t[2], &t[3]),
            );
        }
    }

    /// (1, 2, 3, 4) has mean 2.5 and variance 1.25.
    #[test]
    fn normalises_a_row_to_hand_computed_numbers() {
        let x = Tensor::new(&[[1.0_f32, 2.0, 3.0, 4.0]], &candle_core::Device::Cpu).unwrap();
        let (one, zero) = (x.ones_like().unwrap().get(0).unwrap(), x.zeros_like().unwrap().get(0).unwrap());
        let y = layer_norm(&x, &one, &zero).unwrap().to_vec2::<f32>().unwrap();
        for (y, wanted) in y[0].iter().zip([-1.341_635, -0.447_212, 0.447_212, 1.341_635]) {
            assert!((y - wanted).abs() < 1e-5, "{y} is not {wanted}");
        }
    }
}
