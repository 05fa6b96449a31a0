//! Turns a TOML error into words: the line, the key, and the nearest key that would have been right.

/// How alike two keys must be before one is suggested for the other, in `[0, 1]`.
const ALIKE: f64 = 0.7;

/// The refusal of `text`, the content of a file called `name`.
pub fn explain(text: &str, name: &str, error: &toml::de::Error) -> String {
    let place = match error.span() {
        Some(span) => format!("{name} line {}", line_of(text, span.start)),
        None => name.to_owned(),
    };
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((key, known)) if message.starts_with("unknown field") => {
            format!("{place}: unknown key `{key}`{}", suggestion(key, known))
        }
        Some((value, known)) if message.starts_with("unknown variant") => {
            format!("{place}: `{value}` is not a known value{}", suggestion(value, known))
        }
        _ => format!("{place}: {}", message.trim_end()),
    }
}

/// "; did you mean `x`?", or nothing when no known name is alike.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, nearest)| format!("; did you mean `{nearest}`?"))
        .unwrap_or_default()
}

fn suggestion(name: &str, known: &[&str]) -> String {
    let nearest = did_you_mean(name, known);
    if !nearest.is_empty() {
        nearest
    } else if known.is_empty() {
        "; no key is expected here".to_owned()
    } else {
        format!("; known here are: {}", known.join(", "))
    }
}

/// The line, from 1, that the byte at `offset` lies on.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sizes {
        #[expect(dead_code, reason = "only the key's name matters here")]
        episodes: u32,
    }

    fn refusal(text: &str) -> String {
        explain(text, "x.toml", &toml::from_str::<Sizes>(text).unwrap_err())
    }

    #[test]
    fn a_misspelt_key_gets_the_nearest_one() {
        assert_eq!(refusal("\nepisods = 3\n"), "x.toml line 2: unknown key `episods`; did you mean `episodes`?");
    }

    #[test]
    fn a_key_unlike_any_other_gets_the_list() {
        assert_eq!(refusal("zzz = 3"), "x.toml line 1: unknown key `zzz`; known here are: episodes");
    }

    #[test]
    fn a_wrong_type_keeps_its_line() {
        let text = refusal("episodes = \"many\"");
        assert!(text.starts_with("x.toml line 1: invalid type"), "{text}");
    }
}
