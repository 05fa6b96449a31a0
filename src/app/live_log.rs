//! The terminal while the team runs: what the channels say, and now and then how far the running job is.

use super::cli::say;
use crate::base::{Clock, JobId, MessageId};
use crate::cycle::summary::progress_text;
use crate::store::{MessageRow, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The log looks at least this often.
const POLL: Duration = Duration::from_millis(500);
/// Seconds between two lines about the same job.
const JOB_EVERY_S: f64 = 20.0;
/// Longest line before it is wrapped.
const WIDTH: usize = 100;

/// Prints messages and progress until `stop` is cancelled; what was posted before the stop is still printed.
pub async fn run(
    store: Store,
    clock: Arc<dyn Clock>,
    titles: BTreeMap<String, String>,
    from: MessageId,
    stop: CancellationToken,
) {
    let mut log = LiveLog { store, clock, titles, last: from, job: None };
    loop {
        if let Err(error) = log.step().await {
            tracing::warn!(%error, "the live log cannot read the store");
        }
        tokio::select! {
            () = stop.cancelled() => {
                if let Err(error) = log.messages().await {
                    tracing::warn!(%error, "the live log cannot read the store");
                }
                return;
            }
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

struct LiveLog {
    store: Store,
    clock: Arc<dyn Clock>,
    titles: BTreeMap<String, String>,
    last: MessageId,
    /// The job last shown, the second it was shown, and how far it was.
    job: Option<(JobId, f64, u64)>,
}

impl LiveLog {
    async fn step(&mut self) -> Result<(), StoreError> {
        self.messages().await?;
        self.progress().await
    }

    async fn messages(&mut self) -> Result<(), StoreError> {
        for message in self.store.messages(None, self.last, 200).await? {
            self.last = message.id;
            say(&self.words(&message));
        }
        Ok(())
    }

    async fn progress(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let now_s = now.as_millisecond() as f64 / 1000.0;
        let open = self.store.open_jobs().await?;
        let Some(job) = open.iter().find(|job| job.started_at.is_some() && job.total > 0) else { return Ok(()) };
        let due = match self.job {
            Some((id, shown, done)) if id == job.id => now_s - shown >= JOB_EVERY_S && job.done != done,
            Some(_) | None => true,
        };
        if due {
            self.job = Some((job.id, now_s, job.done));
            say(&format!("{}  {:>17}  {}", clock_time(now), job.kind.as_str(), progress_text(job)));
        }
        Ok(())
    }

    fn words(&self, message: &MessageRow) -> String {
        let title = self.titles.get(&message.author).map_or(message.author.as_str(), String::as_str);
        let brain = message.brain.as_deref().map(|brain| format!(" ({brain})")).unwrap_or_default();
        let head = format!("{}  #{:<16}  {title}{brain}: ", clock_time(message.created_at), message.channel);
        let indent = " ".repeat(29);
        let mut text = head;
        let mut first = true;
        for line in message.text.lines() {
            for part in wrap(line, WIDTH) {
                if !first {
                    text.push('\n');
                    text.push_str(&indent);
                }
                text.push_str(&part);
                first = false;
            }
        }
        for attachment in &message.attachments {
            text.push_str(&format!("\n{indent}[{}: {}]", attachment.name, attachment.alt));
        }
        text
    }
}

/// Hours, minutes and seconds in the machine's time zone.
fn clock_time(at: crate::base::Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string()
}

/// Splits at blanks so that no part is longer than `width`, unless a single word is; tables keep their blanks.
fn wrap(line: &str, width: usize) -> Vec<String> {
    if line.chars().count() <= width || line.contains('|') || line.contains("  ") {
        return vec![line.to_owned()];
    }
    let mut parts = vec![String::new()];
    for word in line.split(' ') {
        let current = parts.last().map_or(0, |part| part.chars().count());
        if current > 0 && current + 1 + word.chars().count() > width {
            parts.push(word.to_owned());
        } else if let Some(part) = parts.last_mut() {
            if !part.is_empty() {
                part.push(' ');
            }
            part.push_str(word);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_at_blanks_and_lose_nothing() {
        let line = "the policy drives on hidden scenes ".repeat(9);
        let line = line.trim();
        let parts = wrap(line, 40);
        assert!(parts.iter().all(|part| part.chars().count() <= 40), "{parts:?}");
        assert_eq!(parts.join(" "), line);
    }
}
