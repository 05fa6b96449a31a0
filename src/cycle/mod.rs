//! The loop Generate → Train → Evaluate → Feedback: plans, playbook, state machine, driver, job runner.

pub mod evidence;
pub mod plan;
pub mod playbook;
pub mod preset;
