//! What LeRobot has no place for, frame by frame: who acted, in which phase of the task, and what only the simulator knew.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Who chose the action that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The expert, as it wanted.
    #[default]
    Expert,
    /// The expert's action, changed by noise.
    Noise,
    /// A policy.
    Policy,
}

impl Actor {
    /// Every actor.
    pub const ALL: [Actor; 3] = [Actor::Expert, Actor::Noise, Actor::Policy];

    /// The name in the side table.
    pub fn as_str(self) -> &'static str {
        match self {
            Actor::Expert => "expert",
            Actor::Noise => "noise",
            Actor::Policy => "policy",
        }
    }

    /// The actor of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|actor| actor.as_str() == name)
    }
}

/// The side table's part of a frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FrameNotes {
    /// Who chose the executed action.
    pub actor: Actor,
    /// What the task is at: `search`, `approach`, `scoop`, `carry`, … empty when nobody says.
    pub phase: Cow<'static, str>,
    /// The simulator's whole state as numbers; the provenance names their layout. May be empty.
    pub privileged: Vec<f32>,
}
