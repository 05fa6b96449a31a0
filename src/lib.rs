//! Ralphton: five agents that live in Discord and teach a robot policy in closed loop, unattended.
//!
//! The rooms and their direction are drawn in `ARCHITECTURE.md`; `tests/architecture.rs` holds them.

pub mod agents;
pub mod app;
pub mod artifacts;
pub mod base;
pub mod commands;
pub mod config;
pub mod console;
pub mod cycle;
pub mod dataset;
pub mod discord;
pub mod episodes;
pub mod ledger;
pub mod llm;
pub mod policy;
pub mod render;
pub mod report;
pub mod rollout;
pub mod sim;
pub mod store;
pub mod tools;
pub mod watchdog;
