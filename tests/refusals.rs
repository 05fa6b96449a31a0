//! Bad input gets a refusal that says what to do, and nothing is damaged: the program is run as a person would run it.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test stops at what it did not expect")]

use sqlx::Connection;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn ralphton(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ralphton"));
    command
        .current_dir(folder)
        .env_remove("DISCORD_TOKEN")
        .env_remove("OPENAI_API_KEY")
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("RALPHTON_DATA")
        .env_remove("RUST_LOG");
    command
}

fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("ralphton: "), "{text}");
    text
}

/// A team that is up without a mission, and the address of its page. Killed when dropped.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(folder: &Path) -> Running {
        let mut child = ralphton(folder)
            .args(["up", "--no-mission", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("http://") {
                let address = rest.split_whitespace().next().unwrap().to_owned();
                return Running { child, address };
            }
        }
        panic!("the program ended before it said where its page is: {:?}", child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("../agents.toml").replacen("first_episodes", "first_episods", 1);
    let line = 1 + text.lines().position(|line| line.contains("first_episods")).unwrap();
    std::fs::write(folder.path().join("agents.toml"), text).unwrap();
    let text = refusal(&ralphton(folder.path()).arg("doctor").output().unwrap());
    assert!(text.contains(&format!("agents.toml line {line}: unknown key `first_episods`")), "{text}");
    assert!(text.contains("did you mean `first_episodes`?"), "{text}");
    assert!(!folder.path().join("ralphton-data").exists(), "nothing is made before the configuration fits");
}

#[test]
fn a_port_in_use_and_a_folder_in_use_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());

    let output =
        ralphton(folder.path()).args(["--data", "other", "up", "--listen", &running.address]).output().unwrap();
    let text = refusal(&output);
    let port = running.address.rsplit(':').next().unwrap();
    assert!(text.contains(&format!("port {port}")) && text.contains("--listen"), "{text}");
    assert!(!folder.path().join("other").exists(), "a refused start leaves nothing behind");

    let text = refusal(&ralphton(folder.path()).args(["up", "--listen", "127.0.0.1:0"]).output().unwrap());
    assert!(text.contains("another ralphton") && text.contains("--data"), "{text}");
    assert!(text.contains(&running.child.id().to_string()), "it says which process: {text}");
}

/// Enters a migration that this version does not know, as a newer version would.
async fn pretend_newer(database: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99991231235959, 'from the future', 1, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
}

#[test]
fn a_folder_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Running::start(folder.path()));
    let database = folder.path().join("ralphton-data").join("ralphton.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(pretend_newer(&database));

    let output = ralphton(folder.path()).args(["up", "--listen", "127.0.0.1:0"]).output().unwrap();
    let text = refusal(&output);
    assert!(text.contains("newer") && text.contains("--data"), "{text}");
}

#[test]
fn asking_where_nothing_ran_says_how_to_begin() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["report"][..], &["cost"], &["watchdog"], &["loop", "status"]] {
        let text = refusal(&ralphton(folder.path()).args(arguments).output().unwrap());
        assert!(text.contains("ralphton up") && text.contains("--data"), "{arguments:?}: {text}");
    }
}

#[test]
fn wrong_words_on_the_command_line_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let output = ralphton(folder.path()).args(["rollout", "--policy", "expert", "--scenario", "brick_at_wal"]).output();
    let text = refusal(&output.unwrap());
    assert!(text.contains("brick_at_wall"), "the nearest family is named: {text}");
    let output = ralphton(folder.path()).args(["up", "--loops", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = ralphton(folder.path()).args(["up", "--preset", "quik"]).output().unwrap();
    let text = refusal(&output);
    assert!(text.contains("did you mean `quick`?"), "{text}");
}
