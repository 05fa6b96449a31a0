//! The direction of the rooms: a room under `src/` uses only rooms of a lower level. Prints every edge that breaks it.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test stops at what it did not expect")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by level, lowest first; `ARCHITECTURE.md` draws the same.
const LEVELS: &[&[&str]] = &[
    &["base"],
    &["store", "artifacts", "dataset", "sim", "llm"],
    &["ledger", "render", "policy"],
    &["rollout", "report"],
    &["episodes"],
    &["cycle"],
    &["tools"],
    &["agents", "watchdog"],
    &["commands"],
    &["discord", "console"],
    &["config"],
    &["app"],
];

/// What must be absent: words that only the named rooms may contain.
const ABSENT: &[(&str, &[&str])] =
    &[("serenity::", &["discord"]), ("poise::", &["discord"]), ("sqlx::", &["store"]), ("std::env::var", &["config"])];

/// Rooms that know nothing of the async world.
const PLAIN: &[&str] = &["sim", "render", "dataset", "policy", "episodes", "rollout", "report"];

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Every room with its files: `src/<room>/…` or `src/<room>.rs`.
fn rooms() -> Vec<(String, Vec<PathBuf>)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rooms = Vec::new();
    for entry in fs::read_dir(src).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let mut files = Vec::new();
            rust_files(&path, &mut files);
            rooms.push((name, files));
        } else if path.extension().is_some_and(|e| e == "rs") && name != "lib" && name != "main" {
            rooms.push((name, vec![path]));
        }
    }
    rooms
}

/// Source without its comment lines, where other rooms may be named freely.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms named in `crate::<room>` and in `use crate::{<room>, <room>::…}`.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let mut depth = 0;
            let mut names = vec![String::new()];
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(String::new()),
                    other if depth == 0 => names.last_mut().unwrap().push(other),
                    _ => {}
                }
            }
            found.extend(names.iter().map(|n| n.trim().split("::").next().unwrap().to_owned()));
        } else {
            found.insert(part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

#[test]
fn every_room_has_a_level() {
    let unknown: Vec<_> = rooms().into_iter().map(|(name, _)| name).filter(|name| level(name).is_none()).collect();
    assert!(unknown.is_empty(), "rooms without a level: {unknown:?}");
}

#[test]
fn rooms_use_only_lower_rooms() {
    let mut broken = Vec::new();
    for (room, files) in rooms() {
        let own = level(&room).unwrap();
        for file in files {
            for used in uses(&code(&file)) {
                if let Some(other) = level(&used)
                    && used != room
                    && other >= own
                {
                    broken.push(format!("{room} ({own}) -> {used} ({other}) in {}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "edges that point upwards:\n{}", broken.join("\n"));
}

#[test]
fn what_must_be_absent_is_absent() {
    let mut broken = Vec::new();
    for (room, files) in rooms() {
        for file in files {
            let code = code(&file);
            for (word, allowed) in ABSENT {
                if !allowed.contains(&room.as_str()) && code.contains(word) {
                    broken.push(format!("{word} in {}", file.display()));
                }
            }
            if PLAIN.contains(&room.as_str()) && (code.contains("tokio::") || code.contains("async fn")) {
                broken.push(format!("async code in {}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "found where it must not be:\n{}", broken.join("\n"));
}

#[test]
fn groups_and_paths_are_both_seen() {
    let found = uses("use crate::{base::Seed, sim};\nlet x = crate::store::open();");
    assert_eq!(found, ["base", "sim", "store"].map(str::to_owned).into());
}
