//! Fixed measures of the arena and the loader that simulator, expert and renderer share.
//!
//! Metres. Chosen for this project; the arena, the box's place and the bicycle model are the mission's.

/// Walls stand at ±this on both ground axes.
pub const WALL_M: f32 = 8.0;
/// Height of the walls.
pub const WALL_HEIGHT_M: f32 = 1.0;
/// Centre of the open box on both ground axes.
pub const BOX_CENTRE_M: f32 = -6.0;
/// Half the box's outer side.
pub const BOX_HALF_M: f32 = 0.8;
/// Thickness of the box's sides.
pub const BOX_SIDE_M: f32 = 0.05;
/// Height of the box's rim.
pub const BOX_HEIGHT_M: f32 = 0.6;
/// Distance between the axles.
pub const WHEELBASE_M: f32 = 1.2;
/// Half the body's width.
pub const BODY_HALF_WIDTH_M: f32 = 0.42;
/// The body reaches from this far behind the rear axle …
pub const BODY_REAR_M: f32 = -0.4;
/// … to this far before it.
pub const BODY_FRONT_M: f32 = 1.0;
/// The bucket begins here, forward of the rear axle, when its floor is level.
pub const BUCKET_BACK_M: f32 = 1.25;
/// The bucket's lip, forward of the rear axle.
pub const BUCKET_LIP_M: f32 = 1.9;
/// Half the bucket's inner width.
pub const BUCKET_HALF_WIDTH_M: f32 = 0.42;
/// The bucket's lip is rounded: at the very front it is only this wide on either side.
pub const BUCKET_LIP_HALF_WIDTH_M: f32 = 0.3;
/// How far the bucket's side plates reach from its back towards the lip.
pub const BUCKET_SIDE_M: f32 = 0.3;
/// Height of the bucket's back plate.
pub const BUCKET_HEIGHT_M: f32 = 0.35;
/// The highest the bucket's floor goes.
pub const LIFT_MAX_M: f32 = 1.3;
/// Bucket tilt at ±1, in radians about its hinge at the back of its floor: +1 curls the lip up.
pub const TILT_MAX_RAD: f32 = 0.9;
/// Fastest speed, forward and in reverse.
pub const SPEED_MAX_MPS: f32 = 1.5;
/// Largest steering angle.
pub const STEERING_MAX_RAD: f32 = 0.610_9;
/// The cab camera, forward of the rear axle.
pub const CAB_FORWARD_M: f32 = 0.3;
/// The cab camera's height.
pub const CAB_HEIGHT_M: f32 = 2.0;
/// The cab camera looks down by this angle.
pub const CAB_PITCH_DOWN_RAD: f32 = std::f32::consts::FRAC_PI_6;
/// The cab camera's horizontal field of view.
pub const CAB_FOV_RAD: f32 = std::f32::consts::FRAC_PI_2;
/// One control step.
pub const CONTROL_STEP_S: f32 = 0.1;
/// Physics steps in one control step.
pub const PHYSICS_STEPS_PER_CONTROL: u32 = 6;
