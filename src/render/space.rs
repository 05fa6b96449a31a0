//! Points, directions and rigid poses: the little vector algebra the renderer needs.
//!
//! World axes as everywhere: x and z span the ground, y is up, and `left` of +x is +z. An object's own frame is
//! `[forward, up, left]`, so that a pose with heading 0 at the origin is the identity.

/// A point or a direction, metres or unitless.
pub type V3 = [f32; 3];

/// The larger of two numbers, `b` if one is none: one instruction, where `f32::max` takes care of more cases.
#[inline(always)]
pub fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller of two numbers, `b` if one is none.
#[inline(always)]
pub fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// Scalar product.
#[inline]
pub fn dot(a: V3, b: V3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `a + b`.
#[inline]
pub fn add(a: V3, b: V3) -> V3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// `a − b`.
#[inline]
pub fn sub(a: V3, b: V3) -> V3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a · k`.
#[inline]
pub fn scale(a: V3, k: f32) -> V3 {
    [a[0] * k, a[1] * k, a[2] * k]
}

/// Cross product.
#[inline]
pub fn cross(a: V3, b: V3) -> V3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// `a` at length 1; a zero vector stays zero.
#[inline]
pub fn unit(a: V3) -> V3 {
    let length = dot(a, a).sqrt();
    if length > 0.0 { scale(a, 1.0 / length) } else { a }
}

/// Sine and cosine as the `libm` crate computes them: the system's differ in the last digit between processors, and a
/// picture's bytes must not.
pub fn sin_cos(angle_rad: f32) -> (f32, f32) {
    libm::sincosf(angle_rad)
}

/// A rigid motion from an object's frame to the world.
#[derive(Debug, Clone, Copy)]
pub struct Pose {
    /// The object's origin in the world.
    pub origin: V3,
    /// The object's three axes in the world, each of length 1.
    pub axes: [V3; 3],
}

impl Pose {
    /// Stands at `origin`, turned by `heading_rad` from +x towards +z.
    #[inline]
    pub fn standing(origin: V3, heading_rad: f32) -> Self {
        let (sin, cos) = sin_cos(heading_rad);
        Self::facing(origin, cos, sin)
    }

    /// Stands at `origin`, facing the direction (`x`, `z`) of length 1.
    #[inline]
    pub fn facing(origin: V3, x: f32, z: f32) -> Self {
        Self { origin, axes: [[x, 0.0, z], [0.0, 1.0, 0.0], [-z, 0.0, x]] }
    }

    /// Stands at `origin`, turned by this many quarter turns from +x towards +z.
    #[inline]
    pub fn quarter_turned(origin: V3, quarters: usize) -> Self {
        let (x, z) = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][quarters % 4];
        Self::facing(origin, x, z)
    }

    /// From a position and a quaternion `[x, y, z, w]`, normalised here.
    pub fn from_quaternion(origin: V3, q: [f32; 4]) -> Self {
        let norm = (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]).sqrt();
        let [x, y, z, w] = if norm > 0.0 { q.map(|v| v / norm) } else { [0.0, 0.0, 0.0, 1.0] };
        Self {
            origin,
            axes: [
                [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + z * w), 2.0 * (x * z - y * w)],
                [2.0 * (x * y - z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + x * w)],
                [2.0 * (x * z + y * w), 2.0 * (y * z - x * w), 1.0 - 2.0 * (x * x + y * y)],
            ],
        }
    }

    /// The world's place of a point of the object's frame.
    #[inline]
    pub fn point(&self, p: V3) -> V3 {
        add(self.origin, self.direction(p))
    }

    /// The world's direction of a direction of the object's frame.
    #[inline]
    pub fn direction(&self, d: V3) -> V3 {
        add(add(scale(self.axes[0], d[0]), scale(self.axes[1], d[1])), scale(self.axes[2], d[2]))
    }

    /// This frame moved to a point of its own.
    #[inline]
    pub fn moved(&self, origin: V3) -> Self {
        Self { origin: self.point(origin), axes: self.axes }
    }

    /// A frame inside this one: at `origin`, its forward axis pitched up by `pitch_up_rad` and its forward axis turned
    /// to the left by `heading_rad`.
    #[inline]
    pub fn child(&self, origin: V3, heading_rad: f32, pitch_up_rad: f32) -> Self {
        let (sin, cos) = sin_cos(heading_rad);
        let (sp, cp) = sin_cos(pitch_up_rad);
        let local = [[cos * cp, sp, sin * cp], [-cos * sp, cp, -sin * sp], [-sin, 0.0, cos]];
        Self { origin: self.point(origin), axes: local.map(|axis| self.direction(axis)) }
    }

    /// A frame whose forward axis leads from `from` to `to` (points of this frame without a sideways difference), and
    /// the distance between the two.
    #[inline]
    pub fn along(&self, from: V3, to: V3) -> (Self, f32) {
        let d = sub(to, from);
        let length = dot(d, d).sqrt();
        let (cos, sin) = if length > 0.0 { (d[0] / length, d[1] / length) } else { (1.0, 0.0) };
        let local = [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]];
        (Self { origin: self.point(from), axes: local.map(|axis| self.direction(axis)) }, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarter_turn_looks_along_z_and_has_minus_x_on_its_left() {
        let pose = Pose::standing([1.0, 0.0, 2.0], std::f32::consts::FRAC_PI_2);
        let p = pose.point([1.0, 0.5, 1.0]);
        assert!((p[0] - 0.0).abs() < 1e-6 && (p[1] - 0.5).abs() < 1e-6 && (p[2] - 3.0).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn a_quaternion_about_y_turns_x_towards_minus_z() {
        let half = std::f32::consts::FRAC_PI_4;
        let pose = Pose::from_quaternion([0.0; 3], [0.0, half.sin(), 0.0, half.cos()]);
        let p = pose.direction([1.0, 0.0, 0.0]);
        assert!(p[0].abs() < 1e-6 && (p[2] + 1.0).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn a_pitched_child_points_up() {
        let child = Pose::standing([0.0; 3], 0.0).child([0.0; 3], 0.0, std::f32::consts::FRAC_PI_2);
        assert!((child.direction([1.0, 0.0, 0.0])[1] - 1.0).abs() < 1e-6);
    }
}
