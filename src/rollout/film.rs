//! A clip of one scene for people: the arena from above, the cab's view in a corner, a caption.
//!
//! What is filmed is a repetition of the recorded actions, so that a clip shows exactly the run that was judged.

use super::replay::Replay;
use super::{RolloutError, SceneSet};
use crate::render::{Clip, RolloutView};
use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{Action, WorldState};

/// Size of the clip in pixels: what a chat shows without scaling.
const SIZE_PX: (usize, usize) = (480, 320);
/// One control step in this many becomes a frame …
pub(super) const STEPS_PER_FRAME: usize = 4;
/// … and the clip shows as many seconds in one.
const TIME_LAPSE: f32 = 4.0;
/// Frames in a second of a clip.
pub(super) const FPS: f32 = TIME_LAPSE / (CONTROL_STEP_S * STEPS_PER_FRAME as f32);

/// Films a recorded run of one scene of the set, at four times its speed, for at most `max_seconds` of its time.
///
/// # Errors
/// When the set has no such scene or a frame cannot be drawn.
pub fn film(set: &SceneSet, scene: u32, actions: &[Action], max_seconds: f32) -> Result<Clip, RolloutError> {
    let (family, start) = set.scene(scene)?;
    let mut view = RolloutView::new(SIZE_PX.0, SIZE_PX.1);
    let (width, height) = view.size();
    let mut clip = Clip::new(width, height, FPS);
    let mut frame = vec![0; view.frame_len()];
    let shown = &actions[..actions.len().min((max_seconds / CONTROL_STEP_S).round() as usize)];
    let mut replay = Replay::new(&start, shown)?;
    for step in 0..=shown.len() {
        if step.is_multiple_of(STEPS_PER_FRAME) || step == shown.len() {
            let state = replay.state();
            let caption = format!("{} · scene {scene} · {}", family.title, standing(state));
            view.draw(state, Some(&caption), &mut frame)?;
            clip.push(&frame)?;
        }
        replay.advance();
    }
    Ok(clip)
}

fn standing(state: &WorldState) -> String {
    let seconds = state.step as f32 * CONTROL_STEP_S;
    format!("{seconds:.0} s · {} in the box", delivered(state))
}

/// `1/3`
pub(super) fn delivered(state: &WorldState) -> String {
    format!("{}/{}", state.bricks.len() - state.remaining(), state.bricks.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Pilot, RolloutOptions, drive};
    use super::*;
    use crate::base::EvaluationSeed;

    #[test]
    fn a_film_has_a_frame_for_every_fourth_step_and_ends_in_time() {
        let set = SceneSet { seed: EvaluationSeed(3), families: vec![], bricks: 1, scenes: 2 };
        let (_, trace) = drive(&Pilot::Expert, &set, 1, &RolloutOptions::default()).unwrap();
        assert_eq!(film(&set, 1, &trace.actions, 2.0).unwrap().len(), 6);
        assert!(film(&set, 2, &trace.actions, 2.0).is_err());
    }
}
