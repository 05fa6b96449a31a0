//! The command line, and the one place that builds, wires, starts and stops everything.

mod bench;
mod bench_policy;
mod cli;
mod cost;
mod data_dir;
mod dataset;
mod diagnose;
mod doctor;
mod inspect;
mod ledger_bench;
mod live_log;
mod policy;
mod preview;
mod price_books;
mod probe;
mod rollouts;
mod scenario;
mod standalone;
mod steer;
mod team;
mod train;
mod up;

use crate::config::{Config, Secrets};
use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

/// How a run ended, as the process tells it to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As asked for.
    Done,
    /// The mission failed.
    MissionFailed,
    /// A person stopped the mission.
    MissionStopped,
    /// A check found something wrong.
    CheckFailed,
    /// The mission's time, samples or dollars were used before its target was met.
    BudgetUsed,
    /// The mission ended since several loops in a row brought nothing.
    NoProgress,
    /// Ctrl-C or a request to terminate; the next start goes on.
    Interrupted,
}

impl Ending {
    /// 0 done, 3 mission failed, 4 mission stopped, 5 check failed, 6 budget used, 7 no progress, 130 interrupted; 1 is
    /// an error, 2 bad arguments.
    pub fn code(self) -> u8 {
        match self {
            Ending::Done => 0,
            Ending::MissionFailed => 3,
            Ending::MissionStopped => 4,
            Ending::CheckFailed => 5,
            Ending::BudgetUsed => 6,
            Ending::NoProgress => 7,
            Ending::Interrupted => 130,
        }
    }
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = prepare_process(&cli) {
        return fail(&error);
    }
    match dispatch(cli) {
        Ok(ending) => ExitCode::from(ending.code()),
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // The log may be filtered; a refusal must be seen.
    cli::say_error(&format!("ralphton: {error:#}"));
    ExitCode::from(1)
}

/// What must be set before the first thread and the first tensor.
fn prepare_process(cli: &Cli) -> anyhow::Result<()> {
    crate::policy::set_thread_environment()?;
    let default = if cli.verbose { "ralphton=debug,warn" } else { "ralphton=warn,error" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr).init();
    // The clients are built without a provider of their own, so that one TLS library serves all of them.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    Ok(())
}

fn dispatch(cli: Cli) -> anyhow::Result<Ending> {
    let (config, source) = Config::load(cli.config.as_deref())?;
    let secrets = Secrets::from_env();
    let command = cli.command.unwrap_or_default();
    match command {
        Command::Up(args) => block_on(up::run(&cli.data, &config, &source, &secrets, &args)),
        Command::Loop(args) => block_on(steer::run(&cli.data, &config, &args)),
        Command::Generate(args) => standalone::generate(&config, &args),
        Command::Dataset(args) => dataset::run(&args),
        Command::Scenario(args) => scenario::run(&args),
        Command::Train(args) => train::train(&config, &args),
        Command::Rollout(args) => rollouts::run(&config, &args),
        Command::Diagnose(args) => diagnose::run(&config, &args),
        Command::Policy(args) => policy::run(&args),
        Command::Report(args) => block_on(inspect::report(&cli.data, &args)),
        Command::Lineage(args) => block_on(probe::lineage(&cli.data, &args)),
        Command::Cost(args) => block_on(cost::run(&cli.data, &args)),
        Command::Watchdog(args) => block_on(inspect::watchdog(&cli.data, &config, &args)),
        Command::Probe(args) => block_on(probe::run(&cli.data, &config, &args)),
        Command::Doctor => block_on(doctor::run(&cli.data, &config, &source, &secrets)),
        Command::Bench(args) => bench::run(&config, &source, &args),
    }
}

/// Runs a future on a runtime of its own. Two workers: the heavy work is on blocking threads.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}

/// Threads for CPU work: all that the machine has, at most 16.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(16)
}
