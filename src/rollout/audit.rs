//! The observability audit: is there anything the expert acts on that the policy can neither see nor is told?
//!
//! Every visited state gets *twins* that differ from it in one variable alone: the lift as it was in some other state,
//! the bucket tilted otherwise, the load gone. Where the twin's observation, image and state numbers together, is as
//! good as equal but the expert acts differently, no policy can do right in both: the variable is missing. Looking at
//! the state alone would be wrong in both ways: a lift that is not told may be seen, and one that is told need not be.

use crate::render::{Camera, Renderer};
use crate::sim::geometry::{BUCKET_BACK_M, BUCKET_LIP_M, TILT_MAX_RAD, WALL_M};
use crate::sim::{self, BrickStatus, StatePreset, WorldState};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Two images with a pixel that differs by more grey levels than this look different: a far brick is one pixel.
const LEVELS: u8 = 12;
/// State numbers that differ by less than this share of their deviation are as good as equal.
const SAME_SHARE: f32 = 0.1;
/// An expert action further than this from another, of a range of 2, is another action.
const DIFFERS: f32 = 0.3;
/// A variable is missing when this share of its twins is in conflict. Less is for a moment: a brick goes out of sight
/// behind the bucket's back in about a twelfth of the states in which the expert goes for it.
const MISSING_SHARE: f64 = 0.12;
/// Below so many twins nothing is said of a variable.
const FEWEST_TWINS: u32 = 20;

/// Something that a policy may have to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variable {
    /// Height of the bucket.
    Lift,
    /// Tilt of the bucket.
    Bucket,
    /// Whether a brick is held.
    Load,
    /// Forward speed.
    Speed,
    /// Steering angle.
    Steering,
    /// The brick in view.
    Brick,
}

impl Variable {
    /// Every variable, in the order in which they are reported.
    pub const ALL: &'static [Variable] =
        &[Variable::Lift, Variable::Bucket, Variable::Load, Variable::Speed, Variable::Steering, Variable::Brick];

    /// A word for people and for JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Variable::Lift => "lift",
            Variable::Bucket => "bucket",
            Variable::Load => "load",
            Variable::Speed => "speed",
            Variable::Steering => "steering",
            Variable::Brick => "brick",
        }
    }

    /// `state` with this variable as in `other`; none when that makes no difference worth testing, or no sense.
    fn twin(self, state: &WorldState, other: &WorldState) -> Option<WorldState> {
        let mut twin = state.clone();
        let (loader, theirs) = (&mut twin.loader, &other.loader);
        let far = |a: f32, b: f32, least: f32| (a - b).abs() >= least;
        let differs = match self {
            Variable::Lift => {
                let rise_m = theirs.lift_m.max(lowest_lift(loader.tilt)) - loader.lift_m;
                loader.lift_m += rise_m;
                for brick in twin.bricks.iter_mut().filter(|brick| brick.status == BrickStatus::Held) {
                    brick.position_m[1] += rise_m;
                }
                rise_m.abs() >= 0.15
            }
            Variable::Bucket => {
                let loaded = state.is_loaded();
                // A load falls out of a tipped bucket, and a bucket on the ground cannot tip.
                let lowest = if loaded { 0.0 } else { lowest_tilt(loader.lift_m) };
                loader.tilt = theirs.tilt.max(lowest);
                far(loader.tilt, state.loader.tilt, 0.25)
            }
            Variable::Load => return twin_load(state),
            Variable::Speed => {
                loader.speed_mps = theirs.speed_mps;
                far(theirs.speed_mps, state.loader.speed_mps, 0.3)
            }
            Variable::Steering => {
                loader.steering_rad = theirs.steering_rad;
                far(theirs.steering_rad, state.loader.steering_rad, 0.1)
            }
            Variable::Brick => return twin_brick(state),
        };
        differs.then_some(twin)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The tilt at which the lip of a bucket at this height reaches the ground.
fn lowest_tilt(lift_m: f32) -> f32 {
    let sine = (lift_m / (BUCKET_LIP_M - BUCKET_BACK_M)).min(1.0);
    (-sine.asin() / TILT_MAX_RAD).max(-1.0)
}

/// The height below which a bucket of this tilt would reach into the ground.
fn lowest_lift(tilt: f32) -> f32 {
    -(BUCKET_LIP_M - BUCKET_BACK_M) * (tilt.min(0.0) * TILT_MAX_RAD).sin()
}

/// The load lies out of sight behind the loader; or, with nothing held, a brick that is out of sight is in the bucket.
fn twin_load(state: &WorldState) -> Option<WorldState> {
    let mut twin = state.clone();
    if let Some(held) = state.bricks.iter().position(|brick| brick.status == BrickStatus::Held) {
        twin.bricks[held].status = BrickStatus::Free;
        return out_of_sight(twin, held);
    }
    let hidden = |brick: &sim::BrickState| brick.status == BrickStatus::Free && !sim::visible(state, brick);
    let in_view = state.bricks.iter().any(|brick| brick.status == BrickStatus::Free && sim::visible(state, brick));
    let taken = state.bricks.iter().position(hidden).filter(|_| !in_view && state.loader.tilt > 0.0)?;
    let (x, z) = state.loader_point(BUCKET_BACK_M + 0.3, 0.0);
    twin.bricks[taken].position_m = [x, state.loader.lift_m + 0.12, z];
    twin.bricks[taken].status = BrickStatus::Held;
    Some(twin)
}

/// The only brick in view lies out of sight.
fn twin_brick(state: &WorldState) -> Option<WorldState> {
    if state.is_loaded() {
        return None;
    }
    let seen = |brick: &sim::BrickState| brick.status == BrickStatus::Free && sim::visible(state, brick);
    let mut in_view = state.bricks.iter().enumerate().filter(|(_, brick)| seen(brick)).map(|(index, _)| index);
    let (one, more) = (in_view.next()?, in_view.next());
    if more.is_some() { None } else { out_of_sight(state.clone(), one) }
}

/// The state with a free brick behind the loader, where it cannot be seen; none where there is no room.
fn out_of_sight(mut state: WorldState, brick: usize) -> Option<WorldState> {
    let (x, z) = state.loader_point(-2.5, 0.0);
    if x.abs().max(z.abs()) > WALL_M - 0.3 {
        return None;
    }
    let height_m = state.bricks[brick].half_extents_m[1];
    state.bricks[brick].position_m = [x, height_m, z];
    (!sim::visible(&state, &state.bricks[brick])).then_some(state)
}

/// What was found for one variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The variable.
    pub variable: Variable,
    /// Twins that differ in it.
    pub twins: u32,
    /// Of these, twins whose observation is as good as equal.
    pub alike: u32,
    /// Of these, twins in which the expert acts differently.
    pub conflicts: u32,
    /// The first conflict: the state and its twin.
    #[serde(skip)]
    pub example: Option<Box<[WorldState; 2]>>,
}

