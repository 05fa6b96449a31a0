//! Small turns of phrase that several commands share.

use crate::base::Timestamp;

/// A name at least this alike is offered as the nearest.
const ALIKE: f64 = 0.72;
/// Longest piece of somebody's text that is quoted back.
const MAX_QUOTED: usize = 80;

/// The candidate most like `typed`, when one is near enough to be meant.
pub(super) fn nearest<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    candidates
        .map(|name| (strsim::jaro_winkler(name, &typed), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Somebody's text without what Markdown or a chat service would act on, and not endless.
pub(super) fn plain(text: &str) -> String {
    let mut clean: String = text
        .chars()
        .filter(|c| !matches!(c, '@' | '*' | '`' | '<' | '>' | '~' | '|' | '[' | ']') && !c.is_control())
        .take(MAX_QUOTED)
        .collect();
    if text.chars().count() > MAX_QUOTED {
        clean.push('…');
    }
    clean
}

/// An error's lower-case fragment as a sentence.
pub(super) fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let mut text: String = chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default();
    if !text.ends_with(['.', '?', '!', '`']) {
        text.push('.');
    }
    text
}

/// "12 s", "4 min", "2.5 h", "3.0 days" between two moments.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    seconds(to.duration_since(from).as_secs_f64())
}

/// The same for a number of seconds.
pub(super) fn seconds(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else if seconds < 5_400.0 {
        format!("{:.0} min", seconds / 60.0)
    } else if seconds < 172_800.0 {
        format!("{:.1} h", seconds / 3_600.0)
    } else {
        format!("{:.1} days", seconds / 86_400.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_offered() {
        let names = ["status", "agents", "loop start"];
        assert_eq!(nearest("STATSU", names.into_iter()), Some("status"));
        assert_eq!(nearest("loop strat", names.into_iter()), Some("loop start"));
        assert_eq!(nearest("xyz", names.into_iter()), None);
    }

    #[test]
    fn quoted_text_cannot_ping_or_format() {
        assert_eq!(plain("<@123> **hi** @everyone `x`"), "123 hi everyone x");
        assert_eq!(plain(&"a".repeat(100)).chars().count(), MAX_QUOTED + 1);
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(seconds(12.4), "12 s");
        assert_eq!(seconds(240.0), "4 min");
        assert_eq!(seconds(9_000.0), "2.5 h");
    }
}
