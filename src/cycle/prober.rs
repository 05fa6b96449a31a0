//! Measures the machine before a mission plans anything: once for each machine, preset and version.
//!
//! It looks at rows only. A mission whose preset was not measured here is measured first, briefly, and the channel says
//! so; the driver waits for the row, and for a bounded time. A measurement that is there is used again.

use super::forecast::Setting;
use super::preset::LoopPreset;
use super::probe::{Effort, Measured, probe};
use super::rates::{Machine, Rates, preset_hash, versions};
use super::summary::{duration, grouped};
use super::throughput::{preset_of, setting, usual_plan};
use crate::base::{Cancel, Clock, MissionState, Stage, Timestamp};
use crate::store::{AuthorKind, MissionRow, NewMessage, NewProbe, Store, StoreError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// It looks at least this often.
const POLL: Duration = Duration::from_secs(1);
/// A mission waits this long at most for a measurement before it goes on without one.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// See the module.
pub struct Prober {
    store: Store,
    clock: Arc<dyn Clock>,
    data_dir: PathBuf,
    threads: usize,
}

impl Prober {
    /// A prober that measures with `threads` threads and keeps its files, while it measures, under `data_dir`.
    pub fn new(store: Store, clock: Arc<dyn Clock>, data_dir: PathBuf, threads: usize) -> Self {
        Self { store, clock, data_dir, threads }
    }

    /// Looks until `stop` is cancelled; a probe under way is stopped then.
    pub async fn run(&self, stop: CancellationToken) {
        let mut changes = self.store.changes();
        while !stop.is_cancelled() {
            match self.wanted().await {
                Ok(Some(mission)) => {
                    if let Err(error) = self.measure(&mission, &stop).await {
                        tracing::error!(%error, "the machine could not be measured");
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the prober cannot look; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changes.recv() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// The mission that is to be measured for: it runs, has not begun, and is still worth waiting for.
    async fn wanted(&self) -> Result<Option<MissionRow>, StoreError> {
        let Some(mission) = self.store.current_mission().await? else { return Ok(None) };
        Ok(waits_for_probe(&self.store, &mission, self.clock.now()).await?.then_some(mission))
    }

    async fn measure(&self, mission: &MissionRow, stop: &CancellationToken) -> Result<(), StoreError> {
        self.say(
            mission,
            "begin",
            format!(
                "First I measure this machine ({}) with preset `{}`: physics, rendering, encoding, training, inference, \
                 rollouts. About {}. Every plan gets its time from it.",
                Machine::here(),
                mission.preset,
                duration(Effort::Short.about_s())
            ),
        )
        .await?;
        let preset = preset_of(mission);
        let (threads, scratch) = (self.threads, self.data_dir.join("jobs").join("probe"));
        let cancel = Cancel::default();
        let (inner, of) = (cancel.clone(), preset.clone());
        let mut work =
            tokio::task::spawn_blocking(move || probe(&of, threads, &scratch, Effort::Short, &inner, &mut |_| {}));
        let measured = loop {
            tokio::select! {
                ended = &mut work => break ended,
                () = stop.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
            }
        };
        if stop.is_cancelled() {
            // Half a measurement is none: the next start measures again.
            return Ok(());
        }
        let (measured, error) = match measured {
            Ok(measured) => {
                let error = (measured.rates.train_samples_per_s <= 0.0).then(|| measured.missing.join("; "));
                (measured, error)
            }
            Err(panic) => (Measured::default(), Some(format!("the measurement crashed: {panic}"))),
        };
        store_probe(&self.store, &preset, &measured, error.as_deref(), self.clock.now()).await?;
        let text = match (&error, setting(&self.store, mission).await?) {
            (None, Some(setting)) => result_in_words(&setting, &measured),
            (error, _) => format!(
                "This machine could not be measured ({}). The loop goes on without forecasts.",
                error.as_deref().unwrap_or("nothing came of it")
            ),
        };
        self.say(mission, "end", text).await
    }

    async fn say(&self, mission: &MissionRow, part: &str, text: String) -> Result<(), StoreError> {
        let message = NewMessage {
            channel: "mission-control".to_owned(),
            author: "ralphton".to_owned(),
            author_kind: AuthorKind::System,
            brain: None,
            text,
            attachments: Vec::new(),
            loop_id: None,
            dedup: Some(format!("mission-{}-probe-{part}", mission.id)),
        };
        self.store.post(&message, self.clock.now()).await?;
        Ok(())
    }
}

/// Whether a mission has not begun and still waits to be measured for.
pub(super) async fn waits_for_probe(store: &Store, mission: &MissionRow, now: Timestamp) -> Result<bool, StoreError> {
    if mission.state != MissionState::Running
        || now.duration_since(mission.created_at).as_secs_f64() > PATIENCE.as_secs_f64()
    {
        return Ok(false);
    }
    if !store.loops_of(mission.id).await?.is_empty() {
        return Ok(false);
    }
    let newest = store.newest_probe(&Machine::here().key(), &preset_hash(&preset_of(mission))).await?;
    // One that failed is tried again by the next mission, not by the same one.
    Ok(newest.is_none_or(|probe| probe.error.is_some() && probe.measured_at < mission.created_at))
}

/// Enters what a probe measured.
///
/// # Errors
/// When the store fails.
pub async fn store_probe(
    store: &Store,
    preset: &LoopPreset,
    measured: &Measured,
    error: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let row = NewProbe {
        machine: Machine::here().key(),
        preset_hash: preset_hash(preset),
        versions: versions(),
        rates: serde_json::to_value(&measured.rates).unwrap_or_default(),
        error: error.map(str::to_owned),
        seconds: measured.seconds,
    };
    store.add_probe(&row, at).await?;
    Ok(())
}

/// What was measured and what a loop should take, in three lines.
fn result_in_words(setting: &Setting, measured: &Measured) -> String {
    let rates = &setting.rates;
    let number = |rate: f64| if rate >= 20.0 { grouped(rate.round() as u64) } else { format!("{rate:.1}") };
    let mut text = format!(
        "**Measured in {}.** One thread: {} physics steps/s, {} frames/s drawn, {} encoded. All {}: {} expert and {} \
         bad-start episodes/s, {} training samples/s, {} rollout steps/s.",
        duration(measured.seconds),
        number(rates.physics_steps_per_s),
        number(rates.render_frames_per_s),
        number(rates.encode_frames_per_s),
        rates.threads,
        number(rates.expert_episodes_per_s),
        number(rates.bad_start_episodes_per_s),
        number(rates.train_samples_per_s),
        number(rates.rollout_steps_per_s),
    );
    if let Some(outlook) = loop_in_words(setting) {
        text += &format!("\n{outlook}");
    }
    if !measured.missing.is_empty() {
        text += &format!("\nNot measured: {}.", measured.missing.join("; "));
    }
    text
}

/// What a first loop of `preset` depends on at these rates.
pub fn first_loop_setting(preset: &LoopPreset, rates: &Rates) -> Setting {
    Setting {
        preset: preset.clone(),
        rates: rates.clone(),
        can_drive: false,
        samples_stored: 0,
        steps_per_brick: None,
        gate_scenes: 0,
        learned: BTreeMap::new(),
    }
}

/// "The first loop should take about 4 min 30 s (3 min 36 s to 5 min 24 s): generate 28 s, train 3 min 40 s, …"
pub fn loop_in_words(setting: &Setting) -> Option<String> {
    // What the first stage makes is there for the second.
    let expected_samples = setting.preset.train.memory_samples as u64;
    let setting = &Setting { samples_stored: setting.samples_stored.max(expected_samples), ..setting.clone() };
    let parts: Vec<_> = Stage::ALL
        .iter()
        .map(|stage| setting.forecast(&usual_plan(setting, *stage)).map(|forecast| (*stage, forecast)))
        .collect::<Option<_>>()?;
    let sum = |of: fn(&super::forecast::Forecast) -> f64| parts.iter().map(|(_, forecast)| of(forecast)).sum::<f64>();
    let stages: Vec<String> = parts
        .iter()
        .filter(|(stage, _)| *stage != Stage::Feedback)
        .map(|(stage, forecast)| format!("{stage} {}", duration(forecast.seconds)))
        .collect();
    let which = if setting.can_drive { "A loop" } else { "The first loop" };
    Some(format!(
        "{which} should take about {} ({} to {}): {}.",
        duration(sum(|f| f.seconds)),
        duration(sum(|f| f.low_s)),
        duration(sum(|f| f.high_s)),
        stages.join(", ")
    ))
}
