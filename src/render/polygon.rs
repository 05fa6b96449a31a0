//! Convex outlines on their way into the picture: corners before the eye, cut off where they leave what can be seen.

use super::camera::NEAR_M;

/// The most corners an outline may have, clipping included.
pub(super) const MAX_CORNERS: usize = 32;

/// A corner in camera axes (right, down, forward), and its height above the floor.
pub(super) type Corner = [f32; 4];

/// A convex outline, its corners in order, either way round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline {
    corners: [Corner; MAX_CORNERS],
    len: usize,
}

impl Outline {
    /// Takes the corners in order; those over [`MAX_CORNERS`] are left out.
    pub fn new(corners: &[Corner]) -> Self {
        let mut outline = Self { corners: [[0.0; 4]; MAX_CORNERS], len: 0 };
        corners.iter().for_each(|&corner| outline.push(corner));
        outline
    }

    fn push(&mut self, corner: Corner) {
        if self.len < MAX_CORNERS {
            self.corners[self.len] = corner;
            self.len += 1;
        }
    }

    pub fn corners(&self) -> &[Corner] {
        &self.corners[..self.len]
    }

    /// What remains where `inside` is not negative (Sutherland and Hodgman); `inside` is linear in the corner.
    fn clipped(self, inside: impl Fn(&Corner) -> f32) -> Self {
        if self.corners().iter().all(|c| inside(c) >= 0.0) {
            return self;
        }
        let mut out = Self { corners: [[0.0; 4]; MAX_CORNERS], len: 0 };
        for (i, here) in self.corners().iter().enumerate() {
            let next = &self.corners[if i + 1 == self.len { 0 } else { i + 1 }];
            let (a, b) = (inside(here), inside(next));
            if a >= 0.0 {
                out.push(*here);
            }
            if (a >= 0.0) != (b >= 0.0) {
                let t = a / (a - b);
                out.push([0, 1, 2, 3].map(|axis| here[axis] + (next[axis] - here[axis]) * t));
            }
        }
        out
    }

    /// What lies before the eye and not under the floor.
    pub fn before_eye_above_floor(self) -> Self {
        self.clipped(|c| c[2] - NEAR_M).clipped(|c| c[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_the_part_above_the_floor() {
        let square = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]].map(|[x, up]| [x, -up, 2.0, up]);
        let upper = Outline::new(&square).before_eye_above_floor();
        assert_eq!(upper.corners().len(), 4);
        assert!(upper.corners().iter().all(|c| c[3] >= 0.0));
        assert!(Outline::new(&square.map(|[x, y, z, up]| [x, y, z, up - 2.0])).before_eye_above_floor().len == 0);
    }
}
