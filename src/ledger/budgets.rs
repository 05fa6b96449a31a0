//! How much may be spent. Set by people in the configuration, in US dollars; no agent can change them.

use crate::base::{NanoUsd, Timestamp};
use crate::store::{SpendLimit, SpendScope};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The length of a budget's day: any 24 hours, so that a night's run does not get a second budget at midnight.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The budgets. Each holds by itself; a call must fit within all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// The whole team's, in any 24 hours, US dollars. Default 20. Zero: only brains that cost nothing.
    #[serde(rename = "total_per_day_usd", with = "usd")]
    pub total_per_day: NanoUsd,
    /// The whole team's, since the mission began, US dollars. Default 50.
    #[serde(rename = "total_per_mission_usd", with = "usd")]
    pub total_per_mission: NanoUsd,
    /// Each agent's, in any 24 hours, US dollars. Default 8: one agent that runs wild leaves the others their share.
    #[serde(rename = "per_agent_per_day_usd", with = "usd")]
    pub per_agent_per_day: NanoUsd,
}

impl Default for Budgets {
    fn default() -> Self {
        Budgets {
            total_per_day: NanoUsd(20_000_000_000),
            total_per_mission: NanoUsd(50_000_000_000),
            per_agent_per_day: NanoUsd(8_000_000_000),
        }
    }
}

impl Budgets {
    /// The limits on a call that `agent` makes at `at`, within a mission that began at `mission_since`.
    pub(super) fn limits(&self, agent: &str, mission_since: Option<Timestamp>, at: Timestamp) -> Vec<SpendLimit> {
        let day = day_before(at);
        let everyone = |since, amount| SpendLimit { scope: SpendScope::Everyone, since, amount };
        let mut limits = vec![
            everyone(day, self.total_per_day),
            SpendLimit { scope: SpendScope::Agent(agent.to_owned()), since: day, amount: self.per_agent_per_day },
        ];
        limits.extend(mission_since.map(|since| everyone(since, self.total_per_mission)));
        limits
    }
}

/// 24 hours before a moment.
pub(super) fn day_before(at: Timestamp) -> Timestamp {
    at.saturating_sub(jiff_span()).unwrap_or(Timestamp::MIN)
}

fn jiff_span() -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(DAY).unwrap_or(jiff::SignedDuration::MAX)
}

/// Amounts as people write them: dollars with cents.
mod usd {
    use crate::base::NanoUsd;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// More than any team's budget: a slip of the unit.
    const MOST_USD: f64 = 1e6;

    pub(super) fn serialize<S: Serializer>(amount: &NanoUsd, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(amount.as_usd())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NanoUsd, D::Error> {
        let usd = f64::deserialize(deserializer)?;
        if (0.0..=MOST_USD).contains(&usd) {
            Ok(NanoUsd::from_usd(usd))
        } else {
            Err(de::Error::custom(format!("a budget must be between 0 and {MOST_USD} US dollars, not {usd}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_written_in_dollars_and_missing_ones_keep_their_default() {
        let budgets: Budgets = toml::from_str("total_per_day_usd = 12.5\nper_agent_per_day_usd = 3").unwrap();
        let expected = Budgets {
            total_per_day: NanoUsd::from_usd(12.5),
            per_agent_per_day: NanoUsd::from_usd(3.0),
            ..Budgets::default()
        };
        assert_eq!(budgets, expected);
        assert_eq!(toml::from_str::<Budgets>(&toml::to_string(&budgets).unwrap()).unwrap(), budgets);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "total_per_day_usd = -1.0",
            "total_per_day_usd = nan",
            "total_per_day_usd = 1e12",
            "total_per_week_usd = 1.0",
        ] {
            assert!(toml::from_str::<Budgets>(text).is_err(), "{text}");
        }
    }
}
