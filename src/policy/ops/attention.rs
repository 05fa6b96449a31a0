//! The core of multi-head attention, `softmax(q·kᵀ/√d_head)·v`, on projections as they come out of one product.
//!
//! q, k and v are read in place from stacked projections, head by head, without splitting or transposing them.

use super::lanes::{dot, exp, max, sum, wide};
use super::matmul::{Matrix, Output, matmul};
use super::storage::{slice, tensor_like, with_slice};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::{Mutex, PoisonError};

/// What may be hidden from an attention. Letters as in [`self_attention`].
#[derive(Debug, Clone, Default)]
pub struct Masks {
    /// `[B, T_keys]`, true where a key must not be looked at. A row must leave at least one key.
    pub ignored_keys: Option<Vec<bool>>,
    /// `[B, heads, T_queries, T_keys]`, factors on the attention weights: dropout's 0 or 1/(1 − p).
    pub weight_factors: Option<Vec<f32>>,
}

/// Attention of a sequence to itself.
///
/// # Shapes
/// qkv `[B, T, 3·D]` (q, k, v side by side) → `[B, T, D]`; `heads` divides D
pub fn self_attention(qkv: &Tensor, heads: usize, masks: Masks) -> Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    let d = width / 3;
    let sizes = Sizes::new(batch, tokens, tokens, d, heads, &masks)?;
    if qkv.device().is_cpu() {
        let place = |part| Place { buffer: 0, offset: part * d, row: 3 * d, batch: tokens * 3 * d };
        let places = Places { q: place(0), k: place(1), v: place(2) };
        return qkv.contiguous()?.apply_op1(Attention::new(sizes, places, masks));
    }
    let part = |i: usize| qkv.narrow(D::Minus1, i * d, d);
    stock(&part(0)?, &part(1)?, &part(2)?, heads, &masks)
}

/// Attention of queries to another sequence. Queries of batch size 1 are shared by all B sequences.
///
/// # Shapes
/// q `[B or 1, T_queries, D]`, kv `[B, T_keys, 2·D]` (k, v side by side) → `[B, T_queries, D]`
pub fn cross_attention(q: &Tensor, kv: &Tensor, heads: usize, masks: Masks) -> Result<Tensor> {
    let (query_batch, queries, d) = q.dims3()?;
    let (batch, keys, width) = kv.dims3()?;
    if width != 2 * d || (query_batch != batch && query_batch != 1) {
        bail!("queries {:?} do not fit keys and values {:?}", q.shape(), kv.shape());
    }
    let sizes = Sizes::new(batch, queries, keys, d, heads, &masks)?;
    if q.device().is_cpu() {
        let query_step = if query_batch == batch { queries * d } else { 0 };
        let places = Places {
            q: Place { buffer: 0, offset: 0, row: d, batch: query_step },
            k: Place { buffer: 1, offset: 0, row: 2 * d, batch: keys * 2 * d },
            v: Place { buffer: 1, offset: d, row: 2 * d, batch: keys * 2 * d },
        };
        return q.contiguous()?.apply_op2(&kv.contiguous()?, Attention::new(sizes, places, masks));
    }
    let q = q.broadcast_as((batch, queries, d))?;
    stock(&q, &kv.narrow(D::Minus1, 0, d)?, &kv.narrow(D::Minus1, d, d)?, heads, &masks)
}

/// q `[B, T_queries, D]`, k and v `[B, T_keys, D]`.
fn stock(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, masks: &Masks) -> Result<Tensor> {
    let (batch, queries, d) = q.dims3()?;
    let keys = k.dim(1)?;
    let split = |x: &Tensor, tokens: usize| {
        x.contiguous()?.reshape((batch, tokens, heads, d / heads))?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (split(q, queries)?, split(k, keys)?, split(v, keys)?);
    let mut scores = (q.matmul(&k.t()?)? * (heads as f64 / d as f64).sqrt())?;
    if let Some(ignored) = &masks.ignored_keys {
        let bias: Vec<f32> = ignored.iter().map(|ignored| if *ignored { f32::NEG_INFINITY } else { 0.0 }).collect();
        scores = scores.broadcast_add(&Tensor::from_vec(bias, (batch, 1, 1, keys), q.device())?)?;
    }
    let mut weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
    if let Some(factors) = &masks.weight_factors {
        weights = (weights
            * Tensor::from_vec(factors.clone(), (batch, heads, queries, keys), &Device::Cpu)?
                .to_device(q.device())?)?;
    }
    weights.matmul(&v)?.transpose(1, 2)?.contiguous()?.reshape((batch, queries, d))
}

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    queries: usize,
    keys: usize,
    d: usize,
    heads: usize,
}

impl Sizes {
    fn new(batch: usize, queries: usize, keys: usize, d: usize, heads: usize, masks: &Masks) -> Result<Self> {
        if heads == 0 || d == 0 || !d.is_multiple_of(heads) || keys == 0 {
            bail!("{d} features and {keys} keys cannot be split into {heads} heads");
        }
        let wrong_keys = masks.ignored_keys.as_ref().is_some_and(|m| m.len() != batch * keys);
        let wrong_factors = masks.weight_factors.as_ref().is_some_and(|m| m.len() != batch * heads * queries * keys);
        if wrong_keys || wrong_factors {
            bail!("a mask does not fit {batch} sequences, {heads} heads, {queries} queries, {keys} keys");
        }
        Ok(Self { batch, queries, keys, d, heads })
    }

