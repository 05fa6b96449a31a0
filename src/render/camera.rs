//! Where the picture is taken from, and how a point becomes a pixel.
//!
//! A camera never rolls: its right axis is level. That is what makes floor rows linear, which the floor's painter
//! lives on. [`View`] is a camera placed in one state of the world; picture coordinates are in pixels.

use super::canvas::first_at;
use super::colour::SUN;
use super::polygon::{Corner, Outline};
use super::space::{Pose, V3, add, cross, dot, scale, sin_cos, sub, unit};
use crate::sim::LoaderState;
use crate::sim::geometry::{CAB_FORWARD_M, CAB_FOV_RAD, CAB_HEIGHT_M, CAB_PITCH_DOWN_RAD, WALL_HEIGHT_M, WALL_M};

/// Width and height are held within `1..=MAX_SIDE_PX`.
pub const MAX_SIDE_PX: usize = 4096;

/// Nothing nearer to the eye than this is drawn.
pub const NEAR_M: f32 = 0.05;

/// What carries the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mount {
    /// The loader's cab: the policy's eye.
    Cab,
    /// A fixed tripod, for people.
    World { eye_m: V3, target_m: V3 },
}

/// A pinhole camera with square pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    pub(super) width_px: usize,
    pub(super) height_px: usize,
    /// Focal length in pixels.
    pub(super) focal_px: f32,
    /// Samples per pixel along each axis where objects are.
    pub(super) samples: usize,
    /// Where the optical axis meets the picture, from its middle, in pixels.
    pub(super) shift_px: (f32, f32),
    pub(super) mount: Mount,
    /// Whether arms, bucket and load are left out of the picture.
    pub(super) hides_bucket: bool,
}

impl Camera {
    /// The policy's eye: in the cab, 2.0 m high, 30° down, 90° wide; 2×2 samples per pixel where objects are.
    pub fn cab(width: usize, height: usize) -> Camera {
        let (width_px, height_px) = (width.clamp(1, MAX_SIDE_PX), height.clamp(1, MAX_SIDE_PX));
        let focal_px = 0.5 * width_px as f32 / libm::tanf(0.5 * CAB_FOV_RAD);
        Camera {
            width_px,
            height_px,
            focal_px,
            samples: 2,
            shift_px: (0.0, 0.0),
            mount: Mount::Cab,
            hides_bucket: false,
        }
    }

    /// The same camera with arms, bucket and load left out of the picture: what a policy is without sight of them.
    pub fn without_bucket(self) -> Camera {
        Camera { hides_bucket: true, ..self }
    }

    /// For people: three quarters from above, just far enough away that the whole arena is in the picture;
    /// 3×3 samples per pixel.
    pub fn spectator(width: usize, height: usize) -> Camera {
        Self::framing_arena(width, height, (0.5, 0.5))
    }

    /// A spectator whose spare room lies where `align` says: `(0.5, 0.5)` on all sides, `(0, 1)` above and right.
    pub(super) fn framing_arena(width: usize, height: usize, align: (f32, f32)) -> Camera {
        let (width_px, height_px) = (width.clamp(1, MAX_SIDE_PX), height.clamp(1, MAX_SIDE_PX));
        let narrow_fov_rad = 0.5_f32;
        let focal_px = 0.5 * width_px.min(height_px) as f32 / libm::tanf(0.5 * narrow_fov_rad);
        let towards_eye = unit([-0.34, 0.66, -0.72]);
        let place = |distance_m: f32| {
            let target_m = [0.0, 0.0, 0.0];
            let mount = Mount::World { eye_m: add(target_m, scale(towards_eye, distance_m)), target_m };
            Camera { width_px, height_px, focal_px, samples: 3, shift_px: (0.0, 0.0), mount, hides_bucket: false }
        };
        let spare = |camera: &Camera| {
            let (low, high) = camera.arena_px();
            let margin = 0.03 * width_px.min(height_px) as f32;
            let room = |side: usize, length: usize| length as f32 - 2.0 * margin - (high[side] - low[side]);
            (low, margin, [room(0, width_px), room(1, height_px)])
        };
        // The nearest distance at which the arena's picture fits, by halving; from 20 m on no corner is behind the eye.
        let (mut near_m, mut far_m) = (20.0_f32, 4000.0_f32);
        for _ in 0..32 {
            let middle_m = 0.5 * (near_m + far_m);
            let fits = spare(&place(middle_m)).2.iter().all(|&room| room >= 0.0);
            if fits { far_m = middle_m } else { near_m = middle_m }
        }
        let camera = place(far_m);
        let (low, margin, room) = spare(&camera);
        let shift_px = (margin + align.0 * room[0] - low[0], margin + align.1 * room[1] - low[1]);
        Camera { shift_px, ..camera }
    }

