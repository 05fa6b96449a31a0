//! 2-D convolution, channels last, as patches times weights.
//!
//! A few images at a time are laid out as a matrix of patches (one row per output pixel) that stays in the second
//! cache; forward, weight gradient and input gradient are then one matrix product each.

use super::lanes::{add_assign, wide};
use super::matmul::{Matrix, Output, append_matmul, matmul};
use super::sink::gradient_of;
use super::storage::{slice, tensor_like, with_slice};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use std::cell::RefCell;

/// Patches of this many numbers at most are laid out at once, unless one image has more: 512 KiB.
const PATCH_NUMBERS: usize = 128 * 1024;

/// How the kernel moves over the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moves {
    /// Pixels between two output pixels.
    pub stride: usize,
    /// Rows and columns of zeros around the image.
    pub padding: usize,
    /// Pixels between two columns of the kernel.
    pub dilation: usize,
}

impl Moves {
    /// A kernel without holes.
    pub fn dense(stride: usize, padding: usize) -> Self {
        Self { stride, padding, dilation: 1 }
    }
}

/// Convolves without bias. The gradient with respect to `image` is only computed when something needs it.
///
/// # Shapes
/// image `[B, H, W, C]`, weight `[O, K, K, C]` → `[B, (H + 2·padding − reach) / stride + 1, …, O]` with
/// reach = dilation·(K − 1) + 1
pub fn conv2d(image: &Tensor, weight: &Tensor, moves: Moves) -> Result<Tensor> {
    if image.device().is_cpu() {
        return image.contiguous()?.apply_op2(&weight.contiguous()?, Conv2d(moves));
    }
    stock(image, weight, moves)
}

/// The same with candle's operations. Candle's backward pass fails when height and width leave different numbers of
/// rows over (it looks at the height only), so both sides first get zeros up to the same surplus, which no kernel
/// position reaches beyond what the padding gives anyway.
fn stock(image: &Tensor, weight: &Tensor, Moves { stride, padding, dilation }: Moves) -> Result<Tensor> {
    let mut image = image.permute((0, 3, 1, 2))?;
    let reach = dilation * (weight.dim(1)? - 1) + 1;
    for side in [2, 3] {
        let surplus = (image.dim(side)? + 2 * padding - reach) % stride;
        image = image.pad_with_zeros(side, 0, stride - 1 - surplus)?;
    }
    let weight = weight.permute((0, 3, 1, 2))?.contiguous()?;
    image.contiguous()?.conv2d(&weight, padding, stride, dilation, 1)?.permute((0, 2, 3, 1))?.contiguous()
}

struct Conv2d(Moves);

/// Sizes of one convolution; see [`conv2d`] for the letters.
struct Geometry {
    images: usize,
    height: usize,
    width: usize,
    channels: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    out_height: usize,
    out_width: usize,
}

impl Conv2d {
    fn geometry(&self, image: &Shape, weight: &Shape) -> Result<Geometry> {
        let (images, height, width, channels) = image.dims4()?;
        let (outputs, kernel, kernel_width, weight_channels) = weight.dims4()?;
        let Moves { stride, padding, dilation } = self.0;
        if kernel != kernel_width || channels != weight_channels {
            bail!("image {image:?} cannot be convolved with weight {weight:?}");
        }
        let reach = dilation * (kernel.max(1) - 1) + 1;
        if stride == 0 || dilation == 0 || height + 2 * padding < reach || width + 2 * padding < reach {
            bail!("a kernel of {kernel} does not fit image {image:?} with {:?}", self.0);
        }
        let out_height = (height + 2 * padding - reach) / stride + 1;
        let out_width = (width + 2 * padding - reach) / stride + 1;
        Ok(Geometry {
            images,
            height,
            width,
            channels,
            outputs,
            kernel,
            stride,
            padding,
            dilation,
            out_height,
            out_width,
        })
    }
}

