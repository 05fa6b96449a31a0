//! The sample buffer: colour and nearness, convex polygons, and the way down to pixels.
//!
//! Colours are packed `0x00RRGGBB`. Nearness is 1/depth, 0 for the background, larger is nearer: it is affine across a
//! plane's picture, so a face needs three numbers and no interpolation of corners.

use super::camera::{NEAR_M, View};
use super::space::{V3, add, dot, scale, sub};

/// The most corners a polygon may have, clipping included.
pub const MAX_CORNERS: usize = 32;

/// A convex polygon, in whatever coordinates its maker says.
#[derive(Debug, Clone, Copy)]
pub struct Polygon {
    corners: [V3; MAX_CORNERS],
    len: usize,
}

impl Polygon {
    /// Takes the corners in order, either way round; those over [`MAX_CORNERS`] are left out.
    pub fn new(corners: impl IntoIterator<Item = V3>) -> Self {
        let mut polygon = Self { corners: [[0.0; 3]; MAX_CORNERS], len: 0 };
        for corner in corners {
            polygon.push(corner);
        }
        polygon
    }

    fn push(&mut self, corner: V3) {
        if self.len < MAX_CORNERS {
            self.corners[self.len] = corner;
            self.len += 1;
        }
    }

    pub fn corners(&self) -> &[V3] {
        &self.corners[..self.len]
    }

    fn map(&self, f: impl Fn(V3) -> V3) -> Self {
        let mut out = *self;
        for corner in &mut out.corners[..out.len] {
            *corner = f(*corner);
        }
        out
    }

    /// What remains where `axis` of the coordinates is at least `limit` (Sutherland and Hodgman).
    pub fn clipped(&self, axis: usize, limit: f32) -> Self {
        if self.corners().iter().all(|c| c[axis] >= limit) {
            return *self;
        }
        let mut out = Self { corners: [[0.0; 3]; MAX_CORNERS], len: 0 };
        for (i, &here) in self.corners().iter().enumerate() {
            let next = self.corners[(i + 1) % self.len];
            let (a, b) = (here[axis] - limit, next[axis] - limit);
            if a >= 0.0 {
                out.push(here);
            }
            if (a >= 0.0) != (b >= 0.0) {
                out.push(add(here, scale(sub(next, here), a / (a - b))));
            }
        }
        out
    }
}

