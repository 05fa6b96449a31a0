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
#[inline]
pub(super) fn lego(index: u8) -> [f32; 3] {
    LEGO_COLOURS[usize::from(index) % LEGO_COLOURS.len()].map(f32::from)
}

/// A surface's colour under the light: half-Lambert, so that faces turned away still differ.
#[inline]
pub(super) fn shade(colour: [f32; 3], normal: V3) -> [f32; 3] {
    shade_by(colour, dot(normal, SUN))
}

/// The same, told the cosine between the surface's normal and the sun.
#[inline]
pub(super) fn shade_by(colour: [f32; 3], towards_sun: f32) -> [f32; 3] {
    scaled(colour, 0.73 + 0.33 * towards_sun)
}

/// Every channel times `k`.
#[inline]
pub(super) fn scaled(colour: [f32; 3], k: f32) -> [f32; 3] {
    colour.map(|c| c * k)
}

/// From `a` at 0 to `b` at 1.
pub(super) fn blend(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

/// `0x00BBGGRR`, each channel held within a byte: in memory the order of RGB bytes.
#[inline]
pub(super) fn pack(colour: [f32; 3]) -> u32 {
    let [r, g, b] = colour.map(|c| (c + 0.5).clamp(0.0, 255.0) as u32);
    b << 16 | g << 8 | r
}

/// Red and blue of a packed colour.
pub(super) const RED_BLUE: u32 = 0x00ff_00ff;

/// Green of a packed colour.
pub(super) const GREEN: u32 = 0x0000_ff00;

/// `share` of 256 parts of `over`, the rest of `under`.
#[inline(always)]
pub(super) fn mix(under: u32, over: u32, share: u32) -> u32 {
    let keep = 256 - share;
    let red_blue = ((under & RED_BLUE) * keep + (over & RED_BLUE) * share + 0x0080_0080) >> 8 & RED_BLUE;
    let green = ((under & GREEN) * keep + (over & GREEN) * share + 0x8000) >> 8 & GREEN;
    red_blue | green
}
