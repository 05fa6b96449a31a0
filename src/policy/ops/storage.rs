//! Reading a candle tensor as a plain slice, and making one of a plain vector.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The numbers of one contiguous f32 argument of a custom operation.
pub fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage.as_slice::<f32>(), layout.contiguous_offsets()) {
        (Ok(data), Some((start, end))) => Ok(&data[start..end]),
        (Err(error), _) => Err(error),
        (_, None) => bail!("a custom operation got a tensor that is not contiguous, layout {layout:?}"),
    }
}

/// Runs `read` on the numbers of a CPU tensor of f32, copying them first when they do not lie in order.
pub fn with_slice<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(read(slice(storage, layout)?)),
        Storage::Cuda(_) | Storage::Metal(_) => bail!("a CPU operation got a tensor of another device"),
    }
}

/// A tensor of `like`'s shape and device.
pub fn tensor_like(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}
