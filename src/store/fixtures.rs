//! What the store's tests share: moments, and rows that other rows refer to.

use super::{NewJob, NewMission, Store};
use crate::base::{JobKind, LoopId, MissionId, Seed, Stage, Timestamp};
use serde_json::json;

/// `seconds` after the tests' beginning of time.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A mission of three loops.
pub(super) async fn mission(store: &Store) -> MissionId {
    let new = NewMission {
        preset: "quick".into(),
        goal: "put the bricks into the box".into(),
        planned_loops: 3,
        target_success: 0.8,
        seed: Seed(u64::MAX - 1),
        settings: json!({ "episodes": 40 }),
        terms: json!({}),
        versions: json!({ "ralphton": "0" }),
    };
    store.create_mission(&new, at(0)).await.unwrap()
}

/// The first loop of a mission.
pub(super) async fn first_loop(store: &Store) -> LoopId {
    let mission = mission(store).await;
    store.open_loop(mission, 1, at(0)).await.unwrap()
}

/// A training job of the agent `training`.
pub(super) fn job(key: &str) -> NewJob {
    NewJob {
        kind: JobKind::Train,
        spec: json!({ "samples": 1000 }),
        key: key.into(),
        owner: "training".into(),
        loop_id: None,
        stage: Some(Stage::Train),
        limit: None,
    }
}
