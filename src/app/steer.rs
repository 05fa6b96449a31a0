//! `ralphton loop …`: steers a running team from another terminal, through the rows that both share.

use super::Ending;
use super::cli::{LoopAction, LoopArgs, say};
use super::inspect;
use crate::base::{Clock, Seed, SystemClock};
use crate::config::Config;
use crate::cycle::control::{self, MissionOrder};
use std::path::Path;

/// The order of a new mission: the file's, with what the command line says instead.
///
/// # Errors
/// When the preset is unknown.
pub fn order(
    config: &Config,
    preset: Option<&str>,
    loops: Option<u32>,
    seed: Option<u64>,
) -> anyhow::Result<MissionOrder> {
    let mission = &config.mission;
    let preset_name = preset.unwrap_or(&mission.preset);
    Ok(MissionOrder {
        preset_name: preset_name.to_owned(),
        preset: config.preset(preset_name)?.clone(),
        goal: mission.goal.clone(),
        loops: loops.unwrap_or(mission.loops),
        target_success: mission.target_success,
        seed: Seed(seed.unwrap_or(mission.seed)),
        terms: mission.terms(),
    })
}

pub async fn run(data: &Path, config: &Config, args: &LoopArgs) -> anyhow::Result<Ending> {
    let store = super::data_dir::open_store(data).await?;
    let now = SystemClock.now();
    let by = "the command line";
    match &args.action {
        LoopAction::Status => say(&inspect::status_text(&store, now).await?),
        LoopAction::Start { loops, preset, seed } => {
            let order = order(config, preset.as_deref(), *loops, *seed)?;
            let mission = control::start(&store, &order, now).await?;
            say(&format!("Mission {mission} is started: {} loop(s) of {}.", order.loops, order.preset_name));
        }
        LoopAction::Pause => {
            control::pause(&store, by, now).await?;
            say("Paused. The running job ends; nothing new starts.");
        }
        LoopAction::Resume => {
            control::resume(&store, by, now).await?;
            say("Resumed.");
        }
        LoopAction::Stop => {
            control::stop(&store, by, now).await?;
            say("Stopped. Everything made so far is kept.");
        }
    }
    store.close().await;
    Ok(Ending::Done)
}
