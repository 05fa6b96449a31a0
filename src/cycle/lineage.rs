//! What made an artefact: the tree from a checkpoint, dataset, evaluation, clip or chart back to the seeds.
//!
//! Everything is in the rows already: a job keeps its specification, a checkpoint its parent, an evaluation its
//! checkpoint. This only walks them, each artefact once.

use super::spec::JobSpec;
use super::summary::{duration, grouped};
use crate::base::{ArtifactId, CheckpointId, DatasetId, EvaluationId, JobId};
use crate::store::{CheckpointRow, DatasetRow, Store, StoreError};
use std::collections::BTreeSet;
use std::fmt::Write;
use thiserror::Error;

/// Fewest characters of a hash that name an artefact.
const FEWEST_CHARACTERS: usize = 4;
/// Lines of a tree at most; deeper history is cut, and that is said.
const MOST_LINES: usize = 200;

/// Why there is no tree.
#[derive(Debug, Error)]
pub enum LineageError {
    /// The name is too short or of the wrong kind.
    #[error(
        "\"{0}\" names no artefact: give at least {FEWEST_CHARACTERS} characters of its hash, or `champion`, `latest`, \
         `checkpoint-3`, `dataset-3`, `evaluation-3`"
    )]
    BadName(String),
    /// Nothing is stored under that name.
    #[error("nothing here is called \"{0}\"; `ralphton report` lists what a mission made")]
    Unknown(String),
    /// Several artefacts begin so.
    #[error("\"{0}\" begins {1} artefacts ({2}); give more characters")]
    Ambiguous(String, usize, String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Something that was made, and what it was made from.
#[derive(Debug, Clone, PartialEq, Default)]
struct Node {
    text: String,
    from: Vec<Node>,
}

/// Where a walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    Checkpoint(CheckpointId),
    Dataset(DatasetId),
    Evaluation(EvaluationId),
}

/// The tree of what made `wanted`: a hash or its beginning, `champion`, `latest`, or a kind and a number.
///
/// # Errors
/// [`LineageError`], which says what names there are.
pub async fn lineage(store: &Store, wanted: &str) -> Result<String, LineageError> {
    let wanted = wanted.trim().to_lowercase();
    let mut walk = Walk { store, seen: BTreeSet::new(), lines: 0 };
    let root = match by_name(store, &wanted).await? {
        Some(made) => walk.node(made).await?,
        None => walk.by_hash(&wanted).await?,
    };
    let mut text = format!("{}\n", root.text);
    draw(&root.from, "", &mut text);
    if walk.lines >= MOST_LINES {
        text += &format!("(cut after {MOST_LINES} lines; ask for one of the older artefacts to see further back)\n");
    }
    Ok(text)
}

/// `champion`, `latest`, `checkpoint-3`, …; none for anything else.
async fn by_name(store: &Store, wanted: &str) -> Result<Option<Made>, LineageError> {
    let unknown = || LineageError::Unknown(wanted.to_owned());
    match wanted {
        "champion" => {
            return Ok(Some(Made::Checkpoint(store.champion().await?.ok_or_else(unknown)?.id)));
        }
        "latest" => {
            let newest = store.checkpoints().await?.pop();
            return Ok(Some(Made::Checkpoint(newest.ok_or_else(unknown)?.id)));
        }
        _ => {}
    }
    let Some((kind, number)) = wanted.split_once('-') else { return Ok(None) };
    let Ok(number) = number.parse::<i64>() else { return Ok(None) };
    let made = match kind {
        "checkpoint" => store.checkpoint(CheckpointId(number)).await?.map(|row| Made::Checkpoint(row.id)),
        "dataset" => store.dataset(DatasetId(number)).await?.map(|row| Made::Dataset(row.id)),
        "evaluation" => store.evaluation(EvaluationId(number)).await?.map(|row| Made::Evaluation(row.id)),
        _ => return Ok(None),
    };
    made.map(Some).ok_or_else(unknown)
}

