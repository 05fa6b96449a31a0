//! Where the gradients of weights go: straight into a training thread's flat gradient.
//!
//! Candle's gradient store clears and adds a tensor for every contribution. Weights are most of what a small batch
//! touches, so a training thread lends its flat gradient to the operations for the time of its backward pass, and
//! they add to the weight's own stretch of it. Without one, or for a tensor that is not in it, they return a tensor
//! as usual.

use super::storage::tensor_like;
use candle_core::{Result, Tensor, TensorId, Var};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

/// A flat gradient and which stretch of it belongs to which variable.
pub struct Sink {
    places: HashMap<TensorId, Range<usize>>,
    gradient: Vec<f32>,
}

thread_local! {
    static CURRENT: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

impl Sink {
    /// A gradient of zeros for `vars`, one behind the other, in `buffer`.
    pub fn new(vars: &[Var], mut buffer: Vec<f32>) -> Sink {
        let mut places = HashMap::with_capacity(vars.len());
        let mut at = 0;
        for var in vars {
            places.insert(var.id(), at..at + var.elem_count());
            at += var.elem_count();
        }
        buffer.clear();
        buffer.resize(at, 0.0);
        Sink { places, gradient: buffer }
    }

    /// Runs `work` (a backward pass on this thread) with this sink and returns both results.
    pub fn collect<R>(self, work: impl FnOnce() -> R) -> (R, Vec<f32>) {
        let before = CURRENT.replace(Some(self));
        let result = work();
        let sink = CURRENT.replace(before);
        (result, sink.map(|sink| sink.gradient).unwrap_or_default())
    }
}

/// Lets `add` add the gradient of `weight` to the numbers it is given: this thread's sink, which answers nothing, or
/// a new tensor of zeros, which is returned.
pub fn gradient_of(weight: &Tensor, add: impl FnOnce(&mut [f32])) -> Result<Option<Tensor>> {
    CURRENT.with_borrow_mut(|sink| {
        if let Some(Sink { places, gradient }) = sink
            && let Some(place) = places.get(&weight.id())
        {
            add(&mut gradient[place.clone()]);
            return Ok(None);
        }
        let mut own = vec![0.0; weight.elem_count()];
        add(&mut own);
        tensor_like(own, weight).map(Some)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ops::linear::{Activation, linear};
    use crate::policy::ops::testing::random;

    #[test]
    fn weights_in_a_sink_get_the_gradient_the_store_would_have_held() {
        let [x, w, b] = [&[3, 4][..], &[2, 4], &[2]].map(|s| Var::from_tensor(&random(s, 1)).unwrap());
        let loss = || {
            // Twice the same weight: contributions add up.
            let y = linear(&x, &w, &b, Activation::Relu).unwrap();
            (y + linear(&x, &w, &b, Activation::Identity).unwrap()).unwrap().sum_all().unwrap()
        };
        let plain = loss().backward().unwrap();
        let sink = Sink::new(&[w.clone(), b.clone()], vec![9.0; 3]);
        let (grads, flat) = sink.collect(|| loss().backward().unwrap());
        assert!(grads.get(&w).is_none() && grads.get(&b).is_none() && grads.get(&x).is_some());
        let wanted: Vec<f32> =
            [&w, &b].iter().flat_map(|v| plain.get(v).unwrap().flatten_all().unwrap().to_vec1().unwrap()).collect();
        assert_eq!(flat, wanted);
    }
}
