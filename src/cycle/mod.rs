//! The loop Generate → Train → Evaluate → Feedback.
//!
//! [`plan`] is what may be decided, [`playbook`] the rules that decide it, [`machine`] the states, [`driver`] what
//! moves them, [`stages`] the work, [`runner`] who carries it out, [`gate`] what promotion needs. [`control`] and
//! [`summary`] are for people.

pub mod control;
pub mod driver;
pub mod evidence;
pub mod gate;
pub mod machine;
pub mod plan;
pub mod playbook;
pub mod preset;
pub mod runner;
pub mod spec;
pub mod stages;
pub mod summary;
