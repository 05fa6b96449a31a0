//! The privileged state: what the simulator knows, in plain values.
//!
//! The renderer draws it, the expert decides on it, the diagnosis reads it; the policy sees only an image and
//! [`observation`](WorldState::observation). Ground plane x/z, y up; metres, seconds, radians. A heading of 0 looks
//! along +x, a positive heading turns towards +z.

use serde::{Deserialize, Serialize};

/// The number of numbers in an [`Action`].
pub const ACTION_DIM: usize = 4;

/// Set-points for one control step of 0.1 s, each in `[-1, 1]`, tracked by rate-limited controllers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Action {
    /// Steering angle: −1 fully towards −z (right of +x), +1 fully towards +z.
    pub steering: f32,
    /// Speed: −1 full reverse, +1 full forward.
    pub throttle: f32,
    /// Bucket tilt: −1 tipped out, +1 curled in.
    pub bucket: f32,
    /// Lift height: −1 on the floor, +1 highest.
    pub lift: f32,
}

impl Action {
    /// `[steering, throttle, bucket, lift]`, the order of the dataset's `action` column.
    pub fn to_array(self) -> [f32; ACTION_DIM] {
        [self.steering, self.throttle, self.bucket, self.lift]
    }

    /// From `[steering, throttle, bucket, lift]`; each value is clamped to `[-1, 1]`, NaN becomes 0.
    pub fn from_array(values: [f32; ACTION_DIM]) -> Self {
        let [steering, throttle, bucket, lift] = values.map(|v| if v.is_nan() { 0.0 } else { v.clamp(-1.0, 1.0) });
        Self { steering, throttle, bucket, lift }
    }
}

/// The wheel loader.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LoaderState {
    /// Position of the rear axle's centre on the ground plane.
    pub x_m: f32,
    /// See [`x_m`](Self::x_m).
    pub z_m: f32,
    /// Heading in `(-π, π]`.
    pub heading_rad: f32,
    /// Forward speed as the controller holds it; negative in reverse.
    pub speed_mps: f32,
    /// Steering angle.
    pub steering_rad: f32,
    /// Height of the bucket's floor above the ground.
    pub lift_m: f32,
    /// Bucket tilt in `[-1, 1]` of its range: −1 tipped out, +1 curled in.
    pub tilt: f32,
    /// Whether the loader touched a wall or the box during the last control step.
    pub touching: bool,
}

/// What a brick is to the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrickStatus {
    /// Lies somewhere on the floor.
    #[default]
    Free,
    /// Held in the bucket.
    Held,
    /// Lies in the box. Counts, and stays.
    Delivered,
}

/// One LEGO brick.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BrickState {
    /// Centre in the world, `[x, y, z]`.
    pub position_m: [f32; 3],
    /// Orientation as a unit quaternion `[x, y, z, w]`.
    pub rotation: [f32; 4],
    /// Half extents along the brick's own axes.
    pub half_extents_m: [f32; 3],
    /// Index into the renderer's LEGO colours.
    pub colour: u8,
    /// Free, held or delivered.
    pub status: BrickStatus,
}

/// Everything about the world at one control step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WorldState {
    /// The loader.
    pub loader: LoaderState,
    /// All bricks of the scene, in a fixed order.
    pub bricks: Vec<BrickState>,
    /// Control steps since the scene began.
    pub step: u32,
}

/// Which numbers the policy is told besides the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatePreset {
    /// `[x, z, rotation, legos_remaining]`, as in the night the project answers to.
    Seed,
    /// Adds speed, steering, lift, bucket and load, and sine and cosine of the heading.
    #[default]
    Full,
}

impl StatePreset {
    /// The names of the numbers, in order, as written into a dataset.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            StatePreset::Seed => &["x", "z", "rotation", "legos_remaining"],
            StatePreset::Full => &[
                "x",
                "z",
                "sin_heading",
                "cos_heading",
                "speed",
                "steering",
                "lift",
                "bucket",
                "load",
                "legos_remaining",
            ],
        }
    }

    /// How many numbers there are.
    pub fn dim(self) -> usize {
        self.names().len()
    }
}

impl WorldState {
    /// Bricks not yet delivered.
    pub fn remaining(&self) -> usize {
        self.bricks.iter().filter(|b| b.status != BrickStatus::Delivered).count()
    }

    /// Whether a brick is in the bucket's hold.
    pub fn is_loaded(&self) -> bool {
        self.bricks.iter().any(|b| b.status == BrickStatus::Held)
    }

    /// The state vector of the preset, in metres, radians, metres per second and counts: normalisation is the policy's.
    pub fn observation(&self, preset: StatePreset) -> Vec<f32> {
        let l = &self.loader;
        let remaining = self.remaining() as f32;
        match preset {
            StatePreset::Seed => vec![l.x_m, l.z_m, l.heading_rad, remaining],
            StatePreset::Full => vec![
                l.x_m,
                l.z_m,
                l.heading_rad.sin(),
                l.heading_rad.cos(),
                l.speed_mps,
                l.steering_rad,
                l.lift_m,
                l.tilt,
                if self.is_loaded() { 1.0 } else { 0.0 },
                remaining,
            ],
        }
    }

    /// A point given in the loader's frame (`forward_m` along the heading, `left_m` towards +z when the heading is 0),
    /// on the ground plane of the world: `(x, z)`.
    pub fn loader_point(&self, forward_m: f32, left_m: f32) -> (f32, f32) {
        let (sin, cos) = self.loader.heading_rad.sin_cos();
        (self.loader.x_m + forward_m * cos - left_m * sin, self.loader.z_m + forward_m * sin + left_m * cos)
    }

    /// A point of the world's ground plane in the loader's frame: `(forward_m, left_m)`.
    pub fn in_loader_frame(&self, x_m: f32, z_m: f32) -> (f32, f32) {
        let (sin, cos) = self.loader.heading_rad.sin_cos();
        let (dx, dz) = (x_m - self.loader.x_m, z_m - self.loader.z_m);
        (dx * cos + dz * sin, -dx * sin + dz * cos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observation_has_the_named_numbers() {
        let state = WorldState::default();
        for preset in [StatePreset::Seed, StatePreset::Full] {
            assert_eq!(state.observation(preset).len(), preset.dim());
        }
    }

    #[test]
    fn loader_frame_and_world_are_inverse() {
        let loader = LoaderState { x_m: 1.0, z_m: -2.0, heading_rad: 0.7, ..LoaderState::default() };
        let state = WorldState { loader, ..WorldState::default() };
        let (x, z) = state.loader_point(1.5, -0.25);
        let (forward, left) = state.in_loader_frame(x, z);
        assert!((forward - 1.5).abs() < 1e-5 && (left + 0.25).abs() < 1e-5);
    }

    #[test]
    fn actions_are_clamped_and_nan_stands_still() {
        assert_eq!(Action::from_array([2.0, f32::NAN, -3.0, 0.5]).to_array(), [1.0, 0.0, -1.0, 0.5]);
    }
}
