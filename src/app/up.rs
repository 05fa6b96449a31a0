//! `ralphton up`: the team, the loop, the page, until the mission ended or somebody says stop.
//!
//! Shutdown in one place: a cancellation token is cancelled, the running job stops at its next safe point and goes back
//! to the queue, the agents finish the turn they are in, the fronts close. The next start goes on from the rows.

use super::cli::{UpArgs, say};
use super::data_dir::{self, DataDir};
use super::team::{self, Team};
use super::{Ending, inspect, live_log, steer, threads};
use crate::base::{Clock, MessageId, MissionEnding, MissionState, SystemClock};
use crate::config::{Config, Secrets};
use crate::cycle::control;
use crate::cycle::driver::Driver;
use crate::cycle::prober::Prober;
use crate::cycle::runner::Runner;
use crate::store::{MissionRow, Store};
use anyhow::{Context, bail};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// After the mission ended the agents have this long to write their last messages.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// How often the end of the mission is looked for.
const POLL: Duration = Duration::from_millis(300);

/// Runs the team on the data folder `data`.
///
/// # Errors
/// When something the run depends on is missing, in words that say what to do; nothing was started then.
pub async fn run(
    data: &Path,
    config: &Config,
    source: &str,
    secrets: &Secrets,
    args: &UpArgs,
) -> anyhow::Result<Ending> {
    let order = steer::order(config, args.preset.as_deref(), args.loops, args.seed)?;
    let listener = crate::console::bind(args.listen.unwrap_or(config.console.listen))?;
    let address = listener.local_addr().context("the page's address")?;
    let dir = data_dir::open(data).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    dir.store.release_leases(clock.now()).await?;
    let from = last_message(&dir.store).await?;
    let greeting = mission(&dir.store, args, &order, clock.now()).await?;
    say(&format!(
        "ralphton {} · {} · data in {} · {}",
        env!("CARGO_PKG_VERSION"),
        source,
        dir.path.display(),
        greeting
    ));
    say(&format!("watch and steer at http://{address} · Ctrl-C stops at a safe point\n"));

    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    start_loop(&dir, &clock, &stop, &mut tasks);
    let team = Team::start(&dir, config, secrets, Arc::clone(&clock), listener, &stop, &mut tasks).await?;
    let log_stop = CancellationToken::new();
    let log = tokio::spawn(live_log::run(
        dir.store.clone(),
        Arc::clone(&clock),
        team::titles(config),
        from,
        log_stop.clone(),
    ));

    let ended = wait_for_end(&dir.store, args).await;
    if let Ok(Some(_)) = &ended {
        last_words(&dir.store, config).await?;
    } else {
        say("\nstopping at the next safe point; Ctrl-C again ends at once");
    }
    stop.cancel();
    join(&mut tasks, team).await;
    log_stop.cancel();
    log.await.context("the live log")?;
    let ending = conclude(&dir.store, ended?, clock.now()).await?;
    dir.store.close().await;
    Ok(ending)
}

async fn last_message(store: &Store) -> anyhow::Result<MessageId> {
    Ok(store.latest_messages(None, 1).await?.last().map_or(MessageId(0), |message| message.id))
}

/// Goes on with the mission that is there, or starts one; says which.
async fn mission(
    store: &Store,
    args: &UpArgs,
    order: &control::MissionOrder,
    now: crate::base::Timestamp,
) -> anyhow::Result<String> {
    if let Some(current) = store.current_mission().await? {
        if let Some(loops) = args.loops
            && loops != current.planned_loops
        {
            store.set_planned_loops(current.id, loops).await?;
        }
        let state = if current.state == MissionState::Paused { " (paused; /loop resume)" } else { "" };
        return Ok(format!("going on with mission {}{state}", current.id));
    }
    if args.no_mission {
        return Ok("no mission; begin one with /loop start".to_owned());
    }
    let id = control::start(store, order, now).await?;
    Ok(format!("mission {id}: {} loop(s) of {}, seed {}", order.loops, order.preset_name, order.seed.0))
}

