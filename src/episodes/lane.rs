//! One episode being made: a world, whoever drives it, and the recording.

use super::EpisodesError;
use super::noise::Noise;
use super::notes::notes;
use super::order::{Order, Planned, Strategy};
use super::recorder::{Label, Recorder};
use crate::base::Rng;
use crate::dataset::{Actor, DatasetSpec, EncodedEpisode, EpisodeOrigin};
use crate::rollout::lockstep::{Eye, Plan, Rider};
use crate::rollout::{FamilyMix, Stillness};
use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{self, Action, BrickStatus, StatePreset, World, WorldState};
use rand::Rng as _;

/// Steps of a stretch that the expert drives in DAgger, fewest and most.
const EXPERT_STRETCH: (u32, u32) = (15, 55);
/// Steps of a stretch that the policy drives.
const POLICY_STRETCH: (u32, u32) = (20, 80);
/// After this long without motion the expert takes over from the policy …
const TAKE_OVER_S: f32 = 6.0;
/// … for this many steps, fewest and most.
const RESCUE_STRETCH: (u32, u32) = (20, 70);

/// Who drives.
enum Wheel {
    /// The expert.
    Expert,
    /// The expert, disturbed.
    Disturbed(Noise),
    /// Policy and expert in turns.
    Shared(Turns),
}

/// DAgger's turns at the wheel.
struct Turns {
    plan: Plan,
    expert_share: f64,
    by_expert: bool,
    steps_left: u32,
    stillness: Stillness,
}

impl Turns {
    fn new(expert_share: f64, rng: &mut Rng) -> Self {
        let mut turns = Self {
            plan: Plan::default(),
            expert_share,
            by_expert: false,
            steps_left: 0,
            stillness: Stillness::default(),
        };
        turns.begin_stretch(rng);
        turns
    }

    fn begin_stretch(&mut self, rng: &mut Rng) {
        let by_expert = rng.random_bool(self.expert_share);
        let (least, most) = if by_expert { EXPERT_STRETCH } else { POLICY_STRETCH };
        self.hand_over(by_expert, rng.random_range(least..=most));
    }

    fn hand_over(&mut self, by_expert: bool, steps: u32) {
        self.plan.clear();
        (self.by_expert, self.steps_left) = (by_expert, steps);
    }

    /// After a control step: whose turn it is next.
    fn observe(&mut self, state: &WorldState, rng: &mut Rng) {
        self.stillness.observe(state);
        self.steps_left = self.steps_left.saturating_sub(1);
        if !self.by_expert && self.stillness.still_s() > TAKE_OVER_S {
            self.stillness.reset();
            self.hand_over(true, rng.random_range(RESCUE_STRETCH.0..=RESCUE_STRETCH.1));
        } else if self.steps_left == 0 {
            self.begin_stretch(rng);
        }
    }
}

/// A bad start ends this many steps after the pick-up: the drive to the box is in the whole episodes.
const STEPS_AFTER_PICK_UP: u32 = 20;

/// An episode under way.
pub(super) struct Lane {
    planned: Planned,
    scenario: String,
    world: World,
    wheel: Wheel,
    rng: Rng,
    recorder: Recorder,
    /// What the cab sees now, when somebody looked already.
    seen: Option<Vec<u8>>,
    step: u32,
    limit_steps: u32,
    /// Steps since the pick-up with which the episode ends.
    picked_up: Option<u32>,
    label_every: u32,
    label_phase: u32,
    chunk: usize,
    state: StatePreset,
}

/// An episode at its end.
pub(super) struct Ended {
    pub(super) strategy: Strategy,
    pub(super) success: bool,
    pub(super) episode: EncodedEpisode,
}

impl Lane {
    /// Begins a planned episode.
    pub(super) fn new(
        planned: Planned,
        order: &Order,
        mix: &FamilyMix,
        spec: &DatasetSpec,
    ) -> Result<Self, EpisodesError> {
        let scene = planned.scene(mix)?;
        let mut rng = planned.seed.child("drive", 0).rng();
        let limit_steps = (planned.limit_s / CONTROL_STEP_S).round() as u32;
        let loaded = scene.bricks.iter().any(|brick| brick.status == BrickStatus::Held);
        let picked_up = (planned.strategy == Strategy::BadStart && !loaded).then_some(0);
        let wheel = match planned.strategy {
            Strategy::Expert => Wheel::Expert,
            Strategy::Noise | Strategy::BadStart => Wheel::Disturbed(Noise::default()),
            Strategy::Dagger => Wheel::Shared(Turns::new(order.expert_share_in_dagger, &mut rng)),
        };
        Ok(Self {
            world: World::new(&scene)?,
            scenario: scene.family,
            planned,
            wheel,
            label_phase: rng.random_range(0..order.label_every.min(limit_steps)),
            rng,
            recorder: Recorder::new(spec),
            seen: None,
            step: 0,
            limit_steps,
            picked_up,
            label_every: order.label_every,
            chunk: order.chunk,
            state: order.state,
        })
    }

