//! Flat quadrilaterals painted over the background, their edges blended by how much of each pixel they cover.
//!
//! A quadrilateral of the world is the set of rays that pass its four edges on the inner side, and each of these tests
//! is linear over the picture, so nothing is clipped, not even behind the eye. Scaled to pixels, the test is also
//! (nearly) the share of a pixel inside that edge; two opposite edges together give a band's share exactly, however
//! thin it is. Along a row only the pixels near an edge are reckoned one by one.

use super::camera::View;
use super::canvas::{Canvas, first_at};
use super::colour::mix;
use super::space::{V3, cross, dot, larger, scale, smaller};

/// How far inside an edge a pixel is, in pixels: `a·x + b·y + c`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    a: f32,
    b: f32,
    c: f32,
}

/// A flat quadrilateral in the picture: edge by edge as [`Edge`] has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quad {
    a: [f32; 4],
    b: [f32; 4],
    c: [f32; 4],
    per_a: [f32; 4],
}

/// One row of a quadrilateral.
struct QuadRow {
    /// Each edge's test at the row's first pixel.
    at: [f32; 4],
    /// The pixels that are covered at all, and those of them that are covered wholly.
    some: (usize, usize),
    whole: (usize, usize),
}

impl Edge {
    /// The edge from `from` to `to`, with `inner` on its inner side; all in camera axes.
    pub fn new(view: &View, from: V3, to: V3, inner: V3) -> Self {
        let normal = cross(from, to);
        let normal = if dot(normal, inner) < 0.0 { scale(normal, -1.0) } else { normal };
        let (a, b) = (normal[0] / view.focal, normal[1] / view.focal);
        // Pixel (x, y) is looked at through its middle.
        let c = normal[2] + a * (0.5 - view.centre.0) + b * (0.5 - view.centre.1);
        let per_pixel = 1.0 / (a.abs() + b.abs()).max(1e-12);
        // An edge along the rows gets a slope too small to see, so that every edge cuts every row somewhere.
        let a = a * per_pixel;
        let a = if a.abs() < 1e-6 { 1e-6_f32.copysign(a) } else { a };
        Self { a, b: b * per_pixel, c: c * per_pixel }
    }

    /// Where in a span of a row, which begins inside or ends outside, the inside ends.
    #[inline(always)]
    fn crossing(&self, row: usize, (start, end): (usize, usize)) -> usize {
        let at_row = self.b * row as f32 + self.c;
        if self.a < 0.0 {
            return first_at(0.5 - at_row / self.a).clamp(start, end);
        }
        if at_row + self.a * start as f32 >= 0.0 { end } else { start }
    }
}

impl Quad {
    /// From its corners in the world, in order, either way round.
    pub fn new(view: &View, corners: [V3; 4]) -> Self {
        let c = corners.map(|p| view.camera_axes(p));
        let edges = [0, 1, 2, 3].map(|i| Edge::new(view, c[i], c[(i + 1) % 4], c[(i + 2) % 4]));
        Self {
            a: edges.map(|edge| edge.a),
            b: edges.map(|edge| edge.b),
            c: edges.map(|edge| edge.c),
            per_a: edges.map(|edge| 1.0 / edge.a),
        }
    }

    #[inline(always)]
    fn row(&self, row: usize, width: usize) -> QuadRow {
        let (mut at, mut some, mut whole) = ([0.0; 4], (0.0, width as f32), (0.0, width as f32));
        for (i, at) in at.iter_mut().enumerate() {
            *at = self.b[i] * row as f32 + self.c[i];
            // Where the test is −½, and where it is +½.
            let (outer, inner) = ((-0.5 - *at) * self.per_a[i], (0.5 - *at) * self.per_a[i]);
            if self.a[i] > 0.0 {
                some.0 = larger(some.0, outer);
                whole.0 = larger(whole.0, inner);
            } else {
                some.1 = smaller(some.1, outer);
                whole.1 = smaller(whole.1, inner);
            }
        }
        let ends = |span: (f32, f32)| {
            let end = first_at(span.1 + 0.5).min(width);
            (first_at(span.0 + 0.5).min(end), end)
        };
        QuadRow { at, some: ends(some), whole: ends(whole) }
    }

    /// Paints one colour over a span of a row's pixels.
    #[inline(always)]
    fn paint_span(&self, canvas: &mut Canvas, row: usize, at: &QuadRow, (start, end): (usize, usize), colour: u32) {
        let from = at.whole.0.clamp(start, end);
        let to = at.whole.1.clamp(from, end);
        if start < from {
            blend(canvas.groups_mut(row, start, from), (start, from), self, &at.at, colour);
        }
        canvas.row_mut(row)[from..to].fill(colour);
        if to < end {
            blend(canvas.groups_mut(row, to, end), (to, end), self, &at.at, colour);
        }
    }

