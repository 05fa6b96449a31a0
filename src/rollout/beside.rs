//! Policy and expert side by side, from the same start: a clip in which the moment of divergence is marked.
//!
//! Made for a phone: two square views, large words, a bar of time with a red mark. At the first deviation the picture
//! holds for a moment, and says what was done and what the expert would have done.

use super::deviation::{Deviation, DeviationKind};
use super::film::{FPS, STEPS_PER_FRAME, delivered};
use super::replay::Replay;
use super::{RolloutError, SceneSet};
use crate::render::{Camera, Clip, Renderer, write_line};
use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{Action, WorldState};

/// Side of each view.
const VIEW_PX: usize = 320;
/// Height of the bar above the views.
const HEAD_PX: usize = 42;
/// Height of the bar below them.
const FOOT_PX: usize = 82;
const WIDTH_PX: usize = 2 * VIEW_PX;
const HEIGHT_PX: usize = HEAD_PX + VIEW_PX + FOOT_PX;
/// Frames for which the picture holds at the first deviation.
const HOLD_FRAMES: usize = 22;
const BAR: [u8; 3] = [24, 25, 28];
const INK: [u8; 3] = [236, 238, 241];
const MUTED: [u8; 3] = [150, 156, 166];
const RED: [u8; 3] = [255, 107, 107];
const GREEN: [u8; 3] = [87, 217, 140];
const TRACK: [u8; 3] = [64, 67, 75];

/// Films a recorded run of the policy beside the expert's from the same start, for at most `max_seconds` of their time.
///
/// # Errors
/// When the set has no such scene or a frame cannot be drawn.
pub fn film_beside(
    set: &SceneSet,
    scene: u32,
    (policy, expert): (&[Action], &[Action]),
    deviation: Option<&Deviation>,
    max_seconds: f32,
) -> Result<Clip, RolloutError> {
    let (family, start) = set.scene(scene)?;
    let most = (max_seconds / CONTROL_STEP_S).round() as usize;
    let (policy, expert) = (&policy[..policy.len().min(most)], &expert[..expert.len().min(most)]);
    let (mut left, mut right) = (Replay::new(&start, policy)?, Replay::new(&start, expert)?);
    let steps = policy.len().max(expert.len());
    let mut stage = Stage::new(&family.title, scene, steps, deviation);
    for step in 0..=steps {
        let marked = deviation.is_some_and(|deviation| deviation.step as usize == step);
        if step.is_multiple_of(STEPS_PER_FRAME) || step == steps || marked {
            let ended = [step >= policy.len(), step >= expert.len()];
            stage.shoot([left.state(), right.state()], ended, step)?;
        }
        if marked {
            for _ in 0..HOLD_FRAMES {
                stage.clip.push(&stage.frame)?;
            }
        }
        left.advance();
        right.advance();
    }
    Ok(stage.clip)
}

struct Stage<'a> {
    title: String,
    steps: usize,
    deviation: Option<&'a Deviation>,
    camera: Renderer,
    view: Vec<u8>,
    frame: Vec<u8>,
    clip: Clip,
}

impl<'a> Stage<'a> {
    fn new(title: &str, scene: u32, steps: usize, deviation: Option<&'a Deviation>) -> Self {
        let camera = Renderer::new(Camera::spectator(VIEW_PX, VIEW_PX));
        Self {
            title: format!("{title} · scene {scene}"),
            steps,
            deviation,
            view: vec![0; camera.frame_len()],
            camera,
            frame: vec![0; WIDTH_PX * HEIGHT_PX * 3],
            clip: Clip::new(WIDTH_PX, HEIGHT_PX, FPS),
        }
    }

    /// Draws one frame and adds it to the clip.
    fn shoot(&mut self, states: [&WorldState; 2], ended: [bool; 2], step: usize) -> Result<(), RolloutError> {
        for pixel in self.frame.chunks_exact_mut(3) {
            pixel.copy_from_slice(&BAR);
        }
        let deviated = self.deviation.filter(|deviation| step >= deviation.step as usize);
        for (side, state) in states.into_iter().enumerate() {
            self.camera.render(state, &mut self.view);
            let rows = self.view.chunks_exact(3 * VIEW_PX).enumerate();
            for (y, row) in rows {
                let begin = 3 * ((HEAD_PX + y) * WIDTH_PX + side * VIEW_PX);
                self.frame[begin..begin + row.len()].copy_from_slice(row);
            }
            let who = ["Policy", "Expert"][side];
            let done = state.remaining() == 0;
            let word = if done {
                "done"
            } else if ended[side] {
                "failed"
            } else {
                ""
            };
            let ink = match (done, side == 0 && deviated.is_some()) {
                (true, _) => GREEN,
                (false, true) => RED,
                (false, false) => INK,
            };
            let text = format!("{who}  {}  {word}", delivered(state));
            self.write((side * VIEW_PX + 12, HEAD_PX / 2), VIEW_PX - 20, &text, 27.0, ink)?;
        }
        self.frame_view(0, if deviated.is_some() { RED } else { TRACK });
        self.frame_view(1, TRACK);
        self.foot(step, deviated)?;
        self.clip.push(&self.frame)?;
        Ok(())
    }

