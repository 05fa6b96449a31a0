//! Wires agents, watchdog and fronts over one data folder.

use super::data_dir::DataDir;
use crate::agents::{self, AgentDeps, Keys, Prompts, model_brains};
use crate::base::{Clock, Seed};
use crate::commands::{Commands, MissionDefaults, Rights};
use crate::config::{Config, Secrets};
use crate::console::Console;
use crate::discord::Discord;
use crate::ledger::Ledger;
use crate::tools::ToolDeps;
use crate::watchdog::Watchdog;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The running team.
pub struct Team {
    agents: agents::Team,
}

impl Team {
    /// Starts agents, watchdog and fronts; all of them end when `stop` is cancelled.
    ///
    /// # Errors
    /// When the roster, a price, a prompt or a schedule does not fit; in words that say what to change.
    pub async fn start(
        dir: &DataDir,
        config: &Config,
        secrets: &Secrets,
        clock: Arc<dyn Clock>,
        listener: TcpListener,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<Team> {
        let prices = super::price_books::current(&dir.path, &dir.store, clock.now()).await?;
        dir.store.set_machine_rates(&config.machine.to_json(), clock.now()).await?;
        let ledger = Ledger::new(dir.store.clone(), prices, config.budgets.clone(), Arc::clone(&clock));
        let recovered = ledger.recover().await?;
        if recovered > 0 {
            tracing::warn!(recovered, "calls that a crash cut off were booked at what they could have cost at most");
        }
        let keys = Keys { openai: secrets.openai_api_key.clone(), anthropic: secrets.anthropic_api_key.clone() };
        let prompts = Prompts::built_in();
        let brains = model_brains(&config.agents, &config.providers, &keys, &prompts, &ledger, &clock)?;
        let watchdog = Watchdog::new(config.watchdog.clone(), dir.store.clone(), Arc::clone(&clock), dir.path.clone())?;
        let commands = Commands::new(
            dir.store.clone(),
            dir.artifacts.clone(),
            config.presets.clone(),
            mission_defaults(config),
            config.budgets.clone(),
            Arc::clone(&clock),
        );
        let (cost_posts, posts_stop) = (commands.clone(), stop.clone());
        tasks.spawn(async move { cost_posts.post_costs(posts_stop).await });
        let discord = Discord::new(
            config.discord.clone(),
            dir.store.clone(),
            dir.artifacts.clone(),
            commands.clone(),
            Arc::clone(&clock),
            titles(config),
        );
        let tools = ToolDeps {
            store: dir.store.clone(),
            artifacts: dir.artifacts.clone(),
            ledger,
            clock: Arc::clone(&clock),
            threads: super::threads(),
        };
        let agents = agents::Team::start(config.agents.clone(), AgentDeps::new(tools), brains, stop.clone())?;

        tasks.spawn(watchdog.run(stop.clone()));
        // Whoever reaches the loopback address sits at this machine; on any other address people may only look.
        let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
        let rights = if loopback { Rights::Operate } else { Rights::Read };
        let console = Console::new(dir.store.clone(), dir.artifacts.clone(), commands, clock, rights, titles(config));
        let console_stop = stop.clone();
        tasks.spawn(async move {
            if let Err(error) = console.serve(listener, console_stop).await {
                tracing::error!(%error, "the page is gone; the team goes on");
            }
        });
        if let Some(token) = secrets.discord_token.clone() {
            let discord_stop = stop.clone();
            tasks.spawn(async move {
                if let Err(error) = discord.run(token, discord_stop).await {
                    tracing::error!(%error, "Discord is gone; the team goes on");
                }
            });
        }
        Ok(Team { agents })
    }

    /// Waits for the agents' safe points. Call after `stop` was cancelled.
    pub async fn join(self) {
        self.agents.join().await;
    }
}

/// How people see each agent.
pub fn titles(config: &Config) -> BTreeMap<String, String> {
    config.agents.iter().map(|agent| (agent.name.clone(), agent.title.clone())).collect()
}

fn mission_defaults(config: &Config) -> MissionDefaults {
    let mission = &config.mission;
    MissionDefaults {
        preset: mission.preset.clone(),
        goal: mission.goal.clone(),
        loops: mission.loops,
        target_success: mission.target_success,
        seed: Seed(mission.seed),
        terms: mission.terms(),
    }
}