    /// 256 parts of the pixel's share.
    #[inline(always)]
    fn share(&self, at_row: &[f32; 4], x: f32) -> u32 {
        const SHIFT: f32 = 8_388_608.0;
        let inside = |i: usize| smaller(larger(at_row[i] + self.a[i] * x + 0.5, 0.0), 1.0);
        let band = |i: usize| larger(inside(i) + inside(i + 2) - 1.0, 0.0);
        (SHIFT + 256.0 * band(0) * band(1)).to_bits() & 0x1ff
    }
}

impl Canvas {
    /// Paints the rows from `top` to before `bottom` of a quadrilateral.
    pub fn paint(&mut self, quad: &Quad, rows: (usize, usize), colour: u32) {
        self.paint_striped(quad, rows, &[], [colour; 2]);
    }

    /// The same in two colours that take turns: at each seam, in order, from what is outside it to what is inside.
    pub fn paint_striped(&mut self, quad: &Quad, rows: (usize, usize), seams: &[Edge], colours: [u32; 2]) {
        let wide = self.wide;
        wide.run(
            #[inline(always)]
            || self.paint_rows(quad, rows, seams, colours),
        );
    }

    #[inline(always)]
    fn paint_rows(&mut self, quad: &Quad, (top, bottom): (usize, usize), seams: &[Edge], colours: [u32; 2]) {
        for row in top..bottom.min(self.height) {
            let at = quad.row(row, self.width);
            let (start, mut right) = at.some;
            if start >= right {
                continue;
            }
            // The seams run from the row's end to its start: what is inside one is left of it.
            for (i, seam) in seams.iter().enumerate() {
                let left = seam.crossing(row, (start, right));
                if left < right {
                    quad.paint_span(self, row, &at, (left, right), colours[i % 2]);
                    right = left;
                }
            }
            quad.paint_span(self, row, &at, (start, right), colours[seams.len() % 2]);
        }
    }
}

#[inline(always)]
fn blend(pixels: &mut [u32], (start, end): (usize, usize), quad: &Quad, at_row: &[f32; 4], colour: u32) {
    for (x, pixel) in (start as i32..).zip(pixels) {
        let inside = u32::from(x < end as i32).wrapping_neg();
        *pixel = mix(*pixel, colour, quad.share(at_row, x as f32) & inside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::camera::Camera;
    use crate::sim::LoaderState;

    /// The share of white in each pixel after painting, white on black, what a quadrilateral of the floor covers.
    fn painted(corners: [[f32; 2]; 4]) -> (View, Vec<f32>) {
        let view = View::new(&Camera::cab(40, 30), &LoaderState::default());
        let mut canvas = Canvas::new(40, 30, 1);
        canvas.pixels.fill(0);
        let corners = corners.map(|[x, z]| [x, 0.0, z]);
        let rows = view.rows_of(&corners).unwrap();
        canvas.paint(&Quad::new(&view, corners), rows, 0x00ff_ffff);
        (view, canvas.pixels[..40 * 30].iter().map(|p| (p & 255) as f32 / 255.0).collect())
    }

    #[test]
    fn the_area_is_kept_either_way_round() {
        let corners = [[3.0, -1.5], [5.0, -1.0], [4.5, 1.3], [2.5, 0.8]];
        let mut turned = corners;
        turned.reverse();
        for outline in [corners, turned] {
            let (view, shares) = painted(outline);
            let seen = outline.map(|[x, z]| view.project(view.camera_axes([x, 0.0, z])));
            let cross = |i: usize| seen[i].0 * seen[(i + 1) % 4].1 - seen[i].1 * seen[(i + 1) % 4].0;
            let area = 0.5 * (cross(0) + cross(1) + cross(2) + cross(3)).abs();
            let sum: f32 = shares.iter().sum();
            assert!((sum - area).abs() < 0.03 * area, "{sum} of {area}");
        }
    }

    #[test]
    fn a_strip_thinner_than_a_pixel_is_as_pale_as_it_is_thin_wherever_it_lies() {
        for i in 0..10 {
            let x = 5.0 + 0.07 * i as f32;
            let (view, shares) = painted([[x, -1.0], [x + 0.1, -1.0], [x + 0.1, 1.0], [x, 1.0]]);
            let row = |x: f32| view.project(view.camera_axes([x, 0.0, 0.0])).1;
            let height = row(x) - row(x + 0.1);
            let middle: f32 = shares.iter().skip(20).step_by(40).sum();
            assert!(height < 0.4 && (middle - height).abs() < 0.02, "{middle} of {height}");
        }
    }

    #[test]
    fn what_reaches_behind_the_eye_covers_what_lies_before_it() {
        let (_, shares) = painted([[-30.0, -60.0], [-30.0, 60.0], [60.0, 60.0], [60.0, -60.0]]);
        assert!(shares[29 * 40..].iter().all(|&share| share == 1.0));
        assert!(shares[..40].iter().all(|&share| share == 0.0));
    }
}
