//! `ralphton doctor`: is everything here that a night needs? One line each, and what to do where it is not.

use super::cli::say;
use super::{Ending, data_dir, threads};
use crate::config::{Config, Secrets};
use crate::store::Store;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

/// A run needs about this much memory.
const MEMORY_MIB: f64 = 2048.0;

/// How a check ended.
enum Verdict {
    Good(String),
    Note(String),
    Bad(String),
}

pub async fn run(data: &Path, config: &Config, source: &str, secrets: &Secrets) -> anyhow::Result<Ending> {
    let checks = [
        ("processor", Verdict::Good(format!("{} threads", threads()))),
        ("memory", memory()),
        ("disk", disk(data)),
        (
            "configuration",
            Verdict::Good(format!("{source}: {} agents, preset {}", config.agents.len(), config.mission.preset)),
        ),
        ("data folder", data_folder(data).await),
        ("page", page(config.console.listen)),
        ("brains", brains(config, secrets)),
        ("discord", discord(secrets)),
    ];
    let mut bad = false;
    for (name, verdict) in &checks {
        let (mark, text) = match verdict {
            Verdict::Good(text) => ("ok  ", text),
            Verdict::Note(text) => ("note", text),
            Verdict::Bad(text) => {
                bad = true;
                ("BAD ", text)
            }
        };
        say(&format!("{mark}  {name:<14} {text}"));
    }
    Ok(if bad { Ending::CheckFailed } else { Ending::Done })
}

fn memory() -> Verdict {
    match kib_of("/proc/meminfo", "MemAvailable:") {
        Some(kib) if kib / 1024.0 >= MEMORY_MIB => Verdict::Good(format!("{:.1} GiB available", kib / 1_048_576.0)),
        Some(kib) => Verdict::Bad(format!(
            "{:.1} GiB available; a quick loop needs about {:.0} GiB: close other programs, or lower train.memory_samples in the preset",
            kib / 1_048_576.0,
            MEMORY_MIB / 1024.0
        )),
        None => Verdict::Note("this system does not tell how much is available".to_owned()),
    }
}

/// The most memory this process ever held, in MiB.
pub fn peak_memory_mib() -> Option<f64> {
    kib_of("/proc/self/status", "VmHWM:").map(|kib| kib / 1024.0)
}

fn kib_of(path: &str, key: &str) -> Option<f64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key))?.trim().trim_end_matches("kB").trim().parse().ok()
}

fn disk(data: &Path) -> Verdict {
    // The folder may not exist yet: its nearest existing parent is on the same disk.
    let Some(place) =
        data.ancestors().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p }).find(|p| p.exists())
    else {
        return Verdict::Bad(format!("{} lies nowhere that exists", data.display()));
    };
    match data_dir::free_bytes(place) {
        Ok(bytes) if bytes >> 30 >= 2 => Verdict::Good(format!("{} GiB free for {}", bytes >> 30, data.display())),
        Ok(bytes) => Verdict::Bad(format!(
            "only {} MiB free for {}; a loop needs about 1 GiB: free some, or choose another folder with --data",
            bytes >> 20,
            data.display()
        )),
        Err(error) => Verdict::Bad(format!("{error:#}")),
    }
}

async fn data_folder(data: &Path) -> Verdict {
    let database = data.join("ralphton.db");
    if !database.exists() {
        return Verdict::Good(format!("{} is not there yet; `ralphton up` makes it", data.display()));
    }
    match Store::open(&database).await {
        Err(error) => Verdict::Bad(error.to_string()),
        Ok(store) => match store.latest_mission().await {
            Ok(Some(mission)) => {
                Verdict::Good(format!("{}: mission {} is {}", data.display(), mission.id, mission.state))
            }
            Ok(None) => Verdict::Good(format!("{}: no mission yet", data.display())),
            Err(error) => Verdict::Bad(error.to_string()),
        },
    }
}

fn page(listen: SocketAddr) -> Verdict {
    match TcpListener::bind(listen) {
        Ok(_) => Verdict::Good(format!("http://{listen} is free")),
        Err(error) => Verdict::Note(format!(
            "http://{listen} cannot be opened ({error}); if that is not a running ralphton, choose another with --listen"
        )),
    }
}

fn brains(config: &Config, secrets: &Secrets) -> Verdict {
    let mut missing = Vec::new();
    for agent in &config.agents {
        let key = match agent.brain.as_str() {
            "openai" if secrets.openai_api_key.is_none() => "OPENAI_API_KEY",
            "anthropic" if secrets.anthropic_api_key.is_none() => "ANTHROPIC_API_KEY",
            _ => continue,
        };
        missing.push(format!("{} needs {key}", agent.name));
    }
    if missing.is_empty() {
        let playbook = config.agents.iter().filter(|agent| agent.brain.as_str() == "playbook").count();
        Verdict::Good(format!("{playbook} of {} agents run on the playbook", config.agents.len()))
    } else {
        Verdict::Bad(format!("{}; set it in the environment, or use brain = \"playbook\"", missing.join(", ")))
    }
}

fn discord(secrets: &Secrets) -> Verdict {
    match secrets.discord_token {
        Some(_) => Verdict::Good("DISCORD_TOKEN is set; the team also speaks there".to_owned()),
        None => Verdict::Note("no DISCORD_TOKEN; the team speaks on the page only".to_owned()),
    }
}
