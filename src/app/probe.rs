//! `ralphton probe`: measures this machine with a preset's sizes and keeps the result for the plans of every mission.
//! `ralphton lineage`: what made an artefact.

use super::cli::{LineageArgs, ProbeArgs, say};
use super::{Ending, data_dir, threads};
use crate::base::{Cancel, Clock, SystemClock};
use crate::config::Config;
use crate::cycle::probe::{Effort, probe};
use crate::cycle::prober::{first_loop_setting, loop_in_words, store_probe};
use crate::cycle::rates::Machine;
use crate::cycle::{lineage as trees, rates};
use anyhow::bail;
use std::path::Path;

pub async fn run(data: &Path, config: &Config, args: &ProbeArgs) -> anyhow::Result<Ending> {
    let name = args.preset.as_deref().unwrap_or(&config.mission.preset);
    let preset = config.preset(name)?.clone();
    let effort = if args.short { Effort::Short } else { Effort::Full };
    // Rows only: a team may be running beside it, though the measurement is worth less then.
    std::fs::create_dir_all(data)?;
    let store = crate::store::Store::open(&data.join("ralphton.db")).await?;
    if store.current_mission().await?.is_some() && !args.json {
        say("A mission is under way in this data folder; measure while it rests, or read the result with care.");
    }
    let scratch = std::env::temp_dir().join(format!("ralphton-probe-{}", std::process::id()));
    let quiet = args.json;
    if !quiet {
        say(&format!("{} · preset {name} · about {:.0} s", Machine::here(), effort.about_s()));
    }
    let threads = args.threads.unwrap_or_else(threads);
    let of = preset.clone();
    let measured = tokio::task::spawn_blocking(move || {
        probe(&of, threads, &scratch, effort, &Cancel::default(), &mut |part| {
            if !quiet {
                say(&format!("measuring {part} …"));
            }
        })
    })
    .await?;
    if measured.rates.train_samples_per_s <= 0.0 {
        bail!("nothing to plan by came of it: {}", measured.missing.join("; "));
    }
    store_probe(&store, &preset, &measured, None, SystemClock.now()).await?;
    store.close().await;
    if args.json {
        let object = serde_json::json!({
            "machine": Machine::here().key(),
            "preset": name,
            "preset_hash": rates::preset_hash(&preset),
            "versions": rates::versions(),
            "seconds": measured.seconds,
            "rates": measured.rates,
            "missing": measured.missing,
        });
        say(&serde_json::to_string_pretty(&object)?);
        return Ok(Ending::Done);
    }
    for (what, value, unit) in measured.rates.lines() {
        let value = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        say(&format!("{what:<36} {value:>10} {unit}"));
    }
    for line in &measured.missing {
        say(&format!("not measured: {line}"));
    }
    if let Some(outlook) = loop_in_words(&first_loop_setting(&preset, &measured.rates)) {
        say(&outlook);
    }
    say(&format!("measured in {:.1} s; kept for the missions of {}", measured.seconds, data.display()));
    Ok(Ending::Done)
}

pub async fn lineage(data: &Path, args: &LineageArgs) -> anyhow::Result<Ending> {
    let store = data_dir::open_store(data).await?;
    let tree = trees::lineage(&store, &args.artefact).await?;
    say(tree.trim_end());
    store.close().await;
    Ok(Ending::Done)
}
