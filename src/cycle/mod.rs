//! The loop Generate → Train → Evaluate → Feedback.
//!
//! [`plan`] is what may be decided, [`playbook`] the rules that decide it, [`machine`] the states, [`driver`] what
//! moves them, [`stages`] the work, [`runner`] who carries it out, [`gate`] what promotion needs. [`control`] and
//! [`summary`] are for people.

pub mod control;
pub mod driver;
pub mod evidence;
pub mod forecast;
pub mod gate;
pub mod lineage;
pub mod machine;
pub mod plan;
pub mod playbook;
pub mod preset;
pub mod probe;
pub mod prober;
pub mod rates;
mod remedy;
pub mod runner;
pub mod spec;
pub mod stages;
pub mod summary;
pub mod terms;
pub mod throughput;
