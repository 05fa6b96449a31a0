//! Forecasts over rows: what the probe and earlier stages say about the plans of a mission, and how much time is left.

use super::forecast::{Forecast, Learned, Refusal, Setting};
use super::plan::{EvaluatePlan, FeedbackPlan, GeneratePlan, Plan, StartFrom, TrainPlan};
use super::preset::LoopPreset;
use super::rates::{Machine, Rates, preset_hash};
use super::summary::duration;
use super::terms::Terms;
use crate::base::{JobState, LoopId, Stage, Timestamp};
use crate::store::{EvaluationKind, ForecastRow, LoopRow, MissionRow, Store, StoreError};
use serde_json::Value;
use std::collections::BTreeMap;

/// The preset stored with a mission; a mission of an older version that lacks a field gets its default.
pub fn preset_of(mission: &MissionRow) -> LoopPreset {
    serde_json::from_value(mission.settings.clone()).unwrap_or_default()
}

/// What forecasts of a mission depend on; none when this machine was not measured with its preset.
///
/// # Errors
/// When the store fails.
pub async fn setting(store: &Store, mission: &MissionRow) -> Result<Option<Setting>, StoreError> {
    let preset = preset_of(mission);
    let Some(probe) = store.newest_probe(&Machine::here().key(), &preset_hash(&preset)).await? else {
        return Ok(None);
    };
    let Ok(rates) = serde_json::from_value::<Rates>(probe.rates) else { return Ok(None) };
    let loops = store.loops_of(mission.id).await?;
    let ids: Vec<LoopId> = loops.iter().map(|row| row.id).collect();
    let ours = |loop_id: Option<LoopId>| loop_id.is_some_and(|id| ids.contains(&id));
    let checkpoints = store.checkpoints().await?;
    let datasets = store.datasets().await?;
    let champion = store.champion().await?;
    let gate_scenes = match champion {
        Some(champion) if !ours(champion.loop_id) => preset.evaluate.scenes,
        Some(_) | None => 0,
    };
    Ok(Some(Setting {
        can_drive: checkpoints.iter().any(|c| ours(c.loop_id) && c.refused.is_none()),
        samples_stored: datasets.iter().filter(|d| ours(d.loop_id)).map(|d| u64::from(d.samples)).sum(),
        steps_per_brick: steps_per_brick(store, &loops).await?,
        gate_scenes,
        learned: learned(store, &loops).await?,
        preset,
        rates,
    }))
}

/// Control steps that a brick took in the mission's newest rollouts.
async fn steps_per_brick(store: &Store, loops: &[LoopRow]) -> Result<Option<f64>, StoreError> {
    for row in loops.iter().rev() {
        let evaluations = store.evaluations(Some(row.id)).await?;
        let newest = evaluations.iter().rev().find(|e| e.kind != EvaluationKind::AdHoc);
        if let Some(newest) = newest {
            let scenes = store.scenes_of(newest.id).await?;
            let (steps, bricks) = scenes.iter().fold((0.0, 0.0), |(steps, bricks), scene| {
                (steps + f64::from(scene.steps), bricks + f64::from(scene.bricks))
            });
            if bricks > 0.0 && steps > 0.0 {
                return Ok(Some(steps / bricks));
            }
        }
    }
    Ok(None)
}

/// Ratios of fact to the probe's forecast over the stages that ended in one go, by kind.
async fn learned(store: &Store, loops: &[LoopRow]) -> Result<BTreeMap<Stage, Learned>, StoreError> {
    let mut ratios: BTreeMap<Stage, Vec<f64>> = BTreeMap::new();
    for row in loops {
        for one in outcomes(store, row.id).await? {
            if let (Some(forecast), Some(fact_s)) = (&one.forecast, one.fact_s)
                && forecast.raw_s > 0.0
            {
                ratios.entry(one.stage).or_default().push(fact_s / forecast.raw_s);
            }
        }
    }
    Ok(ratios.into_iter().filter_map(|(stage, ratios)| Some((stage, Learned::from_ratios(&ratios)?))).collect())
}

