//! A drawn picture becomes an artefact, and an attachment within the turn's reach.

use super::{Fault, ToolContext, ToolError, ToolOutput};
use crate::store::{ArtifactRow, Attachment};
use serde_json::{Value, json};

/// Stores `png` and returns it as an attachment called `name`.
pub(super) async fn keep_picture(
    ctx: &ToolContext,
    png: Vec<u8>,
    name: String,
    alt: String,
    provenance: Value,
) -> Result<ToolOutput, ToolError> {
    let bytes = png.len() as u64;
    let artifact = ctx.deps.artifacts.put(png, "png").await.map_err(Fault::Artifacts)?;
    let row = ArtifactRow {
        id: artifact.clone(),
        kind: "chart".to_owned(),
        bytes,
        producer: format!("turn {}", ctx.turn),
        provenance,
    };
    ctx.store().add_artifact(&row, ctx.now()).await?;
    let attachment = Attachment { artifact, name: name.clone(), media_type: "image/png".to_owned(), alt };
    Ok(ToolOutput { value: json!({ "picture": name }), attachments: vec![attachment], waits_for: None })
}
