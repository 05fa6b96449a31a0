//! The words of the ledger in the channel: how much of a budget is used, and who was refused.

use super::budgets::DayZone;
use crate::base::NanoUsd;
use crate::store::{AuthorKind, BudgetScope, Limit, NewMessage, Notice, Refused, Words};
use std::sync::Arc;

/// Where notices are posted.
const CHANNEL: &str = "reports";
/// Who posts them.
const AUTHOR: &str = "ledger";

/// Finds the words for notices; `zone` is where a budget's day begins.
pub(super) fn words(zone: &DayZone) -> Words {
    let zone = zone.name().to_owned();
    Arc::new(move |notice| message(notice, &zone))
}

fn message(notice: &Notice, zone: &str) -> NewMessage {
    let (text, dedup) = match notice {
        Notice::Used { percent, limit, window, agent, spent } => {
            let whose = whose(limit.scope, window, agent.as_deref(), zone);
            let text = format!(
                "**{percent} % of a budget is used:** {spent} of the {} that {whose}. {}",
                limit.amount,
                remedy(limit)
            );
            let agent = agent.as_deref().unwrap_or("team");
            (text, format!("budget/{}/{agent}/{window}/{}/{percent}", limit.key, limit.amount.0))
        }
        Notice::Held { agent, refused } => {
            let text = format!("**{agent} makes no further call.** {}", refusal_text(agent, refused, zone));
            (text, format!("hold/{}", refused.hold))
        }
    };
    NewMessage {
        channel: CHANNEL.to_owned(),
        author: AUTHOR.to_owned(),
        author_kind: AuthorKind::System,
        brain: None,
        text,
        attachments: Vec::new(),
        loop_id: None,
        dedup: Some(dedup),
    }
}

/// What a refusal says: scope, window, source and remedy.
pub(super) fn refusal_text(agent: &str, refused: &Refused, zone: &str) -> String {
    let Refused { already: _, hold: _, limit, window, spent, wanted } = refused;
    let whose = whose(limit.scope, window, Some(agent), zone);
    let first = if limit.scope == BudgetScope::Call {
        format!("The call could cost {wanted}, more than the {} that {whose}.", limit.amount)
    } else {
        format!("The call could cost {wanted}, but {spent} of the {} that {whose} are spent or held.", limit.amount)
    };
    format!("{first} It asks again {}. {}", until(limit.scope), remedy(limit))
}

fn until(scope: BudgetScope) -> &'static str {
    match scope {
        BudgetScope::TeamDay | BudgetScope::AgentDay => "when the day ends, or when a person changes the budget",
        BudgetScope::Loop => "in the next loop, or when a person changes the budget",
        BudgetScope::Mission => "in the next mission, or when a person changes the budget",
        BudgetScope::Call => "when a person changes the budget",
    }
}

fn whose(scope: BudgetScope, window: &str, agent: Option<&str>, zone: &str) -> String {
    match scope {
        BudgetScope::TeamDay => format!("the team may spend on {window} ({zone})"),
        BudgetScope::AgentDay => format!("{} may spend on {window} ({zone})", agent.unwrap_or("an agent")),
        BudgetScope::Loop | BudgetScope::Mission => format!("the team may spend in {window}"),
        BudgetScope::Call => "one call of the watchdog may cost".to_owned(),
    }
}

/// Where the budget comes from and what changes it.
pub(super) fn remedy(limit: &Limit) -> String {
    let source = match &limit.set_by {
        Some(by) => format!("`{}`, set by {by}", limit.key),
        None => format!("`{}` under [budgets] in agents.toml", limit.key),
    };
    let more = NanoUsd(limit.amount.0.saturating_mul(2).max(1_000_000_000)).as_usd();
    format!("The budget is {source}; `/budget set {} {more}` would raise it.", limit.key)
}
