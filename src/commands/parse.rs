//! One line of text to one typed request. Pure: what is wrong is said with what was expected.

use super::catalogue;
use super::words;
use crate::base::{NanoUsd, Seed};
use crate::ledger::{Axis, BudgetKey};
use thiserror::Error;

/// Longest line that is read, in characters.
pub const MAX_LINE: usize = 2_000;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Where the mission stands.
    Status,
    /// What the agents do.
    Agents,
    /// Something about the loop.
    Loop(LoopRequest),
    /// Let the plan that waits run.
    Approve,
    /// Send the plan that waits back.
    Veto {
        /// Why.
        reason: Option<String>,
    },
    /// What made an artefact.
    Lineage {
        /// The first characters of its hash, or a name such as `champion`.
        artefact: String,
    },
    /// What was spent.
    Cost {
        /// What the table has a row for; agents without.
        by: Option<Axis>,
    },
    /// Something about the budgets.
    Budget(BudgetRequest),
    /// A question to an agent.
    Ask {
        /// Whom; the Watcher when nobody is named.
        agent: Option<String>,
        /// The question as written.
        question: String,
    },
    /// Results.
    Report {
        /// One loop's number; all loops without.
        number: Option<u32>,
    },
    /// A scene of the newest evaluation as a clip.
    RolloutWatch {
        /// The scene's number; the filmed ones without.
        scene: Option<u32>,
    },
    /// Two loops on the same scenes.
    RolloutCompare {
        /// The two loops' numbers; the last two without.
        loops: Option<(u32, u32)>,
    },
    /// Why nothing moves.
    Why,
    /// Help.
    Help {
        /// The command it is about; all without.
        about: Option<String>,
    },
}

/// What a person asks about the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoopRequest {
    /// Start a mission; what is left out comes from the configuration.
    Start {
        /// The preset's name.
        preset: Option<String>,
        /// Loops to run.
        loops: Option<u32>,
        /// Where all randomness begins.
        seed: Option<Seed>,
    },
    /// Pause it.
    Pause,
    /// Resume it.
    Resume,
    /// Stop it.
    Stop,
    /// Where the running loop stands.
    Status,
    /// What was decided.
    Plan,
}

/// What a person asks about the budgets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetRequest {
    /// All of them, with what is spent, and who is on hold.
    Show,
    /// Another amount in place of the configured one.
    Set {
        /// Which budget.
        key: BudgetKey,
        /// How much.
        amount: NanoUsd,
    },
    /// The configured amount again.
    Reset {
        /// Which budget.
        key: BudgetKey,
    },
    /// An agent that was refused may ask again.
    Release {
        /// Which agent.
        agent: String,
    },
}

/// Why a line was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseError {
    /// No such command.
    #[error("there is no command `/{typed}`;{} `/help` lists them all", nearest.map_or(String::new(), |usage| format!(" did you mean `{usage}`?")))]
    Unknown {
        /// What was typed.
        typed: String,
        /// The nearest known command's usage.
        nearest: Option<&'static str>,
    },
    /// The command is known, an argument is not right.
    #[error("{what}; expected `{usage}`")]
    Argument {
        /// What is wrong.
        what: String,
        /// How the command is written.
        usage: &'static str,
    },
    /// Nothing to read.
    #[error("the line is empty; `/help` lists what you can ask")]
    Empty,
    /// Too much to read.
    #[error("the line has {0} characters; at most {MAX_LINE} are read")]
    TooLong(usize),
}

impl ParseError {
    /// `typed` is no command.
    pub(super) fn unknown(typed: &str) -> Self {
        ParseError::Unknown {
            typed: words::plain(typed).chars().take(40).collect(),
            nearest: catalogue::nearest(typed).map(|entry| entry.usage),
        }
    }
}

