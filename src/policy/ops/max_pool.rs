//! Maximum over windows of pixels, channels last: the pooling of a ResNet's stem.
//!
//! Candle's own has no gradient for overlapping windows and a wrong one on odd sides. The forward pass remembers
//! where each maximum was, the backward pass sends the gradient there; of equal values the first one gets it, as in
//! torch.

use super::storage::{slice, tensor_like, with_slice};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::sync::{Mutex, PoisonError};

/// The largest value of each window of `kernel`×`kernel` pixels; what lies outside of the image does not count.
///
/// # Shapes
/// image `[B, H, W, C]` → `[B, (H + 2·padding − kernel) / stride + 1, …, C]`; `padding` at most half of `kernel`
pub fn max_pool(image: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    let (_, height, width, _) = image.dims4()?;
    if stride == 0 || kernel == 0 || 2 * padding > kernel || height.min(width) + 2 * padding < kernel {
        bail!("a window of {kernel} at stride {stride}, padding {padding} does not fit image {:?}", image.shape());
    }
    if image.device().is_cpu() {
        return image.contiguous()?.apply_op1(MaxPool { kernel, stride, padding, places: Mutex::default() });
    }
    stock(image, kernel, stride, padding)
}

/// The same as the maximum over shifted, strided views of the image, padded with its smallest possible value.
fn stock(image: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    let (batch, height, width, channels) = image.dims4()?;
    let out = |side: usize| (side + 2 * padding - kernel) / stride + 1;
    let (out_height, out_width) = (out(height), out(width));
    let lowest = |shape: (usize, usize, usize, usize)| Tensor::full(f32::MIN, shape, image.device());
    // Room for whole strides behind the last window, so that a strided view is a reshape.
    let after = |side: usize, out: usize| out * stride + kernel - (side + padding);
    let (below, right) = (after(height, out_height), after(width, out_width));
    let wide = width + padding + right;
    let rows = Tensor::cat(
        &[&lowest((batch, height, padding, channels))?, image, &lowest((batch, height, right, channels))?],
        2,
    )?;
    let padded =
        Tensor::cat(&[&lowest((batch, padding, wide, channels))?, &rows, &lowest((batch, below, wide, channels))?], 1)?;
    let mut largest: Option<Tensor> = None;
    for dy in 0..kernel {
        for dx in 0..kernel {
            let view = padded.narrow(1, dy, out_height * stride)?.narrow(2, dx, out_width * stride)?.contiguous()?;
            let view = view.reshape(&[batch, out_height, stride, out_width, stride, channels])?;
            let view = view.narrow(2, 0, 1)?.narrow(4, 0, 1)?.contiguous()?;
            let view = view.reshape((batch, out_height, out_width, channels))?;
            largest = Some(match largest {
                None => view,
                Some(largest) => largest.maximum(&view)?,
            });
        }
    }
    largest.ok_or_else(|| candle_core::Error::Msg("an empty window has no maximum".into()))
}

struct MaxPool {
    kernel: usize,
    stride: usize,
    padding: usize,
    /// Index into the image of each output's maximum.
    places: Mutex<Vec<u32>>,
}

impl MaxPool {
    /// Rows (or columns) of the image that the window of output row `out` covers.
    fn span(&self, out: usize, side: usize) -> std::ops::Range<usize> {
        let start = out * self.stride;
        start.saturating_sub(self.padding)..(start + self.kernel).saturating_sub(self.padding).min(side)
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool-channels-last"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let image = slice(storage, layout)?;
        let (batch, height, width, channels) = layout.shape().dims4()?;
        if u32::try_from(image.len()).is_err() {
            bail!("an image batch of {} numbers is too large to be pooled at once", image.len());
        }
        let out = |side: usize| (side + 2 * self.padding - self.kernel) / self.stride + 1;
        let (out_height, out_width) = (out(height), out(width));
        let mut values = vec![f32::NEG_INFINITY; batch * out_height * out_width * channels];
        let mut places = vec![0_u32; values.len()];
        let mut rows = values.chunks_exact_mut(channels).zip(places.chunks_exact_mut(channels));
        for b in 0..batch {
            for oy in 0..out_height {
                for ox in 0..out_width {
                    let Some((largest, place)) = rows.next() else { continue };
                    let mut first = true;
                    for y in self.span(oy, height) {
                        for x in self.span(ox, width) {
                            let at = ((b * height + y) * width + x) * channels;
                            take_larger(&image[at..at + channels], at as u32, first, largest, place);
                            first = false;
                        }
                    }
                }
            }
        }
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
        Ok((CpuStorage::F32(values), Shape::from((batch, out_height, out_width, channels))))
    }

    fn bwd(&self, image: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut d_image = vec![0.0; image.elem_count()];
        with_slice(grad, |grad| {
            for (place, g) in places.iter().zip(grad) {
                d_image[*place as usize] += g;
            }
        })?;
        tensor_like(d_image, image).map(Some)
    }
}

/// Keeps the larger of two pixels, channel by channel; a value that is not a number wins, as in torch.
#[inline(always)]
fn take_larger(pixel: &[f32], at: u32, first: bool, largest: &mut [f32], place: &mut [u32]) {
    for (c, ((value, largest), place)) in pixel.iter().zip(largest).zip(place).enumerate() {
        let larger = first || *value > *largest || value.is_nan();
        *largest = if larger { *value } else { *largest };
        *place = if larger { at + c as u32 } else { *place };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::testing::{assert_same_function, random};

    #[test]
    fn equals_shifted_maxima_on_odd_and_even_sides() {
        for (b, h, w, c, kernel, stride, padding) in
            [(1, 5, 7, 3, 3, 2, 1), (2, 6, 8, 2, 3, 2, 1), (1, 4, 5, 4, 2, 2, 0), (2, 3, 3, 1, 3, 1, 1)]
        {
            // Numbers far enough apart that no other one becomes the largest when all are moved a little.
            let count = b * h * w * c;
            let values: Vec<f32> = (0..count).map(|i| (i * 101 % count) as f32 * 0.05).collect();
            let image = Tensor::from_vec(values, (b, h, w, c), &candle_core::Device::Cpu).unwrap();
            assert_same_function(
                &[image],
                |t| max_pool(&t[0], kernel, stride, padding),
                |t| stock(&t[0], kernel, stride, padding),
            );
        }
    }

    #[test]
    fn equal_values_send_the_gradient_to_the_first() {
        let image = Tensor::ones((1, 5, 5, 1), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let image = candle_core::Var::from_tensor(&image).unwrap();
        let grads = max_pool(&image, 3, 2, 1).unwrap().sum_all().unwrap().backward().unwrap();
        let grad = grads.get(&image).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(grad.iter().sum::<f32>(), 9.0);
        // Windows begin at rows and columns 0, 1 and 3 of the image.
        assert_eq!((grad[0], grad[1], grad[6], grad[3 * 5 + 3]), (1.0, 1.0, 1.0, 1.0));
    }

    #[test]
    fn windows_that_do_not_fit_are_errors() {
        assert!(max_pool(&random(&[1, 4, 4, 1], 1), 3, 0, 1).is_err());
        assert!(max_pool(&random(&[1, 4, 4, 1], 1), 3, 2, 2).is_err());
        assert!(max_pool(&random(&[1, 1, 1, 1], 1), 3, 2, 0).is_err());
    }
}
