//! Ralphton: five agents that live in Discord and teach a robot policy in closed loop, unattended.
//!
//! The rooms and their direction are drawn in `ARCHITECTURE.md`; `tests/architecture.rs` holds them.

pub mod artifacts;
pub mod base;
pub mod cycle;
pub mod dataset;
pub mod episodes;
pub mod policy;
pub mod render;
pub mod report;
pub mod rollout;
pub mod sim;
pub mod store;