    /// The smallest rectangle of the picture, in pixels, that holds the arena: its upper left and lower right corner.
    fn arena_px(&self) -> ([f32; 2], [f32; 2]) {
        let view = View::new(self, &LoaderState::default());
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        let out = WALL_M + 0.2;
        for (x, z) in [(-out, -out), (-out, out), (out, -out), (out, out)] {
            for y in [0.0, WALL_HEIGHT_M] {
                let (px, py) = view.project(view.camera_axes([x, y, z]));
                for (side, value) in [px, py].into_iter().enumerate() {
                    low[side] = low[side].min(value);
                    high[side] = high[side].max(value);
                }
            }
        }
        (low, high)
    }

    /// `(width, height)` in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width_px, self.height_px)
    }
}

/// A camera standing in the world. Camera axes are right, down, forward; picture coordinates are in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub eye: V3,
    pub right: V3,
    pub down: V3,
    pub forward: V3,
    pub focal: f32,
    pub centre: (f32, f32),
    pub width: usize,
    pub height: usize,
    /// Samples per pixel along each axis.
    pub samples: usize,
    /// Towards the sun, in camera axes.
    pub sun: V3,
    /// Whether this is the policy's eye, which draws no cab around itself.
    pub in_cab: bool,
}

impl View {
    pub fn new(camera: &Camera, loader: &LoaderState) -> View {
        let (eye, forward) = match camera.mount {
            Mount::Cab => {
                let pose = Pose::standing([loader.x_m, 0.0, loader.z_m], loader.heading_rad);
                let (sin, cos) = sin_cos(CAB_PITCH_DOWN_RAD);
                (pose.point([CAB_FORWARD_M, CAB_HEIGHT_M, 0.0]), pose.direction([cos, -sin, 0.0]))
            }
            Mount::World { eye_m, target_m } => (eye_m, unit(sub(target_m, eye_m))),
        };
        // Left of +x is +z, so right = up × forward in these axes.
        let right = unit(cross([0.0, 1.0, 0.0], forward));
        let down = cross(right, forward);
        let down = if down[1] > 0.0 { scale(down, -1.0) } else { down };
        let (width, height) = (camera.width_px, camera.height_px);
        View {
            eye,
            right,
            down,
            forward,
            focal: camera.focal_px,
            centre: (0.5 * width as f32 + camera.shift_px.0, 0.5 * height as f32 + camera.shift_px.1),
            width,
            height,
            samples: camera.samples,
            sun: [dot(SUN, right), dot(SUN, down), dot(SUN, forward)],
            in_cab: camera.mount == Mount::Cab,
        }
    }

    /// A point of the world in camera axes.
    #[inline]
    pub fn camera_axes(&self, p: V3) -> V3 {
        self.camera_direction(sub(p, self.eye))
    }

    /// A direction of the world in camera axes.
    #[inline]
    pub fn camera_direction(&self, d: V3) -> V3 {
        [dot(d, self.right), dot(d, self.down), dot(d, self.forward)]
    }

    /// A point of the world as an outline's corner.
    #[inline]
    pub fn corner(&self, p: V3) -> Corner {
        let [right, down, forward] = self.camera_axes(p);
        [right, down, forward, p[1]]
    }