struct Walk<'a> {
    store: &'a Store,
    seen: BTreeSet<Made>,
    lines: usize,
}

impl Walk<'_> {
    /// The node of the one artefact whose hash begins with `prefix`; of equal artefacts the newest.
    async fn by_hash(&mut self, prefix: &str) -> Result<Node, LineageError> {
        let is_hash = prefix.len() >= FEWEST_CHARACTERS && prefix.chars().all(|c| c.is_ascii_hexdigit());
        if !is_hash {
            return Err(LineageError::BadName(prefix.chars().take(80).collect()));
        }
        let fits = |artifact: &ArtifactId| artifact.0.starts_with(prefix);
        let checkpoints: Vec<_> = self.store.checkpoints().await?.into_iter().filter(|c| fits(&c.artifact)).collect();
        let datasets: Vec<_> = self.store.datasets().await?.into_iter().filter(|d| fits(&d.artifact)).collect();
        let clips = self.store.clips_like(prefix).await?;
        let others = self.store.artifacts_like(prefix).await?;
        let mut hashes: BTreeSet<&ArtifactId> = checkpoints.iter().map(|c| &c.artifact).collect();
        hashes.extend(datasets.iter().map(|d| &d.artifact));
        hashes.extend(clips.iter().map(|(_, _, clip)| clip));
        hashes.extend(others.iter().map(|row| &row.id));
        if hashes.len() > 1 {
            let some: Vec<&str> = hashes.iter().take(3).map(|hash| short(hash)).collect();
            return Err(LineageError::Ambiguous(prefix.to_owned(), hashes.len(), some.join(", ")));
        }
        if let Some(row) = checkpoints.last() {
            return self.node(Made::Checkpoint(row.id)).await;
        }
        if let Some(row) = datasets.last() {
            return self.node(Made::Dataset(row.id)).await;
        }
        if let Some((evaluation, scene, clip)) = clips.last() {
            let from = vec![self.node(Made::Evaluation(*evaluation)).await?];
            return Ok(Node { text: format!("clip {} of scene {scene}", short(clip)), from });
        }
        if let Some(row) = others.last() {
            let text = format!("{} {}, drawn by {} from {}", row.kind, short(&row.id), row.producer, row.provenance);
            return Ok(Node { text, from: Vec::new() });
        }
        Err(LineageError::Unknown(prefix.to_owned()))
    }

    async fn node(&mut self, made: Made) -> Result<Node, LineageError> {
        self.lines += 1;
        let again = !self.seen.insert(made);
        let (mut node, job) = match made {
            Made::Checkpoint(id) => match self.store.checkpoint(id).await? {
                Some(row) => (Node { text: checkpoint_line(&row), from: Vec::new() }, row.job_id),
                None => (gone("checkpoint", id.0), None),
            },
            Made::Dataset(id) => match self.store.dataset(id).await? {
                Some(row) => (Node { text: dataset_line(&row), from: Vec::new() }, row.job_id),
                None => (gone("dataset", id.0), None),
            },
            Made::Evaluation(id) => match self.store.evaluation(id).await? {
                Some(row) => {
                    let text = format!("evaluation {id} ({}): {} of scenes solved", row.kind, row.scenes);
                    let mut node = Node { text, from: Vec::new() };
                    if let Some(checkpoint) = row.checkpoint_id.filter(|_| !again && self.lines < MOST_LINES) {
                        node.from.push(Box::pin(self.node(Made::Checkpoint(checkpoint))).await?);
                    }
                    (node, row.job_id)
                }
                None => (gone("evaluation", id.0), None),
            },
        };
        if again {
            node.text += " (see above)";
            return Ok(node);
        }
        if let Some(job) = job
            && self.lines < MOST_LINES
        {
            self.lines += 1;
            node.from.insert(0, self.job(job, made).await?);
        }
        Ok(node)
    }

    /// The job that made something, and under it what the job was given.
    async fn job(&mut self, id: JobId, made: Made) -> Result<Node, LineageError> {
        let Some(job) = self.store.job(id).await? else { return Ok(gone("job", id.0)) };
        let mut text = format!("by job {id}, {}", job.key);
        if let (Some(loop_id), Some(stage)) = (job.loop_id, job.stage)
            && let Some(decision) = self.store.decision_for(loop_id, stage).await?
            && let Some(by) = decision.decided_by
        {
            text += &format!(", planned by {by}");
        }
        if let Some(seconds) = job.seconds_in_one_go() {
            text += &format!(", took {}", duration(seconds));
        }
        let mut inputs = Vec::new();
        match serde_json::from_value::<JobSpec>(job.spec) {
            Ok(JobSpec::Generate(spec)) => {
                text +=
                    &format!(", {} episodes from seed {}", grouped(u64::from(spec.order.episodes)), spec.order.seed.0);
                inputs.extend(spec.driver.map(Made::Checkpoint));
            }
            Ok(JobSpec::Train(spec)) => {
                text += &format!(
                    ", {} samples at learning rate {} from seed {}",
                    grouped(spec.plan.samples),
                    spec.plan.learning_rate,
                    spec.plan.seed.0
                );
                inputs.extend(spec.start.map(Made::Checkpoint));
                inputs.extend(spec.datasets.into_iter().map(Made::Dataset));
            }
            Ok(JobSpec::Evaluate(spec)) => {
                text += &format!(", {} actions of each chunk carried out", spec.execute_steps);
                // Its checkpoint stands beside the job already.
                inputs.extend(Some(Made::Checkpoint(spec.checkpoint)).filter(|_| !matches!(made, Made::Evaluation(_))));
            }
            Ok(JobSpec::Feedback(_)) | Err(_) => {}
        }
        let mut from = Vec::with_capacity(inputs.len());
        for input in inputs {
            if self.lines >= MOST_LINES {
                break;
            }
            from.push(Box::pin(self.node(input)).await?);
        }
        Ok(Node { text, from })
    }
}