/// A stage's forecast beside what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// What its plan was expected to take; none without a probe.
    pub forecast: Option<ForecastRow>,
    /// Seconds it took; none while it runs, when it did not succeed, or when it was interrupted or cut.
    pub fact_s: Option<f64>,
}

impl StageTime {
    /// "Forecast 28 s, took 25 s (−11 %)."
    pub fn in_words(&self) -> Option<String> {
        let (forecast, fact_s, deviation) = (self.forecast.as_ref()?, self.fact_s?, self.deviation()?);
        let sign = if deviation < 0.0 { '−' } else { '+' };
        Some(format!(
            "Forecast {}, took {} ({sign}{:.0} %).",
            duration(forecast.seconds),
            duration(fact_s),
            100.0 * deviation.abs()
        ))
    }

    /// How far the fact lies from the forecast: 0.1 for ten percent longer.
    pub fn deviation(&self) -> Option<f64> {
        let forecast = self.forecast.as_ref().filter(|forecast| forecast.seconds > 0.0)?;
        Some(self.fact_s? / forecast.seconds - 1.0)
    }
}

/// Forecast and fact of every stage of a loop that has one of them, in order.
///
/// # Errors
/// When the store fails.
pub async fn outcomes(store: &Store, loop_id: LoopId) -> Result<Vec<StageTime>, StoreError> {
    let jobs = store.jobs_of_loop(loop_id).await?;
    let mut times = Vec::new();
    for stage in Stage::ALL {
        let forecast = store.forecast(loop_id, *stage).await?;
        // A stage that was set back has several jobs; the forecast is the last one's.
        let job = jobs.iter().rev().find(|job| job.stage == Some(*stage));
        let whole = job.filter(|job| job.state == JobState::Succeeded && !was_cut(job.result.as_ref()));
        let fact_s = whole.and_then(crate::store::JobRow::seconds_in_one_go);
        if forecast.is_some() || fact_s.is_some() {
            times.push(StageTime { stage: *stage, forecast, fact_s });
        }
    }
    Ok(times)
}

/// Whether a job's result says that it was cut at its deadline.
pub fn was_cut(result: Option<&Value>) -> bool {
    result.is_some_and(|result| !result["cut"].is_null())
}

/// How much time a stage has, and by whose limit.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeLeft {
    /// Seconds.
    pub seconds: f64,
    /// "the stage's deadline", "the mission's deadline".
    pub whose: &'static str,
}

/// What `stage` may take now. The mission's deadline is shared with the stages that still follow in the loop, in
/// proportion to what they are expected to take.
pub fn time_left(mission: &MissionRow, setting: Option<&Setting>, stage: Stage, now: Timestamp) -> TimeLeft {
    let preset = preset_of(mission);
    let own = TimeLeft { seconds: preset.deadlines.seconds(stage), whose: "the stage's deadline" };
    let Some(left) = Terms::of(&mission.terms).seconds_left(mission.created_at, now) else { return own };
    let share = match setting {
        Some(setting) => share_of(setting, stage, left),
        None => left,
    };
    if share < own.seconds { TimeLeft { seconds: share, whose: "the mission's deadline" } } else { own }
}

/// Seconds after which a job of `stage` is cut: a stage that takes longer than planned may use what the mission has
/// left, but not more than a stage may.
pub fn hard_limit_s(mission: &MissionRow, stage: Stage, now: Timestamp) -> f64 {
    let own = preset_of(mission).deadlines.seconds(stage);
    Terms::of(&mission.terms).seconds_left(mission.created_at, now).map_or(own, |left| left.min(own))
}

fn share_of(setting: &Setting, stage: Stage, left: f64) -> f64 {
    let expected = |stage: Stage| setting.forecast(&usual_plan(setting, stage)).map_or(0.0, |f| f.seconds);
    let mut later = 0.0;
    let mut next = stage.next();
    while let Some(stage) = next {
        later += expected(stage);
        next = stage.next();
    }
    let own = expected(stage);
    if own + later <= left { left - later } else { left * own / (own + later).max(1e-9) }
}

