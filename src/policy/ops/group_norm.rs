//! Group normalisation followed by ReLU, channels last (Wu and He, 2018).
//!
//! Per image and channel, everything both passes need is a pair of sums over the pixels; the rest is one multiply
//! and one add per number.

use super::channels::{map, sums};
use super::lanes::wide;
use super::storage::{slice, tensor_like, with_slice};
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use std::sync::{Mutex, PoisonError};

/// Added to the variance, as in torch's GroupNorm.
const EPSILON: f32 = 1e-5;

/// `relu(norm(x)·weight + bias)`, normalised over the pixels and channels of each of `groups` groups.
///
/// # Shapes
/// image `[B, H, W, C]`, weight and bias `[C]` → `[B, H, W, C]`; `groups` divides C
pub fn group_norm_relu(image: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize) -> Result<Tensor> {
    let channels = image.dim(D::Minus1)?;
    if groups == 0 || channels % groups != 0 {
        bail!("{channels} channels cannot be split into {groups} groups");
    }
    if image.device().is_cpu() {
        return image.contiguous()?.apply_op3(
            &weight.contiguous()?,
            &bias.contiguous()?,
            GroupNormRelu { groups, saved: Mutex::default() },
        );
    }
    stock(image, weight, bias, groups)
}

fn stock(image: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize) -> Result<Tensor> {
    let (b, h, w, c) = image.dims4()?;
    let x = image.reshape((b, h * w, groups, c / groups))?;
    let centred = x.broadcast_sub(&x.mean_keepdim((1, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((1, 3))?;
    let x = centred.broadcast_div(&(variance + f64::from(EPSILON))?.sqrt()?)?.reshape((b, h, w, c))?;
    x.broadcast_mul(weight)?.broadcast_add(bias)?.relu()
}

struct GroupNormRelu {
    groups: usize,
    /// Moments of each image, from the forward pass for the backward pass.
    saved: Mutex<Vec<Moments>>,
}

/// Mean and 1/√(variance + ε) of each channel's group, `[C]` each.
struct Moments {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

impl GroupNormRelu {
    /// Sums per channel become means per group, laid out per channel again.
    #[inline(always)]
    fn spread(&self, per_channel: &[f32], count: f32) -> Vec<f32> {
        let size = per_channel.len() / self.groups;
        per_channel
            .chunks_exact(size)
            .flat_map(|group| std::iter::repeat_n(group.iter().sum::<f32>() / count, size))
            .collect()
    }

    #[inline(always)]
    fn moments(&self, image: &[f32], channels: usize) -> Moments {
        let count = (image.len() / self.groups) as f32;
        let [total] = sums(channels, [], [image], |[], [x]| [x]);
        let mean = self.spread(&total, count);
        let [squares] = sums(channels, [&mean], [image], |[mean], [x]| [(x - mean) * (x - mean)]);
        let variance = self.spread(&squares, count);
        Moments { inverse: variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect(), mean }
    }

    #[inline(always)]
    fn forward(&self, image: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) -> Moments {
        let channels = weight.len();
        let m = self.moments(image, channels);
        let scale: Vec<f32> = weight.iter().zip(&m.inverse).map(|(w, i)| w * i).collect();
        let shift: Vec<f32> = (0..channels).map(|c| bias[c] - m.mean[c] * scale[c]).collect();
        map(channels, [&scale, &shift], [image], out, |[scale, shift], [x]| {
            let value = x * scale + shift;
            if value > 0.0 { value } else { 0.0 }
        });
        m
    }

    /// Adds to the gradients of weight and bias and writes that of the image. `grad` is the output's gradient.
    #[inline(always)]
    fn backward(&self, pass: &Pass<'_>, d_image: &mut [f32], d_weight: &mut [f32], d_bias: &mut [f32]) {
        let Pass { image, out, grad, weight, moments: m } = *pass;
        let channels = weight.len();
        let [sum_grad, mut sum_grad_x] = sums(channels, [&m.mean], [image, out, grad], |[mean], [x, y, g]| {
            let g = if y > 0.0 { g } else { 0.0 };
            [g, g * (x - mean)]
        });
        for c in 0..channels {
            sum_grad_x[c] *= m.inverse[c];
            d_weight[c] += sum_grad_x[c];
            d_bias[c] += sum_grad[c];
        }
        let count = (image.len() / self.groups) as f32;
        let weighted = |sums: &[f32]| -> Vec<f32> { sums.iter().zip(weight).map(|(s, w)| s * w).collect() };
        let mean_grad = self.spread(&weighted(&sum_grad), count);
        let mean_grad_x = self.spread(&weighted(&sum_grad_x), count);
        // dx = inverse·(g·weight − mean_grad − x̂·mean_grad_x), gathered as g·a + (x − mean)·b + k.
        let a: Vec<f32> = (0..channels).map(|c| m.inverse[c] * weight[c]).collect();
        let b: Vec<f32> = (0..channels).map(|c| -m.inverse[c] * m.inverse[c] * mean_grad_x[c]).collect();
        let k: Vec<f32> = (0..channels).map(|c| -m.inverse[c] * mean_grad[c]).collect();
        map(channels, [&m.mean, &a, &b, &k], [image, out, grad], d_image, |[mean, a, b, k], [x, y, g]| {
            let g = if y > 0.0 { g } else { 0.0 };
            g * a + (x - mean) * b + k
        });
    }
}

/// What the backward pass reads, of one image.
#[derive(Clone, Copy)]
struct Pass<'a> {
    image: &'a [f32],
    out: &'a [f32],
    grad: &'a [f32],
    weight: &'a [f32],
    moments: &'a Moments,
}

impl CustomOp3 for GroupNormRelu {
    fn name(&self) -> &'static str {
        "group-norm-relu"
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
        let (images, weight, bias) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let (_, h, w, c) = l1.shape().dims4()?;
        if weight.len() != c || bias.len() != c {
            bail!("{c} channels, but {} weights and {} biases", weight.len(), bias.len());
        }
        let mut out = vec![0.0; images.len()];
        let mut saved = Vec::with_capacity(images.len() / (h * w * c));
        wide(|| {
            for (x, y) in images.chunks_exact(h * w * c).zip(out.chunks_exact_mut(h * w * c)) {
                saved.push(self.forward(x, weight, bias, y));
            }
        });
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = saved;
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        image: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, h, w, c) = image.dims4()?;
        let len = h * w * c;
        let mut d_image = vec![0.0; image.elem_count()];
        let (mut d_weight, mut d_bias) = (vec![0.0; c], vec![0.0; c]);
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        with_slice(image, |x| {
            with_slice(out, |y| {
                with_slice(grad, |g| {
                    with_slice(weight, |weight| {
                        wide(|| {
                            for ((i, d), moments) in d_image.chunks_exact_mut(len).enumerate().zip(saved.iter()) {
                                let part = i * len..(i + 1) * len;
                                let (image, out, grad) = (&x[part.clone()], &y[part.clone()], &g[part]);
                                self.backward(
                                    &Pass { image, out, grad, weight, moments },
                                    d,
                                    &mut d_weight,
                                    &mut d_bias,
                                );
                            }
                        });
                    })
                })
            })
        })????;
        Ok((Some(tensor_like(d_image, image)?), Some(tensor_like(d_weight, weight)?), Some(tensor_like(d_bias, bias)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::testing::{assert_same_function, random};

    #[test]
    fn equals_the_stock_path() {
        for (b, h, w, c, groups) in [(1, 3, 5, 8, 4), (3, 4, 4, 6, 1), (2, 1, 3, 16, 8)] {
            let inputs = [random(&[b, h, w, c], 1), random(&[c], 2), random(&[c], 3)];
            assert_same_function(
                &inputs,
                |t| group_norm_relu(&t[0], &t[1], &t[2], groups),
                |t| stock(&t[0], &t[1], &t[2], groups),
            );
        }
    }

    #[test]
    fn channels_must_split_into_the_groups() {
        assert!(group_norm_relu(&random(&[1, 2, 2, 6], 1), &random(&[6], 2), &random(&[6], 3), 4).is_err());
    }
}
