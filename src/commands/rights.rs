//! Who may do what. A front says who asks; an allow-list says what that person may do; an empty list means nobody.

use super::catalogue;
use super::parse::Request;
use super::{CommandError, words};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a person may do. Each right holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rights {
    /// Look at everything, change nothing, spend nothing.
    Read,
    /// Start and stop work, and ask agents, which may cost money.
    Operate,
}

/// A person at a front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The person's id at the front.
    pub id: String,
    /// The name that others see.
    pub name: String,
    /// Which front: `console`, `discord`, `terminal`.
    pub front: &'static str,
    /// The channel the person speaks in, without the #.
    pub channel: String,
    /// What the person may do.
    pub rights: Rights,
}

impl Asker {
    /// Refuses what this person may not ask.
    pub(super) fn check(&self, request: &Request) -> Result<(), CommandError> {
        let info = catalogue::entry_of(request);
        if self.rights >= info.rights {
            return Ok(());
        }
        Err(CommandError::Forbidden(format!(
            "`{}` is for operators, and {} is not on their list; whoever runs Ralphton can add the id `{}` to the \
             operators in `agents.toml`",
            info.usage,
            words::plain(&self.name),
            words::plain(&self.id),
        )))
    }
}

/// The ids of people and roles who may operate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operators(BTreeSet<String>);

impl Operators {
    /// These ids and no others.
    pub fn new(ids: impl IntoIterator<Item = String>) -> Self {
        Self(ids.into_iter().collect())
    }

    /// Whether nobody may operate.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The listed ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What the person `id` may do, who holds `roles`.
    pub fn rights<'a>(&self, id: &str, roles: impl IntoIterator<Item = &'a str>) -> Rights {
        let listed = self.0.contains(id) || roles.into_iter().any(|role| self.0.contains(role));
        if listed { Rights::Operate } else { Rights::Read }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_means_nobody() {
        assert_eq!(Operators::default().rights("1", ["2", ""]), Rights::Read);
        assert_eq!(Operators::default().rights("", []), Rights::Read);
    }

    #[test]
    fn people_and_roles_are_looked_up() {
        let operators = Operators::new(["7".to_owned(), "900".to_owned()]);
        assert_eq!(operators.rights("7", []), Rights::Operate);
        assert_eq!(operators.rights("8", ["900"]), Rights::Operate);
        assert_eq!(operators.rights("8", ["90"]), Rights::Read);
    }
}
