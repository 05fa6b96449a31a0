//! The command line as data, with the help that people read first.

use super::diagnose::DiagnoseArgs;
use super::rollouts::RolloutArgs;
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Five agents teach a robot policy in closed loop, unattended.
///
/// Without a subcommand, ralphton starts the team (`up`): five agents, the loop Generate → Train → Evaluate →
/// Feedback, and a page to watch it at http://127.0.0.1:8770. No account, key or network is needed.
#[derive(Debug, Parser)]
#[command(name = "ralphton", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Folder that keeps everything: database, datasets, checkpoints, clips
    #[arg(long, global = true, value_name = "DIR", default_value = "ralphton-data", env = "RALPHTON_DATA")]
    pub data: PathBuf,
    /// Team and presets; without it ./agents.toml if there is one, else the embedded defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more about what happens inside (RUST_LOG overrides)
    #[arg(long, short, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 as asked for · 1 error · 2 bad arguments · 3 the mission failed · 4 a person stopped the mission · \
5 a check found something wrong · 6 the mission's time, samples or dollars were used before its target was met · \
7 the mission ended because several loops in a row brought nothing · 130 interrupted (the next start goes on)";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the team and the loop, or go on where they were
    Up(UpArgs),
    /// Steer the loop of a running team from another terminal
    Loop(LoopArgs),
    /// Make a dataset in LeRobot v3 form with the simulator and the expert
    Generate(GenerateArgs),
    /// Look into datasets on disk, check them, export them to video
    Dataset(DatasetArgs),
    /// List scenario families, show their schema, or check a proposed one
    Scenario(super::scenario::ScenarioArgs),
    /// Train a policy on datasets
    Train(TrainArgs),
    /// Drive a policy or the expert in closed loop on scenes by seed
    Rollout(RolloutArgs),
    /// Look into a checkpoint, run it on given inputs, or certify one from elsewhere
    Policy(super::policy::PolicyArgs),
    /// Find out why a checkpoint fails: a report with classes, places, first deviations, distances and an audit
    Diagnose(DiagnoseArgs),
    /// Show what the loops reached
    Report(ReportArgs),
    /// Show the tree of what made a checkpoint, dataset, evaluation or clip
    Lineage(LineageArgs),
    /// Show what was spent; price, audit and compare it
    Cost(super::cost::CostArgs),
    /// Show each agent's age of progress and the last checks
    Watchdog(WatchdogArgs),
    /// Measure in less than a minute what this machine does with a preset; plans get their times from it
    Probe(ProbeArgs),
    /// Check the machine, the configuration, the data folder and the keys
    Doctor,
    /// Measure the simulator, the renderer, the trainer, rollouts, or a whole loop on this machine
    Bench(BenchArgs),
}

impl Default for Command {
    fn default() -> Self {
        Command::Up(UpArgs::default())
    }
}

#[derive(Debug, Args, Default)]
pub struct UpArgs {
    /// Loops of a new mission [default: from agents.toml]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub loops: Option<u32>,
    /// Preset of a new mission [default: from agents.toml]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Seed of a new mission [default: from agents.toml]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// End the process when the mission ended; the exit code tells how
    #[arg(long)]
    pub exit_when_done: bool,
    /// Address of the page; port 0 takes any free port [default: from agents.toml]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Start the team, but no mission; begin one with /loop start
    #[arg(long)]
    pub no_mission: bool,
}

#[derive(Debug, Args)]
pub struct LoopArgs {
    #[command(subcommand)]
    pub action: LoopAction,
}