    fn head(&self) -> usize {
        self.d / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head() as f32).sqrt()
    }

    /// Attention weights of one head of one sequence.
    fn weights(&self) -> usize {
        self.queries * self.keys
    }

    fn each_head(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let heads = self.heads;
        (0..self.batch).flat_map(move |b| (0..heads).map(move |h| (b, h)))
    }
}

/// Where one of q, k, v lies in the arguments.
#[derive(Clone, Copy)]
struct Place {
    buffer: usize,
    offset: usize,
    row: usize,
    batch: usize,
}

#[derive(Clone, Copy)]
struct Places {
    q: Place,
    k: Place,
    v: Place,
}

impl Place {
    /// Index of the first number of a head, whose size is `head`.
    fn start(&self, (b, h): (usize, usize), head: usize) -> usize {
        self.offset + b * self.batch + h * head
    }

    fn rows<'a>(&self, buffers: &[&'a [f32]], at: (usize, usize), head: usize) -> Matrix<'a> {
        Matrix::rows(&buffers[self.buffer][self.start(at, head)..], self.row)
    }

    fn transposed<'a>(&self, buffers: &[&'a [f32]], at: (usize, usize), head: usize) -> Matrix<'a> {
        Matrix::transposed(&buffers[self.buffer][self.start(at, head)..], self.row)
    }
}

struct Attention {
    sizes: Sizes,
    places: Places,
    masks: Masks,
    /// Attention weights after the softmax, before the factors, `[B, heads, T_queries, T_keys]`.
    saved: Mutex<Vec<f32>>,
}

impl Attention {
    fn new(sizes: Sizes, places: Places, masks: Masks) -> Self {
        Self { sizes, places, masks, saved: Mutex::default() }
    }

    fn factors(&self, index: usize) -> Option<&[f32]> {
        let len = self.sizes.weights();
        self.masks.weight_factors.as_ref().map(|factors| &factors[index * len..(index + 1) * len])
    }

    fn forward(&self, buffers: &[&[f32]]) -> (CpuStorage, Shape) {
        let Self { sizes, places, .. } = self;
        let Sizes { batch, queries, keys, d, .. } = *sizes;
        let head = sizes.head();
        let mut out = vec![0.0; batch * queries * d];
        let mut saved = vec![0.0; batch * sizes.heads * sizes.weights()];
        let mut dropped = Vec::new();
        for (index, (at, weights)) in sizes.each_head().zip(saved.chunks_exact_mut(sizes.weights())).enumerate() {
            let (q, k) = (places.q.rows(buffers, at, head), places.k.transposed(buffers, at, head));
            matmul((queries, keys, head), q, k, weights, keys, Output::Replace);
            if let Some(ignored) = &self.masks.ignored_keys {
                hide(weights, &ignored[at.0 * keys..(at.0 + 1) * keys]);
            }
            let scale = sizes.scale();
            wide(|| weights.chunks_exact_mut(keys).for_each(|row| softmax(row, scale)));
            let weights = match self.factors(index) {
                None => &*weights,
                Some(factors) => {
                    dropped.clear();
                    dropped.extend(weights.iter().zip(factors).map(|(w, f)| w * f));
                    &dropped
                }
            };
            let out = &mut out[at.0 * queries * d + at.1 * head..];
            let (left, right) = (Matrix::rows(weights, keys), places.v.rows(buffers, at, head));
            matmul((queries, head, keys), left, right, out, d, Output::Replace);
        }
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = saved;
        (CpuStorage::F32(out), Shape::from((batch, queries, d)))
    }