impl Geometry {
    /// Numbers in a patch, K·K·C.
    fn patch(&self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    fn pixels_out(&self) -> usize {
        self.out_height * self.out_width
    }

    fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// How many images are laid out as patches at once.
    fn group(&self) -> usize {
        (PATCH_NUMBERS / (self.pixels_out() * self.patch())).clamp(1, self.images.max(1))
    }

    /// Calls `run(patch_offset, image_offset, len)` for every run of numbers that a patch row shares with one image,
    /// and `blank(patch_offset, len)` for every run that lies outside of it.
    #[inline(always)]
    fn runs(&self, mut run: impl FnMut(usize, usize, usize), mut blank: impl FnMut(usize, usize)) {
        if self.dilation > 1 {
            return self.single_pixels(run, blank);
        }
        let (row_len, c) = (self.kernel * self.channels, self.channels);
        let mut at = 0;
        for oy in 0..self.out_height {
            for ox in 0..self.out_width {
                // Columns of the kernel that lie inside the image: first..last.
                let left = ox * self.stride;
                let first = self.padding.saturating_sub(left);
                let last = (self.width + self.padding).saturating_sub(left).min(self.kernel).max(first);
                for ky in 0..self.kernel {
                    let y = oy * self.stride + ky;
                    if y < self.padding || y >= self.height + self.padding || first == last {
                        blank(at, row_len);
                    } else {
                        let from = ((y - self.padding) * self.width + left + first - self.padding) * c;
                        if first > 0 {
                            blank(at, first * c);
                        }
                        run(at + first * c, from, (last - first) * c);
                        if last < self.kernel {
                            blank(at + last * c, (self.kernel - last) * c);
                        }
                    }
                    at += row_len;
                }
            }
        }
    }

    /// [`Geometry::runs`] of a kernel with holes: every pixel is a run of its own.
    fn single_pixels(&self, mut run: impl FnMut(usize, usize, usize), mut blank: impl FnMut(usize, usize)) {
        let inside = |at: usize, side: usize| at.checked_sub(self.padding).filter(|at| *at < side);
        let mut at = 0;
        for oy in 0..self.out_height {
            for ox in 0..self.out_width {
                for ky in 0..self.kernel {
                    let y = inside(oy * self.stride + ky * self.dilation, self.height);
                    for kx in 0..self.kernel {
                        match (y, inside(ox * self.stride + kx * self.dilation, self.width)) {
                            (Some(y), Some(x)) => run(at, (y * self.width + x) * self.channels, self.channels),
                            (None, _) | (_, None) => blank(at, self.channels),
                        }
                        at += self.channels;
                    }
                }
            }
        }
    }

    fn image_to_patches(&self, image: &[f32], patches: &mut [f32]) {
        let cell = RefCell::new(patches);
        wide(|| {
            self.runs(
                |at, from, len| copy_run(&mut cell.borrow_mut()[at..at + len], &image[from..from + len]),
                |at, len| cell.borrow_mut()[at..at + len].fill(0.0),
            );
        });
    }

    fn add_patches_to_image(&self, patches: &[f32], image: &mut [f32]) {
        wide(|| {
            self.runs(|at, from, len| add_assign(&mut image[from..from + len], &patches[at..at + len]), |_, _| {});
        });
    }

    fn forward(&self, image: &[f32], weight: &[f32]) -> Vec<f32> {
        let (patch, pixels) = (self.patch(), self.pixels_out());
        let mut out = Vec::with_capacity(self.images * pixels * self.outputs);
        with_scratch(|[patches, _]| {
            for first in (0..self.images).step_by(self.group()) {
                let count = self.group().min(self.images - first);
                let patches = at_least(patches, count * pixels * patch);
                for i in 0..count {
                    let image = &image[(first + i) * self.image_len()..][..self.image_len()];
                    self.image_to_patches(image, &mut patches[i * pixels * patch..][..pixels * patch]);
                }
                let rows = count * pixels;
                let (left, right) = (Matrix::rows(patches, patch), Matrix::transposed(weight, patch));
                append_matmul((rows, self.outputs, patch), left, right, &mut out);
            }
        });
        out
    }

    /// Adds to the weight's gradient and returns the image's when asked for.
    fn backward(
        &self,
        image: &[f32],
        weight: &[f32],
        grad: &[f32],
        want_image: bool,
        d_weight: &mut [f32],
    ) -> Option<Vec<f32>> {
        let (patch, pixels, outputs) = (self.patch(), self.pixels_out(), self.outputs);
        let mut d_image = want_image.then(|| vec![0.0; image.len()]);
        with_scratch(|[patches, d_patches]| {
            for first in (0..self.images).step_by(self.group()) {
                let count = self.group().min(self.images - first);
                let rows = count * pixels;
                let grad = &grad[first * pixels * outputs..][..rows * outputs];
                let patches = at_least(patches, rows * patch);
                for i in 0..count {
                    let image = &image[(first + i) * self.image_len()..][..self.image_len()];
                    self.image_to_patches(image, &mut patches[i * pixels * patch..][..pixels * patch]);
                }
                let (left, right) = (Matrix::transposed(grad, outputs), Matrix::rows(patches, patch));
                matmul((outputs, patch, rows), left, right, d_weight, patch, Output::Add);
                if let Some(d_image) = &mut d_image {
                    let d_patches = at_least(d_patches, rows * patch);
                    let (left, right) = (Matrix::rows(grad, outputs), Matrix::rows(weight, patch));
                    matmul((rows, patch, outputs), left, right, d_patches, patch, Output::Replace);
                    for i in 0..count {
                        let image = &mut d_image[(first + i) * self.image_len()..][..self.image_len()];
                        self.add_patches_to_image(&d_patches[i * pixels * patch..][..pixels * patch], image);
                    }
                }
            }
        });
        d_image
    }
}

/// Copies a run. Those of a 3×3 kernel over an RGB image are nine numbers long and so many that a call for each shows.
#[inline(always)]
fn copy_run(to: &mut [f32], from: &[f32]) {
    const RGB_RUN: usize = 9;
    match (<&mut [f32; RGB_RUN]>::try_from(&mut *to), <&[f32; RGB_RUN]>::try_from(from)) {
        (Ok(to), Ok(from)) => *to = *from,
        (Ok(_), Err(_)) | (Err(_), _) => to.copy_from_slice(from),
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d-channels-last"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let geometry = self.geometry(l1.shape(), l2.shape())?;
        let out = geometry.forward(slice(s1, l1)?, slice(s2, l2)?);
        let shape = (geometry.images, geometry.out_height, geometry.out_width, geometry.outputs);
        Ok((CpuStorage::F32(out), Shape::from(shape)))
    }

    fn bwd(
        &self,
        image: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let geometry = self.geometry(image.shape(), weight.shape())?;
        let want_image = image.track_op();
        let mut d_image = None;
        let d_weight = with_slice(image, |x| {
            with_slice(weight, |w| {
                with_slice(grad, |g| gradient_of(weight, |d| d_image = geometry.backward(x, w, g, want_image, d)))
            })
        })????;
        Ok((d_image.map(|d| tensor_like(d, image)).transpose()?, d_weight))
    }
}

thread_local! {
    static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Lends this thread's two scratch buffers, which keep their size from call to call.
fn with_scratch<R>(work: impl FnOnce(&mut [Vec<f32>; 2]) -> R) -> R {
    SCRATCH.with(|scratch| work(&mut scratch.borrow_mut()))
}

fn at_least(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::testing::{assert_same_function, random};

    #[test]
    fn equals_the_stock_path_on_odd_sizes_strides_and_batch_one() {
        for (b, h, w, c, o, k, stride, padding, dilation) in [
            (1, 5, 7, 3, 4, 3, 2, 1, 1),
            (2, 8, 6, 2, 5, 3, 1, 1, 1),
            (3, 9, 12, 4, 3, 3, 2, 1, 1),
            (2, 11, 13, 3, 8, 7, 2, 3, 1),
            (2, 6, 6, 5, 4, 1, 2, 0, 1),
            (1, 4, 4, 2, 3, 1, 1, 0, 1),
            (2, 5, 7, 3, 4, 3, 1, 2, 2),
            (1, 9, 8, 2, 3, 3, 2, 1, 3),
        ] {
            let moves = Moves { stride, padding, dilation };
            let inputs = [random(&[b, h, w, c], 1), random(&[o, k, k, c], 2)];
            assert_same_function(&inputs, |t| conv2d(&t[0], &t[1], moves), |t| stock(&t[0], &t[1], moves));
        }
    }

    #[test]
    fn an_image_without_gradient_gets_none() {
        let image = random(&[1, 4, 4, 3], 1);
        let weight = candle_core::Var::from_tensor(&random(&[2, 3, 3, 3], 2)).unwrap();
        let grads = conv2d(&image, &weight, Moves::dense(1, 1)).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(grads.get(&image).is_none() && grads.get(&weight).is_some());
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let refused = |image: &[usize], weight: &[usize], moves| {
            assert!(conv2d(&random(image, 1), &random(weight, 2), moves).is_err(), "{moves:?}");
        };
        refused(&[1, 4, 4, 3], &[2, 3, 3, 4], Moves::dense(1, 1));
        refused(&[1, 2, 2, 3], &[2, 5, 5, 3], Moves::dense(1, 1));
        refused(&[1, 4, 4, 3], &[2, 3, 3, 3], Moves { dilation: 3, ..Moves::dense(1, 1) });
        refused(&[1, 4, 4, 3], &[2, 3, 3, 3], Moves { dilation: 0, ..Moves::dense(1, 1) });
    }
}