#[derive(Debug, Subcommand)]
pub enum LoopAction {
    /// Show the mission and its loops
    Status,
    /// Start a mission; a team must be up to carry it out
    Start {
        /// Loops to run [default: from agents.toml]
        #[arg(long, value_name = "N")]
        loops: Option<u32>,
        /// Preset [default: from agents.toml]
        #[arg(long, value_name = "NAME")]
        preset: Option<String>,
        /// Seed [default: from agents.toml]
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Let the running job end and start nothing new
    Pause,
    /// Go on after a pause
    Resume,
    /// End the mission at the next safe point; what was made stays
    Stop,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Folder of the dataset. The same order again does nothing, after an interruption it goes on; another is refused
    #[arg(long, value_name = "DIR", required_unless_present = "preview", conflicts_with = "preview")]
    pub out: Option<PathBuf>,
    /// Make no dataset: write a contact sheet of the scenario families, a picture of each, and a clip of the expert in
    /// each (GIF; MP4 too where ffmpeg is installed) into this folder
    #[arg(long, value_name = "DIR")]
    pub preview: Option<PathBuf>,
    /// With --preview: no clips
    #[arg(long, requires = "preview")]
    pub stills_only: bool,
    /// Episodes to make
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub episodes: u32,
    /// Where all randomness begins: the same seed makes the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Bricks in an episode: a number, or a range such as 1-3 [default: from the preset]
    #[arg(long, value_name = "K", value_parser = parse_bricks)]
    pub bricks: Option<(u32, u32)>,
    /// Scenario family; may be repeated [default: all alike]
    #[arg(long, value_name = "NAME")]
    pub scenario: Vec<String>,
    /// Scenario families of your own, TOML or JSON: checked first, then they can be named with --scenario
    #[arg(long, value_name = "FILE")]
    pub scenario_file: Option<PathBuf>,
    /// Colours of the bricks: red, blue, green, orange, white, azure, lime, purple, or all [default: each family's own]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub colours: Vec<String>,
    /// What disturbs the expert: none, noise, bad-start, or mixed as in the preset
    #[arg(long, value_name = "NAME", default_value = "mixed")]
    pub strategy: Strategy,
    /// Also write the dataset as video, into DIR-video; needs ffmpeg
    #[arg(long)]
    pub video: bool,
    /// Sizes from this preset of agents.toml [default: the mission's]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Threads [default: all]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Strategy {
    /// The expert alone
    None,
    /// Bursts of noise in every episode
    Noise,
    /// Every episode begins in a bad situation
    BadStart,
    /// As in the preset
    Mixed,
}

#[derive(Debug, Args)]
pub struct DatasetArgs {
    #[command(subcommand)]
    pub action: DatasetAction,
}

#[derive(Debug, Subcommand)]
pub enum DatasetAction {
    /// Read everything and print one line for each defect; exit code 5 when there is one
    Check {
        /// Folder of the dataset
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Show what a dataset holds, in numbers
    Summary {
        /// Folder of the dataset
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// List the datasets in a folder
    List {
        /// Folder with datasets in it
        #[arg(value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Show a timeline of an episode: who acted, the phase, each action and state number
    Show {
        /// Folder of the dataset
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Number of the episode, from 0
        #[arg(value_name = "EPISODE")]
        episode: usize,
        /// Draw it with key frames into this PNG file too
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
    },
    /// Write a dataset of images as one of video; needs ffmpeg
    Export {
        /// Folder of the dataset of images
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Folder of the new dataset
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// h264 keeps the colour of small bricks (yuv444p); av1 is LeRobot's default (yuv420p, even sizes)
        #[arg(long, value_name = "NAME", default_value = "h264")]
        codec: VideoCodec,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum VideoCodec {
    /// H.264 with full colour resolution
    H264,
    /// AV1 with half colour resolution
    Av1,
}

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Dataset folder; may be repeated, the last one counts as the newest
    #[arg(long, value_name = "DIR", required = true)]
    pub dataset: Vec<PathBuf>,
    /// Folder of the new checkpoint; must not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Samples to draw [default: from the preset]
    #[arg(long, value_name = "N")]
    pub samples: Option<u64>,
    /// Peak learning rate [default: from the preset]
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// How often each dataset is drawn from, in the order of --dataset [default: by size, the newest more often]
    #[arg(long, value_name = "WEIGHT")]
    pub weight: Vec<f64>,
    /// Checkpoint to begin with, to fine-tune it [default: fresh weights]
    #[arg(long, value_name = "DIR")]
    pub start: Option<PathBuf>,
    /// Samples between two saved states; an interrupted training goes on from the last one
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub save_every: u64,
    /// Snapshots driven in closed loop on the way, the best of which is kept; 0 for none [default: from the preset]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub canaries: Option<u32>,
    /// Where the curve goes as PNG [default: beside the checkpoint]
    #[arg(long, value_name = "FILE")]
    pub curve: Option<PathBuf>,
    /// Where all randomness begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Sizes from this preset of agents.toml [default: the mission's]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Threads [default: all]; weights repeat to the bit only for an equal number
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Mission number [default: the newest]
    #[arg(long, value_name = "N")]
    pub mission: Option<i64>,
    /// Write the report with its charts into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct WatchdogArgs {
    /// Run every check once, cure what needs it, and exit with 5 when something was wrong
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
pub struct LineageArgs {
    /// The first characters of its hash, `champion`, `latest`, or `checkpoint-3`, `dataset-3`, `evaluation-3`
    #[arg(value_name = "ARTEFACT")]
    pub artefact: String,
}

#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Sizes from this preset of agents.toml [default: the mission's]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Take some seconds only, as `up` does before a mission
    #[arg(long)]
    pub short: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Threads [default: all]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    pub what: BenchPart,
    /// Python with PyTorch to compare policies with
    #[arg(long, value_name = "FILE", default_value = "python3")]
    pub python: PathBuf,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchPart {
    /// Simulator, renderer, trainer and rollouts
    All,
    /// Control steps, expert and labels
    Sim,
    /// Frames
    Render,
    /// Episodes into a dataset
    Data,
    /// Training and inference
    Train,
    /// Training and inference of each policy preset, beside PyTorch where it is installed
    Policy,
    /// Reserving and settling with 16 callers at once
    Ledger,
    /// One whole quick loop in a folder of its own: minutes, first number, memory
    Loop,
}

fn parse_bricks(text: &str) -> Result<(u32, u32), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let read = |part: &str| part.trim().parse::<u32>().ok().filter(|n| (1..=10).contains(n));
    match (read(low), read(high)) {
        (Some(low), Some(high)) if low <= high => Ok((low, high)),
        _ => Err("give a number from 1 to 10, or a range such as 1-3".to_owned()),
    }
}

pub(super) fn parse_threads(text: &str) -> Result<usize, String> {
    text.parse::<usize>().ok().filter(|n| (1..=256).contains(n)).ok_or_else(|| "give a number from 1 to 256".to_owned())
}

/// Prints a line of output for people or scripts. A reader who went away is no reason to stop the team.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a refusal.
pub fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bricks_are_a_number_or_a_range() {
        assert_eq!(parse_bricks("2"), Ok((2, 2)));
        assert_eq!(parse_bricks("1-3"), Ok((1, 3)));
        for wrong in ["0", "3-1", "11", "x", ""] {
            assert!(parse_bricks(wrong).is_err(), "{wrong}");
        }
    }
}
