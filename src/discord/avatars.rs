//! The agents' faces as pictures for webhooks, drawn from the page's.

/// The face of an agent by its name; the team's emblem for everyone else.
pub(super) fn avatar(author: &str) -> &'static [u8] {
    match author {
        "watcher" => include_bytes!("faces/watcher.png"),
        "domain-expert" => include_bytes!("faces/domain-expert.png"),
        "developer" => include_bytes!("faces/developer.png"),
        "training" => include_bytes!("faces/training.png"),
        "evaluation" => include_bytes!("faces/evaluation.png"),
        _ => include_bytes!("faces/system.png"),
    }
}
