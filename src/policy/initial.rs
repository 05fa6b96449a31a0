//! Seeded initial parameters. Candle's own CPU generator cannot be seeded, so numbers are drawn here.

use super::PolicyError;
use super::parameters::{Initial, Parameter};
use super::positions;
use crate::base::{Rng, Seed};
use candle_core::{Device, Tensor};
use rand::Rng as _;

/// The tensor a parameter begins with. Each parameter has its own stream, so adding one changes no other.
pub fn initial_tensor(parameter: &Parameter, seed: Seed) -> Result<Tensor, PolicyError> {
    let mut rng = seed.child(&parameter.name, 0).rng();
    let count = parameter.shape.iter().product();
    let values: Vec<f32> = match parameter.initial {
        Initial::Zeros => vec![0.0; count],
        Initial::Ones => vec![1.0; count],
        Initial::Normal => (0..count).map(|_| normal(&mut rng)).collect(),
        Initial::Xavier => {
            let sides: usize = parameter.shape.iter().sum();
            uniform(&mut rng, count, (6.0 / sides as f32).sqrt())
        }
        Initial::Line => {
            let d = parameter.shape.last().copied().unwrap_or(1);
            return Ok(positions::line(count / d.max(1), d)?.reshape(parameter.shape.as_slice())?);
        }
        Initial::FanIn(fan_in) => uniform(&mut rng, count, 1.0 / (fan_in as f32).sqrt()),
        Initial::KaimingFanOut(fan_out) => {
            let deviation = (2.0 / fan_out as f32).sqrt();
            (0..count).map(|_| deviation * normal(&mut rng)).collect()
        }
    };
    Ok(Tensor::from_vec(values, parameter.shape.as_slice(), &Device::Cpu)?)
}

fn uniform(rng: &mut Rng, count: usize, bound: f32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

/// A number of the standard normal distribution (Box and Muller).
pub fn normal(rng: &mut Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut rng = Seed(3).rng();
        let values: Vec<f32> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = values.iter().sum::<f32>() / 20_000.0;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