fn checkpoint_line(row: &CheckpointRow) -> String {
    let mut text =
        format!("checkpoint {} ({}), {} samples in its life", row.id, short(&row.artifact), grouped(row.samples_seen));
    if row.champion_since.is_some() {
        text += ", champion";
    }
    if let Some(why) = &row.refused {
        text += &format!(", out of use: {why}");
    }
    text + &versions(&row.summary)
}

fn dataset_line(row: &DatasetRow) -> String {
    format!(
        "dataset {} ({}), {} episodes with {} samples{}",
        row.id,
        short(&row.artifact),
        grouped(u64::from(row.episodes)),
        grouped(u64::from(row.samples)),
        versions(&row.summary)
    )
}

/// ", ralphton 0.1.0, sim 3, rapier3d 0.36.1", as far as it is known.
fn versions(summary: &serde_json::Value) -> String {
    let mut text = String::new();
    for name in ["ralphton", "sim", "rapier3d"] {
        let version = &summary["provenance"][name];
        let version = version.as_str().map_or_else(|| version.to_string(), str::to_owned);
        if version != "null" {
            // Writing into a string cannot fail.
            let _ = write!(text, ", {name} {version}");
        }
    }
    text
}

fn gone(what: &str, number: i64) -> Node {
    Node { text: format!("{what} {number}, which is not in the store any more"), from: Vec::new() }
}

fn short(artifact: &ArtifactId) -> &str {
    artifact.0.get(..12).unwrap_or(&artifact.0)
}