fn start_loop(dir: &DataDir, clock: &Arc<dyn Clock>, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let driver = Driver::new(dir.store.clone(), Arc::clone(clock), threads()).after_probe();
    let driver_stop = stop.clone();
    tasks.spawn(async move { driver.run(driver_stop).await });
    let prober = Prober::new(dir.store.clone(), Arc::clone(clock), dir.path.clone(), threads());
    let prober_stop = stop.clone();
    tasks.spawn(async move { prober.run(prober_stop).await });
    let runner = Runner::new(
        dir.store.clone(),
        dir.artifacts.clone(),
        Arc::clone(clock),
        dir.path.clone(),
        format!("process-{}", std::process::id()),
    );
    let runner_stop = stop.clone();
    tasks.spawn(async move { runner.run(runner_stop).await });
}

/// Waits for Ctrl-C or SIGTERM (none), or, when asked to, for the end of the newest mission (its row).
async fn wait_for_end(store: &Store, args: &UpArgs) -> anyhow::Result<Option<MissionRow>> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("listening for the request to terminate")?;
    loop {
        tokio::select! {
            signal = tokio::signal::ctrl_c() => {
                signal.context("listening for Ctrl-C")?;
                return Ok(None);
            }
            _ = terminate.recv() => return Ok(None),
            () = tokio::time::sleep(POLL) => {}
        }
        if args.exit_when_done
            && let Some(mission) = store.latest_mission().await?
            && mission.ended_at.is_some()
        {
            return Ok(Some(mission));
        }
    }
}

/// Lets the agents work off their mail, so that the last report is written.
async fn last_words(store: &Store, config: &Config) -> anyhow::Result<()> {
    let patience = tokio::time::sleep(LAST_WORDS);
    tokio::pin!(patience);
    loop {
        let mut waiting = 0;
        for agent in &config.agents {
            waiting += store.waiting_mail(&agent.name).await?;
        }
        if waiting == 0 {
            return Ok(());
        }
        tokio::select! {
            () = &mut patience => {
                tracing::warn!(waiting, "the agents had more to say; the next start goes on with it");
                return Ok(());
            }
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Joins every task; a second Ctrl-C ends the process at once, which loses nothing that was recorded.
async fn join(tasks: &mut JoinSet<()>, team: Team) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task crashed");
            }
        }
        team.join().await;
    };
    tokio::select! {
        () = all => {}
        _ = tokio::signal::ctrl_c() => std::process::exit(i32::from(Ending::Interrupted.code())),
    }
}

/// How a mission that ended by itself is told to a script.
fn ending_of(ended_as: Option<MissionEnding>) -> Ending {
    match ended_as {
        None | Some(MissionEnding::TargetMet | MissionEnding::LoopsDone | MissionEnding::AskedToEnd) => Ending::Done,
        Some(MissionEnding::Deadline | MissionEnding::SamplesUsed | MissionEnding::DollarsUsed) => Ending::BudgetUsed,
        Some(MissionEnding::NoProgress) => Ending::NoProgress,
        Some(MissionEnding::Stopped) => Ending::MissionStopped,
        Some(MissionEnding::Failed) => Ending::MissionFailed,
    }
}

async fn conclude(store: &Store, ended: Option<MissionRow>, now: crate::base::Timestamp) -> anyhow::Result<Ending> {
    let Some(mission) = ended else {
        say("stopped; the next `ralphton up` goes on from here");
        return Ok(Ending::Interrupted);
    };
    say(&inspect::report_text(store, mission.id, now).await?);
    let ending = mission.ending.clone().unwrap_or_default();
    match mission.state {
        MissionState::Completed => {
            say(&format!("mission {} is complete: {ending}", mission.id));
            Ok(ending_of(mission.ended_as))
        }
        MissionState::Stopped => {
            say(&format!("mission {} was stopped: {ending}", mission.id));
            Ok(Ending::MissionStopped)
        }
        MissionState::Failed => {
            say(&format!("mission {} failed: {ending}", mission.id));
            Ok(Ending::MissionFailed)
        }
        MissionState::Running | MissionState::Paused => {
            bail!("mission {} ended and yet is {}", mission.id, mission.state)
        }
    }
}
