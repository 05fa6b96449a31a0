//! Colours and the one light: a high sun, a bright sky, no pure black.

use super::space::{V3, dot};

/// Towards the sun, of length 1.
pub(super) const SUN: V3 = [-0.44, 0.80, -0.408];

/// LEGO's colours by [`BrickState::colour`](crate::sim::BrickState::colour): bright red, bright blue, dark green,
/// bright orange, white, medium azure, bright yellowish green, bright purple. Loader yellow is not among them.
pub const LEGO_COLOURS: [[u8; 3]; 8] = [
    [205, 32, 40],
    [24, 88, 190],
    [22, 128, 66],
    [236, 112, 20],
    [240, 240, 236],
    [54, 174, 214],
    [160, 196, 40],
    [200, 60, 160],
];

/// The LEGO colour of an index, counted round.
pub(super) fn lego(index: u8) -> [f32; 3] {
    LEGO_COLOURS[usize::from(index) % LEGO_COLOURS.len()].map(f32::from)
}

/// A surface's colour under the light: half-Lambert, so that faces turned away still differ.
pub(super) fn shade(colour: [f32; 3], normal: V3) -> [f32; 3] {
    let half = 0.5 + 0.5 * dot(normal, SUN);
    scaled(colour, 0.4 + 0.66 * half)
}

/// Every channel times `k`.
pub(super) fn scaled(colour: [f32; 3], k: f32) -> [f32; 3] {
    colour.map(|c| c * k)
}

/// From `a` at 0 to `b` at 1.
pub(super) fn blend(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

/// `0x00RRGGBB`, each channel held within a byte.
pub(super) fn pack(colour: [f32; 3]) -> u32 {
    let [r, g, b] = colour.map(|c| (c + 0.5).clamp(0.0, 255.0) as u32);
    r << 16 | g << 8 | b
}