impl Finding {
    /// Share of the twins in conflict.
    pub fn share(&self) -> f64 {
        f64::from(self.conflicts) / f64::from(self.twins.max(1))
    }

    /// Whether the policy lacks the variable.
    pub fn is_missing(&self) -> bool {
        self.twins >= FEWEST_TWINS && self.share() >= MISSING_SHARE
    }
}

/// What the audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// States that were examined.
    pub states: u32,
    /// One finding per variable, in the order of [`Variable::ALL`].
    pub findings: Vec<Finding>,
}

impl Audit {
    /// The variables that the policy lacks, the worst first.
    pub fn missing(&self) -> Vec<&Finding> {
        let mut missing: Vec<_> = self.findings.iter().filter(|finding| finding.is_missing()).collect();
        missing.sort_by(|a, b| b.share().total_cmp(&a.share()));
        missing
    }

    /// One sentence.
    pub fn verdict(&self) -> String {
        let missing = self.missing();
        if missing.is_empty() {
            return "nothing is missing: what the expert acts on can be seen or is told".to_owned();
        }
        let named: Vec<String> = missing
            .iter()
            .map(|finding| format!("{} ({:.0} % of twins)", finding.variable, 100.0 * finding.share()))
            .collect();
        format!("missing from image and state together: {}", named.join(", "))
    }
}

/// What the policy observes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observer {
    /// Its camera.
    pub camera: Camera,
    /// The state numbers it is told.
    pub state: StatePreset,
}

/// Examines the states: every variable of each gets a twin.
pub fn audit(states: &[WorldState], observer: &Observer) -> Audit {
    let mut senses = Senses::new(observer, states);
    let mut findings: Vec<Finding> = Variable::ALL
        .iter()
        .map(|variable| Finding { variable: *variable, twins: 0, alike: 0, conflicts: 0, example: None })
        .collect();
    for (index, state) in states.iter().enumerate() {
        // Some other state, never itself: a step coprime to most lengths, so that pairs are spread.
        let other = &states[(index * 7 + 1 + states.len() / 3) % states.len()];
        senses.take(state);
        let own = sim::expert(state).to_array();
        for finding in &mut findings {
            let Some(twin) = finding.variable.twin(state, other) else { continue };
            finding.twins += 1;
            if senses.can_tell(&twin) {
                continue;
            }
            finding.alike += 1;
            let theirs = sim::expert(&twin).to_array();
            if own.iter().zip(theirs).any(|(a, b)| (a - b).abs() > DIFFERS) {
                finding.conflicts += 1;
                finding.example.get_or_insert_with(|| Box::new([state.clone(), twin]));
            }
        }
    }
    Audit { states: states.len() as u32, findings }
}

