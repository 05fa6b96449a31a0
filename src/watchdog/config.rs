//! What the watchdog looks for, and how often: the `[watchdog]` section of `agents.toml`.

use serde::{Deserialize, Serialize};

/// The watchdog's settings. The shipped ones notice a silent agent within three minutes, schedule included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// When it looks, as a cron expression with seconds (UTC). Default: every 30 seconds.
    pub cron: String,
    /// Seconds without progress after which an agent that thinks, starts, or has mail waiting counts as silent.
    /// Default 150: with a look every 30 s nobody is silent for more than 180 s unnoticed.
    pub silent_after_s: u32,
    /// The same for an agent that uses a tool. Default 150; a turn gives a tool 60 s.
    pub silent_in_tool_after_s: u32,
    /// Seconds without progress after which a running job counts as stalled. Default 180.
    pub stalled_after_s: u32,
    /// Seconds past its deadline after which an open decision shows that the loop does not move. Default 60.
    pub overdue_after_s: u32,
    /// Free disk space in MiB below which people are told. Default 1,024.
    pub disk_free_mib: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cron: "*/30 * * * * *".to_owned(),
            silent_after_s: 150,
            silent_in_tool_after_s: 150,
            stalled_after_s: 180,
            overdue_after_s: 60,
            disk_free_mib: 1_024,
        }
    }
}
