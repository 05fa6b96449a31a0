//! Long text in parts that Discord takes, code fences whole in every part.
//!
//! A fence that is open at a cut is closed there and opened again in the next part, and the room for that is kept
//! free from the beginning, so that no part grows over the limit afterwards.

/// Discord's limit for one message. Counted in UTF-16 units here, which is never less than what Discord counts.
pub(super) const LIMIT: usize = 2_000;

const FENCE: &str = "```";
const CLOSER: &str = "\n```";
/// Longest name of a language that is repeated when a fence is opened again.
const MAX_LANGUAGE: usize = 16;
/// Closing one fence and opening it again with its language and two line ends.
const OVERHEAD: usize = CLOSER.len() + FENCE.len() + MAX_LANGUAGE + 1;

/// One part, and what was added to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Part {
    text: String,
    /// Its first line opens the fence that the part before had to close.
    reopened: bool,
    /// Its last line closes a fence that goes on, or that nobody closed.
    closed: bool,
}

/// `text` in parts of at most `limit` UTF-16 units (at least 100). Blank text has no parts.
pub(super) fn split(text: &str, limit: usize) -> Vec<String> {
    parts(text, limit).into_iter().map(|part| part.text).collect()
}

fn parts(text: &str, limit: usize) -> Vec<Part> {
    let mut splitter = Splitter { limit: limit.max(100), ..Splitter::default() };
    for (i, line) in text.split('\n').enumerate() {
        let mut separator = if i == 0 { "" } else { "\n" };
        for piece in pieces(line, splitter.limit - OVERHEAD) {
            splitter.add(separator, piece);
            separator = "";
        }
    }
    splitter.finish()
}

#[derive(Default)]
struct Splitter {
    limit: usize,
    done: Vec<Part>,
    part: Part,
    /// UTF-16 units in the part so far.
    units: usize,
    /// The language of the fence that is open, empty when it has none.
    open: Option<String>,
}

impl Splitter {
    /// Adds a piece that fits into a part of its own.
    fn add(&mut self, separator: &str, piece: &str) {
        let open = after(self.open.clone(), piece);
        let needed = units(separator) + units(piece) + if open.is_some() { CLOSER.len() } else { 0 };
        let separator = if self.units + needed > self.limit {
            self.cut();
            ""
        } else {
            separator
        };
        self.part.text.push_str(separator);
        self.part.text.push_str(piece);
        self.units += units(separator) + units(piece);
        self.open = open;
    }

    /// Ends the part and begins the next.
    fn cut(&mut self) {
        let mut next = Part::default();
        if let Some(language) = &self.open {
            self.part.text.push_str(CLOSER);
            self.part.closed = true;
            next = Part { text: format!("{FENCE}{language}\n"), reopened: true, closed: false };
        }
        self.units = units(&next.text);
        self.done.push(std::mem::replace(&mut self.part, next));
    }

    fn finish(mut self) -> Vec<Part> {
        self.cut();
        self.done.retain(|part| !part.text.trim().is_empty());
        self.done
    }
}

/// The fence that is open after `piece`.
fn after(mut open: Option<String>, piece: &str) -> Option<String> {
    let mut rest = piece;
    while let Some(at) = rest.find(FENCE) {
        rest = &rest[at + FENCE.len()..];
        open = match open {
            Some(_) => None,
            None => Some(language(rest)),
        };
    }
    open
}

/// The language after an opening fence, when the rest of the line is one.
fn language(rest: &str) -> String {
    let plain = rest.len() <= MAX_LANGUAGE && rest.chars().all(|c| c.is_ascii_alphanumeric() || "+-#_".contains(c));
    if plain { rest.to_owned() } else { String::new() }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A line in pieces of at most `most` units, cut at spaces where there are some, never inside a run of backticks that
/// could be a fence.
fn pieces(line: &str, most: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while units(rest) > most {
        let end = prefix(rest, most);
        let space = rest[..end].rfind(' ').map(|at| at + 1).filter(|at| *at > end / 2);
        let cut = outside_backticks(rest, space.unwrap_or(end));
        pieces.push(&rest[..cut]);
        rest = &rest[cut..];
    }
    pieces.push(rest);
    pieces
}

/// Bytes of the longest prefix of at most `most` units.
fn prefix(text: &str, most: usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.len_utf16();
        if used > most {
            return at;
        }
    }
    text.len()
}

/// `cut`, or the beginning of the run of backticks it would divide; a run that is longer than a piece is divided so
/// that the piece holds whole pairs of fences.
fn outside_backticks(text: &str, cut: usize) -> usize {
    if !text[cut..].starts_with('`') {
        return cut;
    }
    match text[..cut].trim_end_matches('`').len() {
        0 => (cut / (2 * FENCE.len())).max(1) * (2 * FENCE.len()),
        start => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The parts put together again, without what was added and without blanks, which a cut may swallow.
    fn without_blanks(parts: &[Part]) -> String {
        let mut whole = String::new();
        for part in parts {
            let mut text = part.text.as_str();
            if part.reopened {
                text = text.split_once('\n').unwrap().1;
            }
            if part.closed {
                text = text.strip_suffix(CLOSER).unwrap();
            }
            whole.push_str(text);
        }
        whole.chars().filter(|c| !c.is_whitespace()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn every_part_fits_nothing_is_lost_and_fences_balance(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("```".to_owned()),
                    Just("```rust".to_owned()),
                    Just("text ```inline``` text".to_owned()),
                    "[a-zäß🦀 `]{0,40}",
                    "[a-z🦀]{90,400}",
                    "`{1,250}",
                ],
                0..60,
            ),
            limit in 100_usize..700,
        ) {
            let text = lines.join("\n");
            let parts = parts(&text, limit);
            for part in &parts {
                prop_assert!(units(&part.text) <= limit, "{} units: {:?}", units(&part.text), part);
                prop_assert_eq!(after(None, &part.text), None, "open fence in {:?}", part);
                prop_assert!(!part.text.trim().is_empty());
            }
            let expected: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            prop_assert_eq!(without_blanks(&parts), expected);
        }
    }

    #[test]
    fn short_text_stays_one_part() {
        assert_eq!(split("hello\n\nworld", LIMIT), ["hello\n\nworld"]);
        assert!(split("  \n ", LIMIT).is_empty());
    }

    #[test]
    fn a_fence_is_closed_and_opened_again_with_its_language() {
        let text = format!("before\n```rust\n{}\n```\nafter", "let x = 1;\n".repeat(30).trim_end());
        let parts = split(&text, 200);
        assert!(parts.len() > 1);
        assert!(parts[0].ends_with("\n```"), "{}", parts[0]);
        assert!(parts[1].starts_with("```rust\nlet x = 1;"), "{}", parts[1]);
        assert!(parts.last().unwrap().ends_with("after"));
    }

    #[test]
    fn a_fence_that_nobody_closed_is_closed() {
        assert_eq!(split("```\nopen", LIMIT), ["```\nopen\n```"]);
    }

    #[test]
    fn crabs_count_twice() {
        assert_eq!(split(&"🦀".repeat(1_001), LIMIT).len(), 2);
        assert!(split(&"🦀".repeat(1_001), LIMIT).iter().all(|part| units(part) <= LIMIT));
    }
}
