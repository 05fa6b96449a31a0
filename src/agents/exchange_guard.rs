//! Keeps two agents from talking in circles: at most so many texts between a pair in a window, until a person speaks or
//! the loop moves.
//!
//! Hand-offs are typed and ask for no reply, so the team has no reason to come near this bound; it is there for the
//! day a model finds one.

use crate::base::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Texts between two agents within [`WINDOW`]; two bots are known to have answered each other 42 times.
const MOST: usize = 6;
/// The window.
const WINDOW: Duration = Duration::from_secs(60);

/// Remembers the newest texts between each pair of agents.
#[derive(Debug, Default)]
pub struct ExchangeGuard {
    pairs: BTreeMap<(String, String), VecDeque<Timestamp>>,
}

impl ExchangeGuard {
    /// Whether a text from `from` may cause a turn of `to` now. Counts it if so.
    pub fn admit(&mut self, from: &str, to: &str, now: Timestamp) -> bool {
        let pair = if from <= to { (from, to) } else { (to, from) };
        let times = self.pairs.entry((pair.0.to_owned(), pair.1.to_owned())).or_default();
        let begin = now - WINDOW;
        while times.front().is_some_and(|time| *time <= begin) {
            times.pop_front();
        }
        if times.len() >= MOST {
            return false;
        }
        times.push_back(now);
        true
    }

    /// A person spoke or the loop moved: what follows is no circle.
    pub fn reset(&mut self) {
        self.pairs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000 + second).unwrap()
    }

    #[test]
    fn the_seventh_text_within_a_minute_is_held_back_in_either_direction() {
        let mut guard = ExchangeGuard::default();
        for second in 0..6 {
            let (from, to) = if second % 2 == 0 { ("developer", "training") } else { ("training", "developer") };
            assert!(guard.admit(from, to, at(second)));
        }
        assert!(!guard.admit("developer", "training", at(6)));
        assert!(guard.admit("developer", "watcher", at(6)), "another pair is not concerned");
        assert!(guard.admit("developer", "training", at(61)), "the first text has left the window");
    }

    #[test]
    fn a_person_or_a_move_of_the_loop_clears_it() {
        let mut guard = ExchangeGuard::default();
        for second in 0..6 {
            guard.admit("developer", "training", at(second));
        }
        guard.reset();
        assert!(guard.admit("developer", "training", at(7)));
    }
}
