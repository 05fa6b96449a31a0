//! `lineage`: the tree of what made an artefact.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::cycle::lineage::{LineageError, lineage};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// See the module.
pub(crate) struct Lineage;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The beginning of its hash (4 characters at least), `champion`, `latest`, or a kind and a number: `checkpoint-3`,
    /// `dataset-3`, `evaluation-3`.
    artefact: String,
}

#[async_trait]
impl Tool for Lineage {
    fn name(&self) -> &'static str {
        "lineage"
    }

    fn description(&self) -> &'static str {
        "Shows what made a checkpoint, dataset, evaluation, clip or chart: jobs, inputs, seeds, versions, as a tree."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { artefact } = read_arguments(self.name(), args)?;
        match lineage(ctx.store(), &artefact).await {
            Ok(tree) => Ok(json!({ "tree": tree }).into()),
            Err(LineageError::Store(error)) => Err(error.into()),
            Err(error) => Err(tell(error.to_string())),
        }
    }
}
