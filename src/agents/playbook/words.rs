//! How the playbook writes numbers: the same way everywhere, from rows alone.

use crate::base::Proportion;
use serde_json::Value;

pub(super) use crate::cycle::summary::{duration, grouped};

/// `70 %` for 0.7; a digit after the point only where it says something.
pub(super) fn percent(share: f64) -> String {
    let hundredths = 100.0 * share;
    if (hundredths - hundredths.round()).abs() < 0.05 {
        format!("{hundredths:.0} %")
    } else {
        format!("{hundredths:.1} %")
    }
}

/// `1 turn`, `5 turns`
pub(super) fn counted(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {one}s", grouped(number)) }
}

/// `118 MB`
pub(super) fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        c if c < 1e6 => format!("{:.0} kB", c / 1e3),
        c if c < 1e9 => format!("{:.0} MB", c / 1e6),
        c => format!("{:.1} GB", c / 1e9),
    }
}

/// A success rate from a result; none when the field is missing or nothing was tried.
pub(super) fn proportion(value: &Value) -> Option<Proportion> {
    serde_json::from_value::<Proportion>(value.clone()).ok().filter(|p| p.trials > 0)
}

/// `brick_at_wall` for people: `brick at wall`
pub(super) fn plain(name: &str) -> String {
    name.replace(['_', '-'], " ")
}

/// A fragment as a sentence: first letter large, full stop at the end.
pub(super) fn sentence(fragment: &str) -> String {
    let fragment = fragment.trim();
    let mut letters = fragment.chars();
    let Some(first) = letters.next() else { return String::new() };
    let text: String = first.to_uppercase().chain(letters).collect();
    if text.ends_with(['.', '?', '!']) { text } else { text + "." }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(duration(4.24), "4.2 s");
        assert_eq!(duration(58.0), "58 s");
        assert_eq!(duration(192.4), "3 min 12 s");
        assert_eq!(duration(7_500.0), "2 h 05 min");
        assert_eq!(percent(0.7), "70 %");
        assert_eq!(percent(0.125), "12.5 %");
        assert_eq!((counted(1, "turn").as_str(), counted(1_200, "turn").as_str()), ("1 turn", "1,200 turns"));
        assert_eq!(bytes(118_400_000), "118 MB");
        assert_eq!(sentence("on from 80,000 samples"), "On from 80,000 samples.");
    }
}
