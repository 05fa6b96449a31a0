//! Every command with its usage and help, as data: the help text, the page's suggestions and the registration with
//! chat services are all made from this one list.

use super::parse::{BudgetRequest, LoopRequest, ParseError, Request};
use super::{CommandError, Reply, Rights, words};
use serde::Serialize;

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CommandInfo {
    /// Its words without the slash: `loop start`.
    pub name: &'static str,
    /// How it is written: `/ask <agent> <question>`.
    pub usage: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// What the asker needs.
    pub rights: Rights,
}

const fn info(name: &'static str, usage: &'static str, help: &'static str, rights: Rights) -> CommandInfo {
    CommandInfo { name, usage, help, rights }
}

const STATUS: CommandInfo = info("status", "/status", "where the mission stands, in figures", Rights::Read);
const AGENTS: CommandInfo =
    info("agents", "/agents", "what each agent is doing and when it last got somewhere", Rights::Read);
const START: CommandInfo = info(
    "loop start",
    "/loop start [--preset NAME] [--loops N] [--seed S]",
    "start a mission: Generate, Train, Evaluate, Feedback, N times",
    Rights::Operate,
);
const PAUSE: CommandInfo =
    info("loop pause", "/loop pause", "let the running job end and start nothing new", Rights::Operate);
const RESUME: CommandInfo = info("loop resume", "/loop resume", "go on after a pause", Rights::Operate);
const STOP: CommandInfo =
    info("loop stop", "/loop stop", "end the mission at the next safe point; what was made stays", Rights::Operate);
const LOOP_STATUS: CommandInfo =
    info("loop status", "/loop status", "the running loop: stage, progress, time left, success", Rights::Read);
const PLAN: CommandInfo =
    info("loop plan", "/loop plan", "each stage's plan, decided or to come, with how long it takes", Rights::Read);
const APPROVE: CommandInfo = info("approve", "/approve", "let the plan that waits run", Rights::Operate);
const VETO: CommandInfo =
    info("veto", "/veto [reason]", "send the plan that waits back to whoever made it", Rights::Operate);
const COST: CommandInfo = info(
    "cost",
    "/cost [agent|model|loop|day|stage]",
    "what was spent, its rate and forecast, with a chart",
    Rights::Read,
);
const BUDGET_SHOW: CommandInfo =
    info("budget show", "/budget show", "the budgets, what of them is spent, and who is on hold", Rights::Read);
const BUDGET_SET: CommandInfo = info(
    "budget set",
    "/budget set <key> <dollars>",
    "another amount in place of the configured one; who was refused asks again",
    Rights::Operate,
);
const BUDGET_RESET: CommandInfo =
    info("budget reset", "/budget reset <key>", "the configured amount again", Rights::Operate);
const BUDGET_RELEASE: CommandInfo =
    info("budget release", "/budget release <agent>", "let an agent that was refused ask again", Rights::Operate);
const ASK: CommandInfo =
    info("ask", "/ask <agent> <question>", "ask an agent; it answers in the channel", Rights::Operate);
const REPORT: CommandInfo =
    info("report", "/report [loop]", "all loops in a table with a chart, or one loop with its failures", Rights::Read);
const WATCH: CommandInfo = info(
    "rollout watch",
    "/rollout watch [scene]",
    "clips of the newest evaluation, or one scene of it beside the expert",
    Rights::Read,
);
const COMPARE: CommandInfo = info(
    "rollout compare",
    "/rollout compare [loop loop]",
    "two loops' policies on the same scenes, family by family",
    Rights::Read,
);
const LINEAGE: CommandInfo = info(
    "lineage",
    "/lineage <artefact>",
    "the tree of what made a checkpoint, dataset, evaluation or clip",
    Rights::Read,
);
const WHY: CommandInfo = info("why", "/why", "why nothing moves, or why it moves slowly", Rights::Read);
const HELP: CommandInfo = info("help", "/help [command]", "this list, or one command", Rights::Read);

const ALL: [CommandInfo; 22] = [
    STATUS,
    AGENTS,
    START,
    PAUSE,
    RESUME,
    STOP,
    LOOP_STATUS,
    PLAN,
    APPROVE,
    VETO,
    COST,
    BUDGET_SHOW,
    BUDGET_SET,
    BUDGET_RESET,
    BUDGET_RELEASE,
    ASK,
    REPORT,
    WATCH,
    COMPARE,
    LINEAGE,
    WHY,
    HELP,
];