    /// Gradients in the shape of `buffers`.
    fn backward(&self, buffers: &[&[f32]], grad: &[f32]) -> Vec<Vec<f32>> {
        let Self { sizes, places, .. } = self;
        let Sizes { queries, keys, d, .. } = *sizes;
        let (head, scale) = (sizes.head(), sizes.scale());
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let mut grads: Vec<Vec<f32>> = buffers.iter().map(|buffer| vec![0.0; buffer.len()]).collect();
        let mut d_weights = vec![0.0; sizes.weights()];
        let mut dropped = Vec::new();
        for (index, (at, weights)) in sizes.each_head().zip(saved.chunks_exact(sizes.weights())).enumerate() {
            let grad = &grad[at.0 * queries * d + at.1 * head..];
            matmul(
                (queries, keys, head),
                Matrix::rows(grad, d),
                places.v.transposed(buffers, at, head),
                &mut d_weights,
                keys,
                Output::Replace,
            );
            let used = match self.factors(index) {
                None => weights,
                Some(factors) => {
                    dropped.clear();
                    dropped.extend(weights.iter().zip(factors).map(|(w, f)| w * f));
                    d_weights.iter_mut().zip(factors).for_each(|(d, f)| *d *= f);
                    &dropped
                }
            };
            let v = &places.v;
            let d_v = &mut grads[v.buffer][v.start(at, head)..];
            matmul(
                (keys, head, queries),
                Matrix::transposed(used, keys),
                Matrix::rows(grad, d),
                d_v,
                v.row,
                Output::Replace,
            );
            wide(|| {
                for (row, d_row) in weights.chunks_exact(keys).zip(d_weights.chunks_exact_mut(keys)) {
                    let mean = dot(row, d_row);
                    d_row.iter_mut().zip(row).for_each(|(d, w)| *d = w * (*d - mean) * scale);
                }
            });
            let (q, k) = (&places.q, &places.k);
            // Shared queries collect the gradients of every sequence.
            let d_q = &mut grads[q.buffer][q.start(at, head)..];
            matmul(
                (queries, head, keys),
                Matrix::rows(&d_weights, keys),
                k.rows(buffers, at, head),
                d_q,
                q.row,
                Output::Add,
            );
            let d_k = &mut grads[k.buffer][k.start(at, head)..];
            matmul(
                (keys, head, queries),
                Matrix::transposed(&d_weights, keys),
                q.rows(buffers, at, head),
                d_k,
                k.row,
                Output::Replace,
            );
        }
        grads
    }
}

fn hide(weights: &mut [f32], ignored: &[bool]) {
    for row in weights.chunks_exact_mut(ignored.len()) {
        row.iter_mut().zip(ignored).filter(|(_, ignored)| **ignored).for_each(|(w, _)| *w = f32::NEG_INFINITY);
    }
}

#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let largest = max(row);
    row.iter_mut().for_each(|w| *w = if *w == f32::NEG_INFINITY { 0.0 } else { exp((*w - largest) * scale) });
    let inverse = 1.0 / sum(row);
    row.iter_mut().for_each(|w| *w *= inverse);
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "self-attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(self.forward(&[slice(storage, layout)?]))
    }

    fn bwd(&self, qkv: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grads = with_slice(qkv, |qkv| with_slice(grad, |grad| self.backward(&[qkv], grad)))??;
        grads.into_iter().next().map(|d| tensor_like(d, qkv)).transpose()
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "cross-attention"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(self.forward(&[slice(s1, l1)?, slice(s2, l2)?]))
    }

    fn bwd(&self, q: &Tensor, kv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grads = with_slice(q, |q| with_slice(kv, |kv| with_slice(grad, |grad| self.backward(&[q, kv], grad))))???;
        let mut grads = grads.into_iter();
        let d_q = grads.next().map(|d| tensor_like(d, q)).transpose()?;
        Ok((d_q, grads.next().map(|d| tensor_like(d, kv)).transpose()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::testing::{assert_same_function, random};

    fn masks(batch: usize, heads: usize, queries: usize, keys: usize) -> Masks {
        Masks {
            ignored_keys: Some((0..batch * keys).map(|i| i % keys != 0 && i % 3 == 1).collect()),
            weight_factors: Some(
                (0..batch * heads * queries * keys).map(|i| if i % 4 == 0 { 0.0 } else { 1.25 }).collect(),
            ),
        }
    }

    #[test]
    fn self_attention_equals_the_stock_path() {
        for (b, t, d, heads) in [(1, 1, 4, 1), (2, 5, 6, 2), (3, 7, 16, 4)] {
            for masks in [Masks::default(), masks(b, heads, t, t)] {
                let part = |t: &Tensor, i: usize| t.narrow(2, i * d, d);
                assert_same_function(
                    &[random(&[b, t, 3 * d], 1)],
                    |t| self_attention(&t[0], heads, masks.clone()),
                    |t| stock(&part(&t[0], 0)?, &part(&t[0], 1)?, &part(&t[0], 2)?, heads, &masks),
                );
            }
        }
    }

    #[test]
    fn cross_attention_equals_the_stock_path_with_own_and_shared_queries() {
        for (query_batch, b, queries, keys, d, heads) in [(1, 1, 2, 3, 4, 2), (1, 3, 4, 5, 8, 2), (3, 3, 4, 5, 8, 4)] {
            for masks in [Masks::default(), masks(b, heads, queries, keys)] {
                assert_same_function(
                    &[random(&[query_batch, queries, d], 1), random(&[b, keys, 2 * d], 2)],
                    |t| cross_attention(&t[0], &t[1], heads, masks.clone()),
                    |t| {
                        let q = t[0].broadcast_as((b, queries, d))?;
                        stock(&q, &t[1].narrow(2, 0, d)?, &t[1].narrow(2, d, d)?, heads, &masks)
                    },
                );
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        assert!(self_attention(&random(&[1, 2, 9], 1), 2, Masks::default()).is_err());
        assert!(cross_attention(&random(&[2, 2, 4], 1), &random(&[3, 2, 8], 1), 2, Masks::default()).is_err());
        let short = Masks { ignored_keys: Some(vec![false]), ..Masks::default() };
        assert!(self_attention(&random(&[1, 2, 12], 1), 2, short).is_err());
    }
}
