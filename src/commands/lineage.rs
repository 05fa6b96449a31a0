//! `/lineage`: what made an artefact.

use super::{CommandError, Commands, Reply};
use crate::cycle::lineage::{LineageError, lineage};

impl Commands {
    pub(super) async fn lineage(&self, artefact: &str) -> Result<Reply, CommandError> {
        match lineage(&self.store, artefact).await {
            Ok(tree) => Ok(Reply::open(format!("```\n{tree}```"))),
            Err(LineageError::Store(error)) => Err(error.into()),
            Err(error) => Err(CommandError::Refused(error.to_string())),
        }
    }
}