/// Colour and nearness of every sample, row by row.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    pub colour: Vec<u32>,
    nearness: Vec<f32>,
    /// Left and right end of the polygon being filled, per row.
    ends: Vec<(f32, f32)>,
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        let samples = width * height;
        Self {
            width,
            height,
            colour: vec![0; samples],
            nearness: vec![0.0; samples],
            ends: vec![(f32::MAX, f32::MIN); height],
        }
    }

    /// Forgets what is near; colours are overwritten by the background.
    pub fn clear(&mut self) {
        self.nearness.fill(0.0);
    }

    /// The colours of a row.
    pub fn row_mut(&mut self, row: usize) -> &mut [u32] {
        &mut self.colour[row * self.width..(row + 1) * self.width]
    }

    /// Fills a face seen from its front, behind what is nearer already. World coordinates, outward normal.
    pub fn fill_face(&mut self, view: &View, face: &Polygon, normal: V3, colour: u32) {
        let Some(&first) = face.corners().first() else { return };
        // Camera-axes plane n·p = d; d < 0 exactly when the eye is before the face.
        let offset = dot(normal, sub(first, view.eye));
        if offset >= -1e-6 || offset.is_nan() {
            return;
        }
        let n = [dot(normal, view.right), dot(normal, view.down), dot(normal, view.forward)];
        let per_column = n[0] / (view.focal * offset);
        let per_row = n[1] / (view.focal * offset);
        let at_origin = n[2] / offset + per_column * (0.5 - view.centre.0) + per_row * (0.5 - view.centre.1);
        let Some((top, bottom)) = self.trace(view, face) else { return };
        for row in top..bottom {
            let (start, end) = self.span(row);
            if start >= end {
                continue;
            }
            let line = row * self.width;
            let at_start = at_origin + per_row * row as f32 + per_column * start as f32;
            let colours = &mut self.colour[line + start..line + end];
            let depths = &mut self.nearness[line + start..line + end];
            let mut near = at_start;
            for (c, z) in colours.iter_mut().zip(depths) {
                if near > *z {
                    *c = colour;
                    *z = near;
                }
                near += per_column;
            }
        }
    }

    /// Paints a flat polygon over what is there, without depth. World coordinates.
    pub fn paint(&mut self, view: &View, area: &Polygon, mut brush: impl FnMut(usize, usize, &mut [u32])) {
        let Some((top, bottom)) = self.trace(view, area) else { return };
        for row in top..bottom {
            let (start, end) = self.span(row);
            if start < end {
                let line = row * self.width;
                brush(row, start, &mut self.colour[line + start..line + end]);
            }
        }
    }

    /// Projects, and writes each row's ends; the rows covered, if any.
    fn trace(&mut self, view: &View, polygon: &Polygon) -> Option<(usize, usize)> {
        let seen = polygon.map(|p| view.camera_axes(p)).clipped(2, NEAR_M);
        if seen.len < 3 {
            return None;
        }
        let flat = seen.map(|c| {
            let (x, y) = view.project(c);
            [x, y, 0.0]
        });
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for corner in flat.corners() {
            low = low.min(corner[1]);
            high = high.max(corner[1]);
        }
        let top = first_at(low);
        let bottom = first_at(high).min(self.height);
        if top >= bottom {
            return None;
        }
        self.ends[top..bottom].fill((f32::MAX, f32::MIN));
        for (i, &a) in flat.corners().iter().enumerate() {
            let b = flat.corners[(i + 1) % flat.len];
            self.trace_edge(a, b);
        }
        Some((top, bottom))
    }

    fn trace_edge(&mut self, a: V3, b: V3) {
        let (a, b) = if a[1] <= b[1] { (a, b) } else { (b, a) };
        let top = first_at(a[1]);
        let bottom = first_at(b[1]).min(self.height);
        if top >= bottom {
            return;
        }
        let slope = (b[0] - a[0]) / (b[1] - a[1]);
        let mut x = a[0] + slope * (top as f32 + 0.5 - a[1]);
        for end in &mut self.ends[top..bottom] {
            end.0 = end.0.min(x);
            end.1 = end.1.max(x);
            x += slope;
        }
    }

    fn span(&self, row: usize) -> (usize, usize) {
        let (left, right) = self.ends[row];
        let start = first_at(left);
        let end = first_at(right).min(self.width);
        (start, end)
    }

    /// Averages `n`×`n` samples per pixel into interleaved bytes.
    pub fn resolve(&self, n: usize, rgb: &mut [u8]) {
        let pixels_wide = self.width / n;
        if n == 2 {
            for (pair, out) in self.colour.chunks_exact(2 * self.width).zip(rgb.chunks_exact_mut(3 * pixels_wide)) {
                let (upper, lower) = pair.split_at(self.width);
                resolve_pairs(upper, lower, out);
            }
            return;
        }
        let share = (n * n) as u32;
        for (band, out) in self.colour.chunks_exact(n * self.width).zip(rgb.chunks_exact_mut(3 * pixels_wide)) {
            for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                let mut sum = [0_u32; 3];
                for line in band.chunks_exact(self.width) {
                    for c in &line[x * n..(x + 1) * n] {
                        sum[0] += c >> 16 & 255;
                        sum[1] += c >> 8 & 255;
                        sum[2] += c & 255;
                    }
                }
                for (byte, total) in pixel.iter_mut().zip(sum) {
                    *byte = ((total + share / 2) / share) as u8;
                }
            }
        }
    }
}

/// The first sample whose centre is not before `x`: ⌈x − ½⌉, at least 0, and 0 for what is not a number. Without
/// `ceil`, which a portable build has to call.
fn first_at(x: f32) -> usize {
    let shifted = x - 0.5;
    let whole = shifted.clamp(0.0, 1e6) as i32;
    (whole + i32::from(shifted > whole as f32)) as usize
}

/// 2×2 samples to one pixel, red and blue summed side by side in one word.
fn resolve_pairs(upper: &[u32], lower: &[u32], out: &mut [u8]) {
    const RED_BLUE: u32 = 0x00ff_00ff;
    for ((pixel, a), b) in out.chunks_exact_mut(3).zip(upper.chunks_exact(2)).zip(lower.chunks_exact(2)) {
        let rb = (a[0] & RED_BLUE) + (a[1] & RED_BLUE) + (b[0] & RED_BLUE) + (b[1] & RED_BLUE) + 0x0002_0002;
        let g = (a[0] >> 8 & 255) + (a[1] >> 8 & 255) + (b[0] >> 8 & 255) + (b[1] >> 8 & 255) + 2;
        pixel[0] = (rb >> 18) as u8;
        pixel[1] = (g >> 2) as u8;
        pixel[2] = (rb >> 2) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolving_averages_each_channel() {
        let mut canvas = Canvas::new(2, 2);
        canvas.colour = vec![0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0x00ff_ffff];
        let mut rgb = [0; 3];
        canvas.resolve(2, &mut rgb);
        assert_eq!(rgb, [128, 128, 128]);
    }

    #[test]
    fn clipping_keeps_the_part_above_the_limit() {
        let square = Polygon::new([[0.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]);
        let upper = square.clipped(1, 0.0);
        assert_eq!(upper.corners().len(), 4);
        assert!(upper.corners().iter().all(|c| c[1] >= 0.0));
        assert!(square.clipped(1, 2.0).corners().is_empty());
    }
}