/// Reads `line`. Text without a slash is a question: to the agent it begins with (`@training how far?`), else to the
/// Watcher.
///
/// # Errors
/// [`ParseError`], which says what was expected.
pub fn parse(line: &str) -> Result<Request, ParseError> {
    let line = line.trim();
    let length = line.chars().count();
    if length > MAX_LINE {
        return Err(ParseError::TooLong(length));
    }
    let Some(command) = line.strip_prefix('/') else { return spoken(line) };
    let (word, rest) = split_word(command);
    match word.to_lowercase().as_str() {
        "status" => without_arguments("status", rest, Request::Status),
        "agents" => without_arguments("agents", rest, Request::Agents),
        "cost" => cost(rest),
        "budget" => budget(rest).map(Request::Budget),
        "why" => without_arguments("why", rest, Request::Why),
        "help" => Ok(Request::Help { about: (!rest.is_empty()).then(|| rest.to_lowercase()) }),
        "loop" => loop_request(rest).map(Request::Loop),
        "ask" => ask(rest),
        "report" => report(rest),
        "rollout" => rollout(rest),
        "approve" => without_arguments("approve", rest, Request::Approve),
        "veto" => Ok(Request::Veto { reason: (!rest.is_empty()).then(|| rest.to_owned()) }),
        "lineage" => match rest.split_whitespace().collect::<Vec<_>>()[..] {
            [artefact] => Ok(Request::Lineage { artefact: artefact.to_owned() }),
            [] => Err(argument("lineage", "of which artefact?")),
            _ => Err(argument("lineage", "one artefact at a time")),
        },
        _ => Err(ParseError::unknown(command)),
    }
}

fn spoken(line: &str) -> Result<Request, ParseError> {
    if line.is_empty() {
        return Err(ParseError::Empty);
    }
    if let Some(addressed) = line.strip_prefix('@') {
        let (agent, question) = split_word(addressed);
        let agent = agent.trim_end_matches([',', ':']);
        if !agent.is_empty() && !question.is_empty() {
            return Ok(Request::Ask { agent: Some(agent.to_lowercase()), question: question.to_owned() });
        }
        return Err(argument("ask", "a question is missing after the agent's name"));
    }
    Ok(Request::Ask { agent: None, question: line.to_owned() })
}

fn ask(rest: &str) -> Result<Request, ParseError> {
    let (agent, question) = split_word(rest);
    let agent = agent.trim_start_matches('@');
    if agent.is_empty() {
        return Err(argument("ask", "whom, and what?"));
    }
    if question.is_empty() {
        return Err(argument("ask", &format!("the question to {} is missing", words::plain(agent))));
    }
    Ok(Request::Ask { agent: Some(agent.to_lowercase()), question: question.to_owned() })
}

fn cost(rest: &str) -> Result<Request, ParseError> {
    if rest.is_empty() {
        return Ok(Request::Cost { by: None });
    }
    let by = rest.to_lowercase().parse().map_err(|_| superfluous("cost", rest))?;
    Ok(Request::Cost { by: Some(by) })
}

fn budget(rest: &str) -> Result<BudgetRequest, ParseError> {
    let (word, rest) = split_word(rest);
    let (first, second) = split_word(rest);
    let key = |name| first.parse::<BudgetKey>().map_err(|error| argument(name, &words::plain(&error)));
    match word.to_lowercase().as_str() {
        "" | "show" if rest.is_empty() => Ok(BudgetRequest::Show),
        "" | "show" => Err(superfluous("budget show", rest)),
        "set" => {
            let amount = second.trim_start_matches('$').replace(',', "").parse::<f64>();
            match amount {
                Ok(usd) if (0.0..=1e6).contains(&usd) => {
                    Ok(BudgetRequest::Set { key: key("budget set")?, amount: NanoUsd::from_usd(usd) })
                }
                Ok(_) | Err(_) => Err(argument(
                    "budget set",
                    &format!("\"{}\" is no amount between 0 and 1,000,000 US dollars", words::plain(second)),
                )),
            }
        }
        "reset" if second.is_empty() => Ok(BudgetRequest::Reset { key: key("budget reset")? }),
        "reset" => Err(superfluous("budget reset", second)),
        "release" if first.is_empty() => Err(argument("budget release", "which agent?")),
        "release" if second.is_empty() => {
            Ok(BudgetRequest::Release { agent: first.trim_start_matches('@').to_lowercase() })
        }
        "release" => Err(superfluous("budget release", second)),
        _ => Err(ParseError::unknown(&format!("budget {word}"))),
    }
}