    /// A point in camera axes, before the eye, in the picture.
    #[inline]
    pub fn project(&self, c: V3) -> (f32, f32) {
        let k = self.focal / c[2];
        (self.centre.0 + c[0] * k, self.centre.1 + c[1] * k)
    }

    /// How many pixels a length at this point covers; 0 behind the eye.
    #[inline]
    pub fn px_of(&self, at: V3, length_m: f32) -> f32 {
        let depth = dot(sub(at, self.eye), self.forward);
        if depth > NEAR_M { length_m * self.focal / depth } else { 0.0 }
    }

    /// The rows that a flat quadrilateral may cover, from … to before …, if any.
    pub fn rows_of(&self, corners: &[V3; 4]) -> Option<(usize, usize)> {
        let (width, height) = (self.width as f32, self.height as f32);
        let (cx, cy) = self.centre;
        let c = corners.map(|p| self.camera_axes(p));
        // Wholly beyond one side of the picture, or behind the eye?
        let beyond = |outside: &dyn Fn(&V3) -> f32| c.iter().all(|p| outside(p) < 0.0);
        if beyond(&|p| p[2] - NEAR_M)
            || beyond(&|p| p[0] * self.focal + cx * p[2])
            || beyond(&|p| (width - cx) * p[2] - p[0] * self.focal)
            || beyond(&|p| p[1] * self.focal + cy * p[2])
            || beyond(&|p| (height - cy) * p[2] - p[1] * self.focal)
        {
            return None;
        }
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for p in Outline::new(&c.map(|[x, y, z]| [x, y, z, 0.0])).before_eye_above_floor().corners() {
            let y = self.project([p[0], p[1], p[2]]).1;
            (low, high) = (low.min(y), high.max(y));
        }
        let (top, bottom) = (first_at(low - 0.5), first_at(high + 0.5).min(self.height));
        (top < bottom).then_some((top, bottom))
    }

    /// Whether a ball may be in the picture. Never says no wrongly.
    #[inline]
    pub fn may_see(&self, centre: V3, radius_m: f32) -> bool {
        let c = self.camera_axes(centre);
        if c[2] + radius_m <= NEAR_M || c[2].is_nan() {
            return false;
        }
        // Distance to the four side planes of the pyramid of sight.
        let side = |offset: f32, half: f32| {
            let norm = (self.focal * self.focal + half * half).sqrt();
            (offset.abs() * self.focal - c[2] * half) / norm <= radius_m
        };
        side(c[0], self.centre.0.max(self.width as f32 - self.centre.0))
            && side(c[1], self.centre.1.max(self.height as f32 - self.centre.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cab_sees_the_floor_ahead_and_left_is_left() {
        let view = View::new(&Camera::cab(96, 72), &LoaderState::default());
        let ahead = view.project(view.camera_axes([4.0, 0.0, 0.0]));
        assert!((ahead.0 - 48.0).abs() < 1e-3 && (0.0..72.0).contains(&ahead.1), "{ahead:?}");
        let left = view.project(view.camera_axes([4.0, 0.0, 1.0]));
        assert!(left.0 < ahead.0);
        // The lowered bucket's lip is in the picture.
        let lip = view.project(view.camera_axes([crate::sim::geometry::BUCKET_LIP_M, 0.0, 0.0]));
        assert!((0.0..72.0).contains(&lip.1), "{lip:?}");
    }

    #[test]
    fn the_spectator_sees_every_corner_at_any_shape() {
        for (width, height) in [(480, 320), (320, 240), (200, 600), (64, 64)] {
            let (low, high) = Camera::spectator(width, height).arena_px();
            assert!(low[0] > 0.0 && low[1] > 0.0, "{width}×{height}: {low:?}");
            assert!(high[0] < width as f32 && high[1] < height as f32, "{width}×{height}: {high:?}");
        }
    }
}
