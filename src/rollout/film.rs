//! A clip of one scene for people: the arena from above, the cab's view in a corner, a caption.

use super::evaluate::{Judged, Pilot, RolloutOptions};
use super::lockstep::{self, Driver, Eye, Rider};
use super::{RolloutError, SceneSet};
use crate::base::Cancel;
use crate::render::{Clip, RolloutView};
use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{Action, WorldState};
use std::sync::atomic::AtomicU64;

/// Size of the clip in pixels: what a chat shows without scaling.
const SIZE_PX: (usize, usize) = (480, 320);
/// One control step in this many becomes a frame …
const STEPS_PER_FRAME: u32 = 4;
/// … and the clip shows as many seconds in one.
const TIME_LAPSE: f32 = 4.0;

/// Drives one scene of the set and films it, at four times its speed, for at most `max_seconds` of the scene's time.
///
/// # Errors
/// As [`evaluate`](super::evaluate), and when the set has no such scene or a frame cannot be drawn.
pub fn film(
    pilot: &Pilot<'_>,
    set: &SceneSet,
    scene: u32,
    options: &RolloutOptions,
    max_seconds: f32,
) -> Result<Clip, RolloutError> {
    let driver = pilot.driver();
    if let Some(driver) = &driver {
        driver.check()?;
    }
    if scene >= set.scenes {
        return Err(RolloutError::Order(format!("scene {scene} of a set of {}", set.scenes)));
    }
    let scenes = SceneSet { scenes: scene + 1, ..set.clone() }.scenes()?;
    let index = scene as usize;
    let (family, start) = &scenes[index];
    let ended = AtomicU64::new(0);
    let view = RolloutView::new(SIZE_PX.0, SIZE_PX.1);
    let (width, height) = view.size();
    let fps = TIME_LAPSE / (CONTROL_STEP_S * STEPS_PER_FRAME as f32);
    let mut filmed = [Filmed {
        judged: Judged::new(index, &family.name, start, driver.is_some(), options, &ended)?,
        title: format!("{} · scene {scene}", family.title),
        frame: vec![0; view.frame_len()],
        clip: Clip::new(width, height, fps),
        view,
        max_steps: (max_seconds / CONTROL_STEP_S).round() as u32,
    }];
    filmed[0].shoot()?;
    let mut eye = driver.as_ref().map_or_else(|| Eye::new(1, 1), Driver::eye);
    lockstep::run(&mut filmed, driver.as_ref(), &mut eye, &Cancel::default())?;
    let [filmed] = filmed;
    Ok(filmed.clip)
}

/// A judged scene with a camera team.
struct Filmed<'a> {
    judged: Judged<'a>,
    title: String,
    view: RolloutView,
    frame: Vec<u8>,
    clip: Clip,
    max_steps: u32,
}

impl Filmed<'_> {
    fn shoot(&mut self) -> Result<(), RolloutError> {
        let state = self.judged.state();
        let seconds = state.step as f32 * CONTROL_STEP_S;
        let delivered = state.bricks.len() - state.remaining();
        let caption = format!("{} · {seconds:.0} s · {delivered}/{} in the box", self.title, state.bricks.len());
        self.view.draw(state, Some(&caption), &mut self.frame)?;
        self.clip.push(&self.frame)?;
        Ok(())
    }
}

impl Rider for Filmed<'_> {
    type Error = RolloutError;

    fn is_under_way(&self) -> bool {
        self.judged.steps() < self.max_steps && self.judged.is_under_way()
    }

    fn wants_chunk(&self) -> bool {
        self.judged.wants_chunk()
    }

    fn look(&mut self, eye: &mut Eye) -> (Vec<u8>, &WorldState) {
        self.judged.look(eye)
    }

    fn take_chunk(&mut self, actions: &[Action]) {
        self.judged.take_chunk(actions);
    }

    fn step(&mut self, eye: &mut Eye) -> Result<(), RolloutError> {
        self.judged.step(eye)?;
        if self.judged.steps().is_multiple_of(STEPS_PER_FRAME) || !self.is_under_way() {
            self.shoot()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::EvaluationSeed;

    #[test]
    fn a_film_has_a_frame_for_every_fourth_step_and_ends_in_time() {
        let set = SceneSet { seed: EvaluationSeed(3), families: vec![], bricks: 1, scenes: 2 };
        let clip = film(&Pilot::Expert, &set, 1, &RolloutOptions::default(), 2.0).unwrap();
        assert_eq!(clip.len(), 6);
        assert!(film(&Pilot::Expert, &set, 2, &RolloutOptions::default(), 2.0).is_err());
    }
}