fn report(rest: &str) -> Result<Request, ParseError> {
    if rest.is_empty() {
        return Ok(Request::Report { number: None });
    }
    let number = whole::<u32>("report", "loop", rest)?;
    if number == 0 {
        return Err(argument("report", "loops are numbered from 1"));
    }
    Ok(Request::Report { number: Some(number) })
}

fn rollout(rest: &str) -> Result<Request, ParseError> {
    let (word, rest) = split_word(rest);
    match word.to_lowercase().as_str() {
        "" => Ok(Request::RolloutWatch { scene: None }),
        "watch" if rest.is_empty() => Ok(Request::RolloutWatch { scene: None }),
        "watch" => Ok(Request::RolloutWatch { scene: Some(whole("rollout watch", "scene", rest)?) }),
        "compare" if rest.is_empty() => Ok(Request::RolloutCompare { loops: None }),
        "compare" => {
            let (first, second) = split_word(rest);
            let number = |text| whole::<u32>("rollout compare", "loop", text);
            let (first, second) = (number(first)?, number(second)?);
            if first == second {
                return Err(argument("rollout compare", "a loop is what it is; name two"));
            }
            Ok(Request::RolloutCompare { loops: Some((first, second)) })
        }
        _ => Err(ParseError::unknown(&format!("rollout {word}"))),
    }
}

fn loop_request(rest: &str) -> Result<LoopRequest, ParseError> {
    let (word, rest) = split_word(rest);
    let plain = |name, request| {
        if rest.is_empty() { Ok(request) } else { Err(superfluous(name, rest)) }
    };
    match word.to_lowercase().as_str() {
        "start" => start(rest),
        "pause" => plain("loop pause", LoopRequest::Pause),
        "resume" => plain("loop resume", LoopRequest::Resume),
        "stop" => plain("loop stop", LoopRequest::Stop),
        "" | "status" => plain("loop status", LoopRequest::Status),
        "plan" => plain("loop plan", LoopRequest::Plan),
        _ => Err(ParseError::unknown(&format!("loop {word}"))),
    }
}

fn start(rest: &str) -> Result<LoopRequest, ParseError> {
    const NAME: &str = "loop start";
    let (mut preset, mut loops, mut seed) = (None, None, None);
    let mut tokens = rest.split_whitespace();
    while let Some(token) = tokens.next() {
        let (flag, value) = match token.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (token, tokens.next()),
        };
        let value = value.filter(|value| !value.is_empty());
        let value = || value.ok_or_else(|| argument(NAME, &format!("`{}` needs a value", words::plain(flag))));
        match flag {
            "--preset" => preset = Some(value()?.to_owned()),
            "--loops" => loops = Some(whole(NAME, "--loops", value()?)?),
            "--seed" => seed = Some(Seed(whole(NAME, "--seed", value()?)?)),
            other => return Err(superfluous(NAME, other)),
        }
    }
    Ok(LoopRequest::Start { preset, loops, seed })
}

fn without_arguments(name: &'static str, rest: &str, request: Request) -> Result<Request, ParseError> {
    if rest.is_empty() { Ok(request) } else { Err(superfluous(name, rest)) }
}

fn whole<T: std::str::FromStr>(name: &'static str, what: &str, text: &str) -> Result<T, ParseError> {
    text.replace([',', '_'], "")
        .parse()
        .map_err(|_| argument(name, &format!("{what} is \"{}\", not a whole number", words::plain(text))))
}

fn superfluous(name: &'static str, rest: &str) -> ParseError {
    argument(name, &format!("\"{}\" is not understood", words::plain(rest)))
}

fn argument(name: &'static str, what: &str) -> ParseError {
    let usage = catalogue::catalogue().iter().find(|entry| entry.name == name).map_or("/help", |entry| entry.usage);
    ParseError::Argument { what: what.to_owned(), usage }
}