/// Every command, in the order people meet them.
pub fn catalogue() -> &'static [CommandInfo] {
    &ALL
}

/// The entry that a request belongs to.
pub(super) fn entry_of(request: &Request) -> &'static CommandInfo {
    match request {
        Request::Status => &STATUS,
        Request::Agents => &AGENTS,
        Request::Loop(LoopRequest::Start { .. }) => &START,
        Request::Loop(LoopRequest::Pause) => &PAUSE,
        Request::Loop(LoopRequest::Resume) => &RESUME,
        Request::Loop(LoopRequest::Stop) => &STOP,
        Request::Loop(LoopRequest::Status) => &LOOP_STATUS,
        Request::Loop(LoopRequest::Plan) => &PLAN,
        Request::Approve => &APPROVE,
        Request::Veto { .. } => &VETO,
        Request::Lineage { .. } => &LINEAGE,
        Request::Cost { .. } => &COST,
        Request::Budget(BudgetRequest::Show) => &BUDGET_SHOW,
        Request::Budget(BudgetRequest::Set { .. }) => &BUDGET_SET,
        Request::Budget(BudgetRequest::Reset { .. }) => &BUDGET_RESET,
        Request::Budget(BudgetRequest::Release { .. }) => &BUDGET_RELEASE,
        Request::Ask { .. } => &ASK,
        Request::Report { .. } => &REPORT,
        Request::RolloutWatch { .. } => &WATCH,
        Request::RolloutCompare { .. } => &COMPARE,
        Request::Why => &WHY,
        Request::Help { .. } => &HELP,
    }
}

/// The known command nearest to what was typed, when one is near.
pub(super) fn nearest(typed: &str) -> Option<&'static CommandInfo> {
    words::nearest(typed, ALL.iter().map(|entry| entry.name))
        .and_then(|name| ALL.iter().find(|entry| entry.name == name))
}

/// The answer to `/help`.
pub(super) fn help(about: Option<&str>) -> Result<Reply, CommandError> {
    let Some(about) = about else {
        let mut text = String::from("**What you can ask**\n");
        for entry in &ALL {
            text += &format!("- `{}`: {}{}\n", entry.usage, entry.help, mark(entry));
        }
        text += "-# Anything without a slash goes to the agent you name (@training …), or to the Watcher.";
        return Ok(Reply::quiet(text));
    };
    let wanted = about.trim_start_matches('/');
    let found: Vec<_> = ALL
        .iter()
        .filter(|entry| entry.name == wanted || entry.name.split_whitespace().next() == Some(wanted))
        .collect();
    if found.is_empty() {
        return Err(ParseError::unknown(wanted).into());
    }
    let lines: Vec<String> =
        found.iter().map(|entry| format!("`{}`: {}{}", entry.usage, entry.help, mark(entry))).collect();
    Ok(Reply::quiet(lines.join("\n")))
}

fn mark(entry: &CommandInfo) -> &'static str {
    match entry.rights {
        Rights::Read => "",
        Rights::Operate => " *(operators)*",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::parse;

    #[test]
    fn every_entry_parses_to_itself() {
        for entry in catalogue() {
            let line = match entry.name {
                "ask" => "/ask training how far?".to_owned(),
                "lineage" => "/lineage champion".to_owned(),
                "budget set" => "/budget set per_loop_usd 3".to_owned(),
                "budget reset" => "/budget reset per_loop_usd".to_owned(),
                "budget release" => "/budget release training".to_owned(),
                name => format!("/{name}"),
            };
            let request = parse(&line).unwrap();
            assert_eq!(entry_of(&request).name, entry.name, "{line}");
        }
    }

    #[test]
    fn what_changes_or_spends_is_for_operators() {
        let operators: Vec<_> = ALL.iter().filter(|e| e.rights == Rights::Operate).map(|e| e.name).collect();
        assert_eq!(
            operators,
            [
                "loop start",
                "loop pause",
                "loop resume",
                "loop stop",
                "approve",
                "veto",
                "budget set",
                "budget reset",
                "budget release",
                "ask"
            ]
        );
    }

    #[test]
    fn help_knows_groups_and_single_commands() {
        assert_eq!(help(Some("/loop")).unwrap().text.lines().count(), 6);
        assert_eq!(help(Some("cost")).unwrap().text.lines().count(), 1);
        assert!(help(Some("cots")).unwrap_err().to_string().contains("/cost"));
    }
}
