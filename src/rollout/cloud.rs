//! How far visited states lie from the training data: the evidence for covariate shift, or against it.
//!
//! The distance is to the nearest training state, with every number divided by its deviation in the data. What is far
//! is told by the data itself: the distance from a training state to the nearest one of *another* episode.

use super::Spread;
use crate::dataset::StateTable;
use serde::{Deserialize, Serialize};

/// Training states whose own distance is measured.
const PROBES: usize = 1000;

/// Training states to measure distances to.
#[derive(Debug, Clone)]
pub struct StateCloud {
    dim: usize,
    scales: Vec<f32>,
    /// States divided by the scales.
    points: Vec<f32>,
    episodes: Vec<u32>,
}

impl StateCloud {
    /// The cloud of a table of states.
    pub fn new(table: &StateTable) -> Self {
        let dim = table.dim.max(1);
        let scales: Vec<f32> = (0..dim).map(|column| scale(table.states.iter().skip(column).step_by(dim))).collect();
        let points = table.states.iter().zip(scales.iter().cycle()).map(|(value, scale)| value / scale).collect();
        Self { dim, scales, points, episodes: table.episodes.clone() }
    }

    /// Distance from a state, in physical units, to the nearest training state, in deviations; none without data or
    /// for a state of another length.
    pub fn distance(&self, state: &[f32]) -> Option<f32> {
        if state.len() != self.dim {
            return None;
        }
        let scaled: Vec<f32> = state.iter().zip(&self.scales).map(|(value, scale)| value / scale).collect();
        self.nearest(&scaled, |_| true)
    }

    /// Distances from training states to the nearest one of another episode.
    pub fn own_distances(&self) -> Vec<f32> {
        let step = self.episodes.len().div_ceil(PROBES).max(1);
        let probes = self.points.chunks_exact(self.dim).zip(&self.episodes).step_by(step);
        probes.filter_map(|(point, episode)| self.nearest(point, |other| other != *episode)).collect()
    }

    fn nearest(&self, scaled: &[f32], counts: impl Fn(u32) -> bool) -> Option<f32> {
        let points = self.points.chunks_exact(self.dim).zip(&self.episodes);
        let squares = points
            .filter(|(_, episode)| counts(**episode))
            .map(|(point, _)| point.iter().zip(scaled).map(|(a, b)| (a - b) * (a - b)).sum::<f32>());
        squares.reduce(f32::min).map(f32::sqrt)
    }
}

/// A column's deviation; 1 for what hardly varies.
fn scale<'a>(values: impl Iterator<Item = &'a f32> + Clone) -> f32 {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(|value| f64::from(*value)).sum::<f64>() / count;
    let variance = values.map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    if variance > 1e-6 { variance.sqrt() as f32 } else { 1.0 }
}

/// Distances of one group of states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distances {
    /// What the states are of.
    pub name: String,
    /// States measured.
    pub states: u32,
    /// Where most distances lie; none without states.
    pub spread: Option<Spread>,
    /// Share of the states farther from the data than 99 % of the data's states are from other episodes.
    pub off_data: f64,
}

impl Distances {
    /// Distances of a group; `far` is where "off the data" begins.
    pub fn of(name: &str, distances: Vec<f32>, far: f32) -> Self {
        let off = distances.iter().filter(|distance| **distance > far).count();
        Self {
            name: name.to_owned(),
            states: distances.len() as u32,
            off_data: off as f64 / distances.len().max(1) as f64,
            spread: Spread::of(distances),
        }
    }
}

/// Where "off the data" begins: 99 % of the data's own distances are below it.
pub fn far_from_data(own_distances: &[f32]) -> f32 {
    let mut sorted = own_distances.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = (0.99 * (sorted.len().max(1) - 1) as f32).round() as usize;
    sorted.get(at).copied().unwrap_or(f32::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud() -> StateCloud {
        // Two columns of deviations 1 and 100: a grid, half of it in each of two episodes.
        let mut table = StateTable { dim: 2, ..StateTable::default() };
        for row in 0..100 {
            table.states.extend([(row % 10) as f32, 100.0 * (row / 10) as f32]);
            table.episodes.push(row % 2);
        }
        StateCloud::new(&table)
    }

    #[test]
    fn distances_are_counted_in_deviations() {
        let cloud = cloud();
        assert!(cloud.distance(&[3.0, 400.0]).unwrap() < 1e-6);
        let deviation = (99.0_f32 / 12.0).sqrt();
        let (near, far) = (cloud.distance(&[3.5, 400.0]).unwrap(), cloud.distance(&[3.0, 450.0]).unwrap());
        assert!((near - 0.5 / deviation).abs() < 1e-3 && (far - near).abs() < 1e-3, "{near} {far}");
        assert_eq!(cloud.distance(&[1.0]), None);
    }

    #[test]
    fn what_is_far_is_told_by_the_data() {
        let cloud = cloud();
        let own = cloud.own_distances();
        let far = far_from_data(&own);
        assert!(own.iter().all(|distance| *distance > 0.0), "other episodes alone count");
        let visited = [[3.0, 400.0], [30.0, 400.0]].map(|state| cloud.distance(&state).unwrap()).to_vec();
        let distances = Distances::of("visited", visited, far);
        assert_eq!((distances.states, distances.off_data), (2, 0.5));
        assert_eq!(far_from_data(&[]), f32::INFINITY);
    }
}