/// The first word and the rest, both trimmed.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn a_start_reads_its_flags_in_either_form() {
        let start = |line| match parse(line) {
            Ok(Request::Loop(LoopRequest::Start { preset, loops, seed })) => (preset, loops, seed),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(start("/loop start"), (None, None, None));
        let all = (Some("quick".to_owned()), Some(3), Some(Seed(42)));
        assert_eq!(start("/loop start --preset quick --loops 3 --seed 42"), all);
        assert_eq!(start("  /LOOP  Start --seed=42 --loops=3 --preset=quick "), all);
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        assert_eq!(refusal("/statsu"), "there is no command `/statsu`; did you mean `/status`? `/help` lists them all");
        assert!(refusal("/loop pasue").contains("`/loop pause`"), "{}", refusal("/loop pasue"));
        assert_eq!(refusal("/zzzz"), "there is no command `/zzzz`; `/help` lists them all");
    }

    #[test]
    fn a_bad_argument_says_what_was_expected() {
        assert_eq!(
            refusal("/loop start --loops many"),
            "--loops is \"many\", not a whole number; expected `/loop start [--preset NAME] [--loops N] [--seed S]`"
        );
        assert!(refusal("/loop start --loops").starts_with("`--loops` needs a value"));
        assert!(refusal("/status now").contains("\"now\" is not understood; expected `/status`"));
        assert!(refusal("/ask training").contains("the question to training is missing"));
        assert!(refusal("/report 0").contains("numbered from 1"));
    }

    #[test]
    fn rollouts_are_watched_by_scene_and_compared_by_loop() {
        assert_eq!(parse("/rollout"), Ok(Request::RolloutWatch { scene: None }));
        assert_eq!(parse("/rollout watch 12"), Ok(Request::RolloutWatch { scene: Some(12) }));
        assert_eq!(parse("/rollout compare"), Ok(Request::RolloutCompare { loops: None }));
        assert_eq!(parse("/rollout compare 1 3"), Ok(Request::RolloutCompare { loops: Some((1, 3)) }));
        assert!(refusal("/rollout compare 2").contains("expected `/rollout compare"));
        assert!(refusal("/rollout compare 2 2").contains("name two"));
        assert!(refusal("/rollout wach").contains("`/rollout watch"));
    }

    #[test]
    fn costs_and_budgets_are_read() {
        assert_eq!(parse("/cost model"), Ok(Request::Cost { by: Some(Axis::Model) }));
        assert!(refusal("/cost week").contains("\"week\" is not understood"));
        let set = BudgetRequest::Set { key: BudgetKey::PerLoop, amount: NanoUsd::from_usd(12.5) };
        assert_eq!(parse("/budget set per_loop_usd $12.50"), Ok(Request::Budget(set)));
        assert!(refusal("/budget set per_loop_usd -1").contains("is no amount"));
        assert!(refusal("/budget set per_week 1").contains("there are per_watchdog_call_usd"));
        assert_eq!(parse("/budget"), Ok(Request::Budget(BudgetRequest::Show)));
        assert!(refusal("/budget release").contains("which agent?"));
    }

    #[test]
    fn plain_text_is_a_question() {
        let ask = |agent: Option<&str>, question: &str| {
            Ok(Request::Ask { agent: agent.map(str::to_owned), question: question.to_owned() })
        };
        assert_eq!(parse("how far are we?"), ask(None, "how far are we?"));
        assert_eq!(parse("@Training, how far?"), ask(Some("training"), "how far?"));
        assert_eq!(parse("/ask @training how  far?"), ask(Some("training"), "how  far?"));
        assert_eq!(refusal("   "), "the line is empty; `/help` lists what you can ask");
    }

    #[test]
    fn long_lines_are_refused_by_characters_not_bytes() {
        assert!(parse(&"ä".repeat(MAX_LINE)).is_ok());
        assert!(refusal(&"ä".repeat(MAX_LINE + 1)).contains("2001 characters"));
    }
}
