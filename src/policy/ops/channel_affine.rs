//! What a frozen batch normalisation is: a fixed factor and shift per channel, followed by an optional shortcut
//! connection and ReLU. The factors are buffers of the network and get no gradient.

use super::lanes::wide;
use super::linear::Activation;
use super::storage::{slice, tensor_like, with_slice};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Result, Shape, Tensor, bail};

/// The factor and the shift of each channel.
#[derive(Debug, Clone)]
pub struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    /// # Shapes
    /// scale and shift `[C]`
    pub fn new(scale: Vec<f32>, shift: Vec<f32>) -> Self {
        Self { scale, shift }
    }
}

/// `activation(image·scale + shift + shortcut)`.
///
/// # Shapes
/// image and shortcut `[B, H, W, C]` → the same
pub fn channel_affine(
    image: &Tensor,
    affine: &Affine,
    shortcut: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    let channels = image.dim(D::Minus1)?;
    if affine.scale.len() != channels || affine.shift.len() != channels {
        bail!("{} factors do not fit the channels of {:?}", affine.scale.len(), image.shape());
    }
    if shortcut.is_some_and(|s| s.dims() != image.dims()) {
        bail!("the shortcut {:?} does not fit {:?}", shortcut.map(Tensor::shape), image.shape());
    }
    if !image.device().is_cpu() {
        return stock(image, affine, shortcut, activation);
    }
    let op = ChannelAffine { affine: affine.clone(), activation };
    match shortcut {
        Some(shortcut) => image.contiguous()?.apply_op2(&shortcut.contiguous()?, op),
        None => image.contiguous()?.apply_op1(op),
    }
}

fn stock(image: &Tensor, affine: &Affine, shortcut: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
    let row = |values: &[f32]| Tensor::from_slice(values, values.len(), image.device());
    let mut out = image.broadcast_mul(&row(&affine.scale)?)?.broadcast_add(&row(&affine.shift)?)?;
    if let Some(shortcut) = shortcut {
        out = (out + shortcut)?;
    }
    match activation {
        Activation::Identity => Ok(out),
        Activation::Relu => out.relu(),
    }
}

struct ChannelAffine {
    affine: Affine,
    activation: Activation,
}

impl ChannelAffine {
    fn forward(&self, image: &[f32], shortcut: Option<&[f32]>) -> CpuStorage {
        let Affine { scale, shift } = &self.affine;
        let channels = scale.len();
        let relu = self.activation == Activation::Relu;
        let mut out = image.to_vec();
        wide(|| {
            for (i, row) in out.chunks_exact_mut(channels).enumerate() {
                for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
                    *value = *value * scale + shift;
                }
                if let Some(shortcut) = shortcut {
                    row.iter_mut().zip(&shortcut[i * channels..]).for_each(|(value, s)| *value += s);
                }
                if relu {
                    row.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { 0.0 });
                }
            }
        });
        CpuStorage::F32(out)
    }

    /// The gradient that reaches the sum before the activation.
    fn gradient_of_sum(&self, out: &Tensor, grad: &Tensor) -> Result<Vec<f32>> {
        with_slice(out, |out| {
            with_slice(grad, |grad| match self.activation {
                Activation::Identity => grad.to_vec(),
                Activation::Relu => {
                    wide(|| grad.iter().zip(out).map(|(g, y)| if *y > 0.0 { *g } else { 0.0 }).collect())
                }
            })
        })?
    }

    fn gradient_of_image(&self, d_sum: &[f32]) -> Vec<f32> {
        let mut d_image = d_sum.to_vec();
        wide(|| {
            for row in d_image.chunks_exact_mut(self.affine.scale.len()) {
                row.iter_mut().zip(&self.affine.scale).for_each(|(d, scale)| *d *= scale);
            }
        });
        d_image
    }
}

impl CustomOp1 for ChannelAffine {
    fn name(&self) -> &'static str {
        "channel-affine"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((self.forward(slice(storage, layout)?, None), layout.shape().clone()))
    }

    fn bwd(&self, image: &Tensor, out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let d_sum = self.gradient_of_sum(out, grad)?;
        tensor_like(self.gradient_of_image(&d_sum), image).map(Some)
    }
}

impl CustomOp2 for ChannelAffine {
    fn name(&self) -> &'static str {
        "channel-affine-shortcut"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((self.forward(slice(s1, l1)?, Some(slice(s2, l2)?)), l1.shape().clone()))
    }

    fn bwd(
        &self,
        image: &Tensor,
        shortcut: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let d_sum = self.gradient_of_sum(out, grad)?;
        let d_image = tensor_like(self.gradient_of_image(&d_sum), image)?;
        Ok((Some(d_image), Some(tensor_like(d_sum, shortcut)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::testing::{assert_same_function, random};

    fn affine(channels: usize) -> Affine {
        let numbers = |seed| random(&[channels], seed).to_vec1::<f32>().unwrap();
        Affine::new(numbers(3), numbers(4))
    }

    #[test]
    fn equals_the_stock_path_with_and_without_shortcut() {
        for (shape, activation) in [([1, 3, 5, 3], Activation::Relu), ([2, 2, 2, 9], Activation::Identity)] {
            let affine = affine(shape[3]);
            let inputs = [random(&shape, 1), random(&shape, 2)];
            assert_same_function(
                &inputs,
                |t| channel_affine(&t[0], &affine, Some(&t[1]), activation),
                |t| stock(&t[0], &affine, Some(&t[1]), activation),
            );
            assert_same_function(
                &inputs[..1],
                |t| channel_affine(&t[0], &affine, None, activation),
                |t| stock(&t[0], &affine, None, activation),
            );
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let image = random(&[1, 2, 2, 3], 1);
        assert!(channel_affine(&image, &affine(4), None, Activation::Relu).is_err());
        assert!(channel_affine(&image, &affine(3), Some(&random(&[1, 2, 1, 3], 1)), Activation::Relu).is_err());
    }
}