/// The preset's plan for a stage: what is asked for when nothing speaks against it.
pub fn usual_plan(setting: &Setting, stage: Stage) -> Plan {
    let preset = &setting.preset;
    match stage {
        Stage::Generate => Plan::Generate(GeneratePlan {
            episodes: if setting.can_drive { preset.generate.later_episodes } else { preset.generate.first_episodes },
            bricks_min: preset.generate.bricks_min,
            bricks_max: preset.generate.bricks_max,
            families: BTreeMap::new(),
            noisy_share: preset.generate.noisy_share,
            bad_start_share: preset.generate.bad_start_share,
            dagger_share: preset.generate.dagger_share,
        }),
        Stage::Train => Plan::Train(TrainPlan {
            samples: if setting.can_drive { preset.train.later_samples } else { preset.train.first_samples },
            learning_rate: preset.train.learning_rate,
            newest_share: preset.train.newest_share,
            start: StartFrom::Latest,
        }),
        Stage::Evaluate => Plan::Evaluate(EvaluatePlan {
            scenes: preset.evaluate.scenes,
            bricks: preset.evaluate.bricks,
            execute_steps: preset.evaluate.execute_steps,
        }),
        Stage::Feedback => Plan::Feedback(FeedbackPlan {
            families: BTreeMap::new(),
            dagger_share: preset.generate.dagger_share,
            stop: None,
        }),
    }
}

/// A plan looked at: what it will take, and why it is refused when it does not fit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outlook {
    /// What it will take; none without a probe.
    pub forecast: Option<Forecast>,
    /// What that rests on, in words.
    pub basis: String,
    /// Why it does not fit.
    pub refusal: Option<Refusal>,
}

/// Looks at `plan` as the next one of `mission`.
///
/// # Errors
/// When the store fails.
pub async fn outlook(store: &Store, mission: &MissionRow, plan: &Plan, now: Timestamp) -> Result<Outlook, StoreError> {
    let setting = setting(store, mission).await?;
    if let Some(refusal) = over_budget(store, mission, plan).await? {
        return Ok(Outlook { refusal: Some(refusal), ..Outlook::default() });
    }
    let Some(setting) = setting else { return Ok(Outlook::default()) };
    let stage = plan.stage();
    let left = time_left(mission, Some(&setting), stage, now);
    Ok(Outlook {
        forecast: setting.forecast(plan),
        basis: setting.basis(stage),
        refusal: setting.refusal(plan, left.seconds, left.whose),
    })
}

/// A training that draws more samples than the mission's budget still holds.
async fn over_budget(store: &Store, mission: &MissionRow, plan: &Plan) -> Result<Option<Refusal>, StoreError> {
    let (Plan::Train(train), Some(budget)) = (plan, Terms::of(&mission.terms).budget_samples) else { return Ok(None) };
    let used = samples_used(store, mission).await?;
    let left = budget.saturating_sub(used);
    if train.samples <= left {
        return Ok(None);
    }
    let grouped = super::summary::grouped;
    let words = format!(
        "{} samples are more than the mission's budget holds: {} of {} are used, at most {} are left",
        grouped(train.samples),
        grouped(used),
        grouped(budget),
        grouped(left)
    );
    let fits = (left > 0).then(|| super::forecast::resized(plan, left));
    Ok(Some(Refusal { words, fits }))
}

/// Samples that the trainings of a mission have drawn.
///
/// # Errors
/// When the store fails.
pub async fn samples_used(store: &Store, mission: &MissionRow) -> Result<u64, StoreError> {
    let mut used = 0;
    for row in store.loops_of(mission.id).await? {
        for job in store.jobs_of_loop(row.id).await?.iter().filter(|job| job.stage == Some(Stage::Train)) {
            used += job.result.as_ref().and_then(|result| result["samples"].as_u64()).unwrap_or(job.done);
        }
    }
    Ok(used)
}
