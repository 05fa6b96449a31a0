//! A training that is killed with SIGKILL at random instants ends with the weights of one that was left alone.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use ralphton::base::Seed;
use rand::Rng as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Kills before the training may run to its end.
const KILLS: usize = 5;

fn ralphton(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ralphton"));
    command.current_dir(folder).env_remove("RALPHTON_DATA").env_remove("RUST_LOG");
    command.stdout(Stdio::null()).stderr(Stdio::inherit());
    command
}

fn train(folder: &Path, out: &str) -> Command {
    let mut command = ralphton(folder);
    command.args(["train", "--dataset", "data", "--out", out, "--samples", "600", "--save-every", "36"]);
    command.args(["--canaries", "0", "--threads", "2", "--seed", "5"]);
    command
}

#[test]
fn a_training_killed_at_random_instants_ends_with_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let small = include_str!("../agents.toml").replacen("width = 96", "width = 24", 1).replacen(
        "height = 72",
        "height = 18",
        1,
    );
    std::fs::write(folder.join("agents.toml"), small).unwrap();
    let made = ralphton(folder).args(["generate", "--out", "data", "--episodes", "4", "--seed", "3"]).status();
    assert!(made.unwrap().success());

    let started = Instant::now();
    assert!(train(folder, "whole").status().unwrap().success());
    let whole = started.elapsed();

    let mut rng = Seed(11).rng();
    let mut interrupted = 0;
    for _ in 0..KILLS {
        let mut child = train(folder, "killed").spawn().unwrap();
        // An instant of a process's life is what the test is about: there is no event to wait for instead.
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * rng.random_range(0.1..0.5)));
        child.kill().unwrap();
        child.wait().unwrap();
        if folder.join("killed").exists() {
            // Each run goes on where the one before was killed, so a late one may come to its end.
            break;
        }
        interrupted += usize::from(folder.join("killed.training/training_state.safetensors").exists());
    }
    assert!(interrupted > 0, "no kill left a state behind");
    if !folder.join("killed").exists() {
        assert!(train(folder, "killed").status().unwrap().success());
        assert!(!folder.join("killed.training").exists() && folder.join("killed.png").exists());
    }
    for file in
        ["model.safetensors", "golden.safetensors", "policy_preprocessor_step_3_normalizer_processor.safetensors"]
    {
        let read = |out: &str| std::fs::read(folder.join(out).join(file)).unwrap();
        assert!(read("whole") == read("killed"), "{file} differs");
    }
}