fn draw(nodes: &[Node], indent: &str, text: &mut String) {
    for (i, node) in nodes.iter().enumerate() {
        let last = i + 1 == nodes.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        text.push_str(&format!("{indent}{branch}{}\n", node.text));
        draw(&node.from, &format!("{indent}{below}"), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{JobKind, Timestamp};
    use crate::cycle::spec::GenerateSpec;
    use crate::episodes::Order;
    use crate::store::{NewCheckpoint, NewDataset, NewJob};
    use serde_json::json;

    async fn job(store: &Store, key: &str, kind: JobKind, spec: serde_json::Value) -> JobId {
        let owner = "developer".to_owned();
        let new = NewJob { kind, spec, key: key.to_owned(), owner, loop_id: None, stage: None, limit: None };
        store.enqueue(&new, Timestamp::UNIX_EPOCH).await.unwrap()
    }

    /// Two checkpoints: the second goes on from the first, on data that the first drove.
    async fn story() -> Store {
        let store = Store::in_memory().await.unwrap();
        let checkpoint = async |artifact: &str, job_id, parent| {
            let new = NewCheckpoint {
                loop_id: None,
                job_id: Some(job_id),
                parent,
                artifact: ArtifactId(artifact.to_owned()),
                path: String::new(),
                samples_seen: 90_000,
                final_loss: 0.1,
                summary: json!({ "provenance": { "ralphton": "0.1.0" } }),
            };
            store.add_checkpoint(&new, Timestamp::UNIX_EPOCH).await.unwrap()
        };
        let train = job(&store, "mission1/loop1/train", JobKind::Train, json!({})).await;
        let first = checkpoint("abcd1111", train, None).await;
        let order = Order { episodes: 800, ..Order::default() };
        let spec = JobSpec::Generate(GenerateSpec { order, driver: Some(first), execute_steps: 10 });
        let generate = job(&store, "mission1/loop2/generate", JobKind::Generate, spec.to_json()).await;
        let dataset = NewDataset {
            loop_id: None,
            job_id: Some(generate),
            artifact: ArtifactId("abef2222".to_owned()),
            path: String::new(),
            episodes: 790,
            frames: 9_000,
            samples: 9_000,
            strategy: "dagger".to_owned(),
            summary: json!({}),
        };
        store.add_dataset(&dataset, Timestamp::UNIX_EPOCH).await.unwrap();
        store.promote(first, Timestamp::UNIX_EPOCH).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_tree_goes_back_to_the_seeds() {
        let store = story().await;
        insta::assert_snapshot!(lineage(&store, "abef").await.unwrap(), @r"
        dataset 1 (abef2222), 790 episodes with 9,000 samples
        └─ by job 2, mission1/loop2/generate, 800 episodes from seed 1
           └─ checkpoint 1 (abcd1111), 90,000 samples in its life, champion, ralphton 0.1.0
              └─ by job 1, mission1/loop1/train
        ");
        assert!(lineage(&store, "Champion").await.unwrap().starts_with("checkpoint 1 (abcd1111)"));
        assert_eq!(lineage(&store, "checkpoint-1").await.unwrap(), lineage(&store, "ABCD").await.unwrap());
    }

    #[tokio::test]
    async fn what_is_not_clear_is_asked_for() {
        let store = story().await;
        let refusal = async |name: &str| lineage(&store, name).await.unwrap_err().to_string();
        assert!(refusal("ab").await.contains("at least 4 characters"));
        assert!(refusal("dataset-9").await.starts_with("nothing here is called \"dataset-9\""));
        assert!(refusal("0000").await.starts_with("nothing here is called"));
        let other = job(&store, "other", JobKind::Train, json!({})).await;
        let twin = NewCheckpoint {
            loop_id: None,
            job_id: Some(other),
            parent: None,
            artifact: ArtifactId("abcd9999".to_owned()),
            path: String::new(),
            samples_seen: 1,
            final_loss: 0.1,
            summary: json!({}),
        };
        store.add_checkpoint(&twin, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(refusal("abcd").await, "\"abcd\" begins 2 artefacts (abcd1111, abcd9999); give more characters");
    }
}