/// The policy's senses, with one state taken in to compare others with.
struct Senses {
    eye: Renderer,
    preset: StatePreset,
    deviations: Vec<f32>,
    image: Vec<u8>,
    numbers: Vec<f32>,
    other: Vec<u8>,
}

impl Senses {
    fn new(observer: &Observer, states: &[WorldState]) -> Self {
        let eye = Renderer::new(observer.camera);
        let (image, other) = (vec![0; eye.frame_len()], vec![0; eye.frame_len()]);
        let rows: Vec<Vec<f32>> = states.iter().map(|state| state.observation(observer.state)).collect();
        let deviations =
            (0..observer.state.dim()).map(|column| deviation(rows.iter().map(|row| row[column]))).collect();
        Self { eye, preset: observer.state, deviations, image, numbers: Vec::new(), other }
    }

    fn take(&mut self, state: &WorldState) {
        self.eye.render(state, &mut self.image);
        self.numbers = state.observation(self.preset);
    }

    /// Whether another state looks or reads different from the one taken in.
    fn can_tell(&mut self, other: &WorldState) -> bool {
        let numbers = other.observation(self.preset);
        let read = numbers.iter().zip(&self.numbers).zip(&self.deviations);
        if read.clone().any(|((a, b), deviation)| (a - b).abs() > SAME_SHARE * deviation) {
            return true;
        }
        self.eye.render(other, &mut self.other);
        self.image.iter().zip(&self.other).any(|(own, theirs)| own.abs_diff(*theirs) > LEVELS)
    }
}

/// The standard deviation; 1 for what hardly varies, so that rounding is no difference.
fn deviation(values: impl Iterator<Item = f32> + Clone) -> f32 {
    let count = values.clone().count().max(1) as f32;
    let mean = values.clone().sum::<f32>() / count;
    let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
    if variance > 1e-6 { variance.sqrt() } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::super::{Pilot, RolloutOptions, SceneSet, sampled_states};
    use super::*;
    use crate::base::EvaluationSeed;

    fn states() -> Vec<WorldState> {
        let set = SceneSet { seed: EvaluationSeed(21), families: vec![], bricks: 1, scenes: 13 };
        let states = sampled_states(&Pilot::Expert, &set, &RolloutOptions::default(), 12).unwrap();
        assert!(states.len() > 150, "{}", states.len());
        states
    }

    fn missing(camera: Camera, state: StatePreset) -> Vec<Variable> {
        let audit = audit(&states(), &Observer { camera, state });
        let mut missing: Vec<_> = audit.missing().into_iter().map(|finding| finding.variable).collect();
        missing.sort();
        assert_eq!(audit.verdict().contains("nothing"), missing.is_empty());
        missing
    }

    #[test]
    fn the_full_state_with_the_cab_camera_lacks_nothing() {
        assert_eq!(missing(Camera::cab(96, 72), StatePreset::Full), []);
    }

    #[test]
    fn the_nights_state_without_sight_of_the_bucket_lacks_lift_bucket_and_load() {
        let missing = missing(Camera::cab(96, 72).without_bucket(), StatePreset::Seed);
        for variable in [Variable::Lift, Variable::Bucket, Variable::Load] {
            assert!(missing.contains(&variable), "{variable} not in {missing:?}");
        }
        assert!(!missing.contains(&Variable::Brick), "{missing:?}");
    }

    #[test]
    fn what_is_told_need_not_be_seen_and_what_is_seen_need_not_be_told() {
        for (camera, state) in
            [(Camera::cab(96, 72).without_bucket(), StatePreset::Full), (Camera::cab(96, 72), StatePreset::Seed)]
        {
            let missing = missing(camera, state);
            for variable in [Variable::Lift, Variable::Bucket, Variable::Load] {
                assert!(!missing.contains(&variable), "{missing:?}");
            }
        }
    }

    #[test]
    fn a_picture_too_small_to_show_the_brick_is_found() {
        assert!(missing(Camera::cab(4, 3), StatePreset::Full).contains(&Variable::Brick));
    }
}