    /// Completes the recording of an episode that is no longer under way.
    pub(super) fn finish(mut self) -> Result<Ended, EpisodesError> {
        let success = self.world.is_done();
        let bricks = self.world.state().bricks.len();
        let after: Vec<Action> = (1..self.chunk)
            .map(|_| {
                let action = sim::expert(self.world.state());
                self.world.step(action);
                action
            })
            .collect();
        let task =
            if bricks == 1 { "put the brick in the box".to_owned() } else { "put all bricks in the box".to_owned() };
        let origin = EpisodeOrigin {
            scenario: self.scenario,
            seed: self.planned.seed.0,
            bricks: bricks as u32,
            strategy: self.planned.strategy.as_str().to_owned(),
            success,
        };
        let episode = self.recorder.finish(&after, task, origin)?;
        Ok(Ended { strategy: self.planned.strategy, success, episode })
    }

    /// The next action, and for how many steps from now the expert alone decides.
    fn decide(&mut self) -> (Action, u32) {
        let expert = || sim::expert(self.world.state());
        match &mut self.wheel {
            Wheel::Expert => (expert(), u32::MAX),
            Wheel::Disturbed(noise) => (noise.disturb(expert(), &mut self.rng), 0),
            Wheel::Shared(turns) if turns.by_expert => (expert(), turns.steps_left),
            Wheel::Shared(turns) => (turns.plan.next().unwrap_or_else(expert), 0),
        }
    }

    /// Who decided on this action.
    fn actor(&self, action: Action) -> Actor {
        match &self.wheel {
            Wheel::Disturbed(_) if action != sim::expert(self.world.state()) => Actor::Noise,
            Wheel::Shared(turns) if !turns.by_expert => Actor::Policy,
            Wheel::Expert | Wheel::Disturbed(_) | Wheel::Shared(_) => Actor::Expert,
        }
    }

    fn label(&self, undisturbed_steps: u32) -> Label {
        if undisturbed_steps as usize >= self.chunk {
            Label::Executed
        } else {
            Label::Asked(sim::expert_chunk(&self.world, self.chunk))
        }
    }
}

impl Rider for Lane {
    type Error = EpisodesError;

    fn is_under_way(&self) -> bool {
        !self.world.is_done()
            && self.step < self.limit_steps
            && self.picked_up.is_none_or(|steps| steps < STEPS_AFTER_PICK_UP)
    }

    fn wants_chunk(&self) -> bool {
        match &self.wheel {
            Wheel::Expert | Wheel::Disturbed(_) => false,
            Wheel::Shared(turns) => !turns.by_expert && turns.plan.is_empty(),
        }
    }

    fn look(&mut self, eye: &mut Eye) -> (Vec<u8>, &WorldState) {
        let rgb = self.seen.get_or_insert_with(|| eye.look(self.world.state())).clone();
        (rgb, self.world.state())
    }

    fn take_chunk(&mut self, actions: &[Action]) {
        if let Wheel::Shared(turns) = &mut self.wheel {
            turns.plan.set(actions.iter().copied());
        }
    }

    fn step(&mut self, eye: &mut Eye) -> Result<(), EpisodesError> {
        let seen = self.seen.take();
        let (action, undisturbed_steps) = self.decide();
        if self.step % self.label_every == self.label_phase {
            let rgb = seen.unwrap_or_else(|| eye.look(self.world.state()));
            let state = self.world.state().observation(self.state);
            let notes = notes(self.world.state(), self.actor(action));
            self.recorder.see(rgb, state, self.label(undisturbed_steps), notes);
        }
        self.recorder.act(action)?;
        self.world.step(action);
        self.step += 1;
        if let Some(steps) = &mut self.picked_up {
            *steps += u32::from(self.world.state().is_loaded());
        }
        if let Wheel::Shared(turns) = &mut self.wheel {
            turns.observe(self.world.state(), &mut self.rng);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::dataset_spec;
    use super::*;

    /// Where the label is what was executed, it must be exactly what the expert would have been asked for.
    #[test]
    fn executed_labels_equal_asked_ones() {
        let base = Order { noisy_share: 0.0, bad_start_share: 0.0, ..Order::default() };
        let order = Order { dagger_share: 0.5, expert_share_in_dagger: 1.0, chunk: 8, episodes: 4, ..base };
        let (mix, spec) = (FamilyMix::new(&[]).unwrap(), dataset_spec(&order));
        let mut compared = 0;
        for planned in order.plan() {
            let mut lane = Lane::new(planned, &order, &mix, &spec).unwrap();
            let mut log = Vec::new();
            while lane.is_under_way() {
                let asked = sim::expert_chunk(&lane.world, order.chunk);
                let (action, undisturbed) = lane.decide();
                log.push((asked, undisturbed as usize, action.to_array()));
                lane.world.step(action);
                lane.step += 1;
            }
            for (step, (asked, undisturbed, _)) in log.iter().enumerate() {
                if *undisturbed >= order.chunk && step + order.chunk <= log.len() {
                    let executed: Vec<_> = log[step..step + order.chunk].iter().map(|entry| entry.2).collect();
                    assert_eq!(asked, &executed, "step {step}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 200, "{compared}");
    }

    #[test]
    fn the_expert_takes_over_from_a_policy_that_stands_still() {
        let mut rng = crate::base::Seed(3).rng();
        let mut turns = Turns::new(0.0, &mut rng);
        turns.steps_left = 1000;
        let still = WorldState::default();
        let taken_over = (0..100).find(|_| {
            turns.observe(&still, &mut rng);
            turns.by_expert
        });
        assert_eq!(taken_over, Some(61));
        assert!(turns.steps_left >= RESCUE_STRETCH.0);
    }
}
