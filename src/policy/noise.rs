//! The random part of a forward pass: dropout and the latent's noise, from a seeded generator, or none at all.

use super::initial::normal;
use crate::base::Rng;
use candle_core::{Result, Tensor};
use rand::Rng as _;

/// What a forward pass draws from. Without a generator nothing is dropped and the latent is zero: inference.
pub struct Noise {
    rng: Option<Rng>,
    dropout: f64,
    latent: Option<Vec<f32>>,
}

impl Noise {
    /// No noise: inference.
    pub fn none() -> Self {
        Self { rng: None, dropout: 0.0, latent: None }
    }

    /// The noise of training.
    pub fn training(rng: Rng, dropout: f64) -> Self {
        Self { rng: Some(rng), dropout, latent: None }
    }

    /// Nothing is dropped, and the latent's noise is given: to compare a training pass with somebody else's.
    pub fn given(latent: Vec<f32>) -> Self {
        Self { rng: None, dropout: 0.0, latent: Some(latent) }
    }

    /// Whether anything is dropped.
    pub fn drops(&self) -> bool {
        self.rng.is_some() && self.dropout > 0.0
    }

    /// Factors for `count` activations, 0 or 1/(1 − p); none when nothing is dropped.
    pub fn factors(&mut self, count: usize) -> Option<Vec<f32>> {
        if !self.drops() {
            return None;
        }
        let (p, kept) = (self.dropout, (1.0 / (1.0 - self.dropout)) as f32);
        let rng = self.rng.as_mut()?;
        Some((0..count).map(|_| if rng.random::<f64>() < p { 0.0 } else { kept }).collect())
    }

    /// Drops activations of `x`.
    pub fn drop(&mut self, x: Tensor) -> Result<Tensor> {
        match self.factors(x.elem_count()) {
            Some(factors) => &x * Tensor::from_vec(factors, x.shape(), x.device())?,
            None => Ok(x),
        }
    }

    /// `count` numbers of the standard normal distribution, or those that were given; none at inference.
    pub fn normal(&mut self, count: usize) -> Option<Vec<f32>> {
        if let Some(latent) = &self.latent {
            return Some(latent.clone()).filter(|latent| latent.len() == count);
        }
        let rng = self.rng.as_mut()?;
        Some((0..count).map(|_| normal(rng)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    #[test]
    fn dropout_keeps_the_mean_and_repeats_with_its_seed() {
        let draw = || Noise::training(Seed(1).rng(), 0.1).factors(10_000).unwrap();
        let factors = draw();
        let mean = factors.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 1.0).abs() < 0.02 && factors.contains(&0.0));
        assert_eq!(factors, draw());
        assert!(Noise::none().factors(4).is_none());
    }
}
