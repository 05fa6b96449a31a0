//! `/agents`: what each agent does, and how long ago it last got somewhere.

use super::{CommandError, Commands, Reply, words};
use crate::store::Activity;

impl Commands {
    pub(super) async fn agents(&self) -> Result<Reply, CommandError> {
        let rows = self.store.agents().await?;
        if rows.is_empty() {
            return Ok(Reply::open("The team is starting; in a moment everyone is listed here."));
        }
        let now = self.now();
        let mut text = String::from("| agent | activity | doing | progress |\n|---|---|---|---:|\n");
        for row in &rows {
            let waiting = match (row.activity, row.waiting_for) {
                (Activity::Waiting, Some(job)) => format!("waiting for job {job}"),
                (activity, _) => activity.as_str().replace('-', " "),
            };
            text += &format!(
                "| {} | {waiting} | {} | {} ago |\n",
                row.name,
                words::plain(&row.doing),
                words::span(row.progress_at, now)
            );
        }
        Ok(Reply::open(text.trim_end()))
    }
}
