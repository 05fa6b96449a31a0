//! Soft shadows on the floor: dark rectangles whose edge is never sharper than a pixel.
//!
//! Far away a shadow is smaller than a pixel. It is then blurred to the pixel's own footprint on the ground and paler
//! in proportion, so that it fades with distance and never jumps in and out between two rows.

use super::camera::View;
use super::canvas::{Canvas, first_at};
use super::colour::{GREEN, RED_BLUE};
use super::ground::{Ground, Line};
use super::space::{Pose, V3, larger, smaller};

/// A soft-edged dark rectangle on the floor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shadow {
    /// Origin on the floor, first axis along the first half extent, third along the second.
    pub pose: Pose,
    /// Half extents of the half-dark line.
    pub half_m: (f32, f32),
    /// Width of the soft edge.
    pub blur_m: f32,
    /// Darkness in the middle, 0 to 1.
    pub strength: f32,
}

/// Along one axis of the rectangle, in one row: the place of pixel `i` is `base + step·i`.
struct Profile {
    base: f32,
    step: f32,
    per_step: f32,
    /// Where darkness begins, from the middle.
    reach_m: f32,
    /// Darkness gained per metre inwards, before it is capped at 1.
    per_m: f32,
    /// How dark the middle is: less than 1 where the rectangle is narrower than a pixel.
    peak: f32,
}

/// One axis of the rectangle as the eye stands to it.
struct Axis {
    /// From the rectangle's middle to the point under the eye.
    eye_m: f32,
    /// The axis' share of the directions ahead and to the right.
    ahead: f32,
    right: f32,
    per_right: f32,
    half_m: f32,
    blur_m: f32,
    /// As far as no row's pixels are coarser than the blur.
    per_m: f32,
    peak: f32,
}

impl Axis {
    fn new(shadow: &Shadow, ground: &Ground, axis: V3, half_m: f32) -> Self {
        let along = |d: [f32; 2]| d[0] * axis[0] + d[1] * axis[2];
        let origin = shadow.pose.origin;
        let right = along(ground.right);
        let blur_m = shadow.blur_m.max(1e-3);
        let rise_m = blur_m.min(2.0 * half_m).max(1e-3);
        Self {
            eye_m: along([ground.eye[0] - origin[0], ground.eye[1] - origin[2]]),
            ahead: along(ground.ahead),
            right,
            per_right: 1.0 / right,
            half_m,
            blur_m,
            per_m: 1.0 / rise_m,
            peak: rise_m / blur_m,
        }
    }

    /// In one row. The edge is blurred to at least a pixel's footprint on the ground.
    #[inline(always)]
    fn profile(&self, line: &Line) -> Profile {
        let base = self.eye_m + line.ahead_m * self.ahead + line.aside_m * self.right;
        let step = line.across_m * self.right;
        let per_step = line.per_across * self.per_right;
        let pixel_m = step.abs() + line.depth_m * self.ahead.abs();
        if pixel_m <= self.blur_m {
            let reach_m = self.half_m + 0.5 * self.blur_m;
            return Profile { base, step, per_step, reach_m, per_m: self.per_m, peak: self.peak };
        }
        let rise_m = pixel_m.min(2.0 * self.half_m).max(1e-3);
        let reach_m = self.half_m + 0.5 * pixel_m;
        Profile { base, step, per_step, reach_m, per_m: 1.0 / rise_m, peak: rise_m / pixel_m }
    }
}

impl Profile {
    /// The pixels that are not outside.
    #[inline(always)]
    fn narrow(&self, low: &mut f32, high: &mut f32) {
        let (a, b) = ((-self.reach_m - self.base) * self.per_step, (self.reach_m - self.base) * self.per_step);
        *low = larger(smaller(a, b), *low);
        *high = smaller(larger(a, b), *high);
    }

    #[inline(always)]
    fn cover(&self, i: f32) -> f32 {
        let at = self.base + self.step * i;
        smaller(larger((self.reach_m - at.abs()) * self.per_m, 0.0), 1.0)
    }
}

impl Shadow {
    /// Darkens the floor.
    pub fn paint(&self, canvas: &mut Canvas, view: &View, ground: &Ground) {
        let (a, b) = (self.half_m.0 + 0.5 * self.blur_m, self.half_m.1 + 0.5 * self.blur_m);
        if !view.may_see(self.pose.origin, (a * a + b * b).sqrt()) {
            return;
        }
        let (top, bottom) = self.rows(view, a, b);
        let u = Axis::new(self, ground, self.pose.axes[0], self.half_m.0);
        let v = Axis::new(self, ground, self.pose.axes[2], self.half_m.1);
        let wide = canvas.wide;
        wide.run(
            #[inline(always)]
            || self.paint_rows(canvas, ground, (top, bottom), &u, &v),
        );
    }

    #[inline(always)]
    fn paint_rows(&self, canvas: &mut Canvas, ground: &Ground, (top, bottom): (usize, usize), u: &Axis, v: &Axis) {
        for (row, line, floor) in ground.rows_between(top, bottom) {
            let (p, q) = (u.profile(line), v.profile(line));
            let (mut low, mut high) = (floor.start as f32, floor.end as f32);
            p.narrow(&mut low, &mut high);
            q.narrow(&mut low, &mut high);
            let end = first_at(high + 0.5).min(floor.end);
            let start = first_at(low + 0.5).min(end);
            let strength = 256.0 * self.strength * p.peak * q.peak;
            darken(canvas.groups_mut(row, start, end), (start, end), &p, &q, strength);
        }
    }

    /// The rows that the rectangle touches, one more on either side: there its edge may be blurred to a pixel.
    fn rows(&self, view: &View, a: f32, b: f32) -> (usize, usize) {
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for [p, q] in [[-a, -b], [-a, b], [a, -b], [a, b]] {
            let corner = view.camera_axes(self.pose.point([p, 0.0, q]));
            if corner[2] < super::camera::NEAR_M {
                return (0, view.height);
            }
            let y = view.project(corner).1;
            (low, high) = (low.min(y), high.max(y));
        }
        (first_at(low - 1.0), first_at(high + 1.0).min(view.height))
    }
}

#[inline(always)]
fn darken(pixels: &mut [u32], (start, end): (usize, usize), p: &Profile, q: &Profile, strength: f32) {
    /// Whole numbers are the low digits of a float near 2²³: a cast would be checked, and not vectorised.
    const SHIFT: f32 = 8_388_608.0;
    for (i, pixel) in (start as i32..).zip(pixels) {
        let cover = p.cover(i as f32) * q.cover(i as f32);
        let smooth = cover * cover * (3.0 - 2.0 * cover);
        let inside = u32::from(i < end as i32).wrapping_neg();
        let keep = 256 - ((SHIFT + strength * smooth).to_bits() & 0x1ff & inside);
        *pixel = (((*pixel & RED_BLUE) * keep) >> 8) & RED_BLUE | (((*pixel & GREEN) * keep) >> 8) & GREEN;
    }
}
