//! The network's operations with their gradients: one file each, fast on a CPU, candle's own operations elsewhere.
//!
//! Every public function here takes and returns tensors and picks its path by the device: a candle custom
//! operation with its own backward pass on the CPU, a composition of stock operations on any other device. The
//! tests of each file hold the two paths equal, in values and in gradients.
//!
//! Letters: B images or sequences, H×W pixels, C channels, T tokens, D features, N rows of a matrix.
//! Images are `[B, H, W, C]` (channels last): a convolution's patch is then three runs of memory, and the last
//! feature map already is a list of tokens.

pub mod attention;
pub mod channel_affine;
pub mod conv2d;
pub mod group_norm;
pub mod layer_norm;
pub mod linear;
pub mod max_pool;

mod channels;
mod lanes;
mod matmul;
mod sink;
mod storage;

#[cfg(test)]
pub mod testing;

pub use lanes::{add_assign, dot, wide};
pub use sink::Sink;
pub use storage::with_slice;