    fn foot(&mut self, step: usize, deviated: Option<&Deviation>) -> Result<(), RolloutError> {
        let top = HEAD_PX + VIEW_PX;
        let seconds = step as f32 * CONTROL_STEP_S;
        match deviated {
            None => {
                let text = format!("{seconds:.0} s   {}", self.title);
                self.write((12, top + 24), WIDTH_PX - 24, &text, 24.0, INK)?;
            }
            Some(deviation) => {
                let (axis, done, expert) = deviation.axis();
                let said = match deviation.kind {
                    DeviationKind::ActionsDiffer => "acts otherwise",
                    DeviationKind::ProgressEnds => "no further",
                };
                let text = format!(
                    "{seconds:.0} s   from {:.0} s {said}: {axis} {done:+.1}, expert {expert:+.1}",
                    deviation.time_s()
                );
                self.write((12, top + 24), WIDTH_PX - 24, &text, 24.0, RED)?;
            }
        }
        let (from, to) = (12, WIDTH_PX - 12);
        let place = |step: usize| from + (to - from) * step.min(self.steps) / self.steps.max(1);
        let (bar, now) = (top + 56, place(step));
        let mark = self.deviation.map(|deviation| place(deviation.step as usize));
        self.fill((from, bar), (to, bar + 8), TRACK);
        self.fill((from, bar), (now, bar + 8), MUTED);
        if let Some(mark) = mark.filter(|_| deviated.is_some()) {
            self.fill((mark, bar), (now.max(mark), bar + 8), RED);
            self.fill((mark.saturating_sub(3), bar - 8), (mark + 3, bar + 16), RED);
        }
        Ok(())
    }

    fn write(
        &mut self,
        (x, y): (usize, usize),
        width: usize,
        text: &str,
        size_px: f64,
        ink: [u8; 3],
    ) -> Result<(), RolloutError> {
        let at = (x as i32, y as i32);
        Ok(write_line(&mut self.frame, (WIDTH_PX, HEIGHT_PX), at, width as u32, text, (size_px, ink))?)
    }

    fn fill(&mut self, from: (usize, usize), to: (usize, usize), colour: [u8; 3]) {
        for y in from.1..to.1.min(HEIGHT_PX) {
            for x in from.0..to.0.min(WIDTH_PX) {
                let at = 3 * (y * WIDTH_PX + x);
                self.frame[at..at + 3].copy_from_slice(&colour);
            }
        }
    }

    /// A thin frame around one view.
    fn frame_view(&mut self, side: usize, colour: [u8; 3]) {
        let width = if colour == RED { 4 } else { 1 };
        let (left, right) = (side * VIEW_PX, (side + 1) * VIEW_PX);
        let (top, bottom) = (HEAD_PX, HEAD_PX + VIEW_PX);
        self.fill((left, top), (right, top + width), colour);
        self.fill((left, bottom - width), (right, bottom), colour);
        self.fill((left, top), (left + width, bottom), colour);
        self.fill((right - width, top), (right, bottom), colour);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pilot, RolloutOptions, drive, first_deviation};
    use super::*;
    use crate::base::EvaluationSeed;

    #[test]
    fn the_picture_holds_at_the_first_deviation() {
        let set = SceneSet { seed: EvaluationSeed(3), families: vec![], bricks: 1, scenes: 1 };
        let (_, trace) = drive(&Pilot::Expert, &set, 0, &RolloutOptions::default()).unwrap();
        let mut lazy = trace.actions[..40].to_vec();
        lazy.extend([Action { lift: -1.0, ..Action::default() }; 60]);
        let deviation = first_deviation(&set.scene(0).unwrap().1, &lazy).unwrap().unwrap();
        let both = (lazy.as_slice(), trace.actions.as_slice());
        let marked = film_beside(&set, 0, both, Some(&deviation), 8.0).unwrap();
        let plain = film_beside(&set, 0, both, None, 8.0).unwrap();
        assert_eq!(plain.len(), 21);
        assert!((marked.len() as i64 - plain.len() as i64 - HOLD_FRAMES as i64).abs() <= 1);
    }
}
