//! How much may be spent. Set by people, in US dollars, in the configuration or by a command; no agent can change it.

use crate::base::{NanoUsd, Timestamp};
use crate::store::{BudgetScope, Limit};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::str::FromStr;

/// The budgets. Each holds by itself; a call must fit within all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// The whole team's on a calendar day, US dollars. Default 20. Zero: only brains that cost nothing.
    #[serde(rename = "total_per_day_usd", with = "usd")]
    pub total_per_day: NanoUsd,
    /// The whole team's since the mission began, US dollars. Default 50.
    #[serde(rename = "total_per_mission_usd", with = "usd")]
    pub total_per_mission: NanoUsd,
    /// The whole team's in one loop, US dollars. Default 10: a night does not get a second budget at midnight.
    #[serde(rename = "per_loop_usd", with = "usd")]
    pub per_loop: NanoUsd,
    /// Each agent's on a calendar day, US dollars. Default 8: one agent that runs wild leaves the others their share.
    #[serde(rename = "per_agent_per_day_usd", with = "usd")]
    pub per_agent_per_day: NanoUsd,
    /// One call of a watchdog that thinks, US dollars. Default 2.
    #[serde(rename = "per_watchdog_call_usd", with = "usd")]
    pub per_watchdog_call: NanoUsd,
    /// Where a calendar day begins. Default UTC.
    pub day_zone: DayZone,
}

impl Default for Budgets {
    fn default() -> Self {
        let usd = |dollars: i64| NanoUsd(dollars * 1_000_000_000);
        Budgets {
            total_per_day: usd(20),
            total_per_mission: usd(50),
            per_loop: usd(10),
            per_agent_per_day: usd(8),
            per_watchdog_call: usd(2),
            day_zone: DayZone::default(),
        }
    }
}

/// The budgets by the names that people set them under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetKey {
    /// See [`Budgets::total_per_day`].
    TotalPerDay,
    /// See [`Budgets::total_per_mission`].
    TotalPerMission,
    /// See [`Budgets::per_loop`].
    PerLoop,
    /// See [`Budgets::per_agent_per_day`].
    PerAgentPerDay,
    /// See [`Budgets::per_watchdog_call`].
    PerWatchdogCall,
}

impl BudgetKey {
    /// Every key, in the order in which a call is checked against them.
    pub const ALL: [BudgetKey; 5] = [
        BudgetKey::PerWatchdogCall,
        BudgetKey::TotalPerDay,
        BudgetKey::PerAgentPerDay,
        BudgetKey::PerLoop,
        BudgetKey::TotalPerMission,
    ];

    /// The key in `agents.toml`, in rows and in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            BudgetKey::TotalPerDay => "total_per_day_usd",
            BudgetKey::TotalPerMission => "total_per_mission_usd",
            BudgetKey::PerLoop => "per_loop_usd",
            BudgetKey::PerAgentPerDay => "per_agent_per_day_usd",
            BudgetKey::PerWatchdogCall => "per_watchdog_call_usd",
        }
    }

    /// What it counts.
    pub fn scope(self) -> BudgetScope {
        match self {
            BudgetKey::TotalPerDay => BudgetScope::TeamDay,
            BudgetKey::TotalPerMission => BudgetScope::Mission,
            BudgetKey::PerLoop => BudgetScope::Loop,
            BudgetKey::PerAgentPerDay => BudgetScope::AgentDay,
            BudgetKey::PerWatchdogCall => BudgetScope::Call,
        }
    }
}

impl FromStr for BudgetKey {
    type Err = String;

    /// With or without `_usd` at its end, with hyphens or underscores.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.to_lowercase().replace('-', "_");
        let plain = plain.trim_end_matches("_usd");
        BudgetKey::ALL.into_iter().find(|key| key.as_str().trim_end_matches("_usd") == plain).ok_or_else(|| {
            let known: Vec<&str> = BudgetKey::ALL.into_iter().map(BudgetKey::as_str).collect();
            format!("\"{text}\" is no budget; there are {}", known.join(", "))
        })
    }
}

impl Budgets {
    /// The configured amount of a budget.
    pub fn amount(&self, key: BudgetKey) -> NanoUsd {
        match key {
            BudgetKey::TotalPerDay => self.total_per_day,
            BudgetKey::TotalPerMission => self.total_per_mission,
            BudgetKey::PerLoop => self.per_loop,
            BudgetKey::PerAgentPerDay => self.per_agent_per_day,
            BudgetKey::PerWatchdogCall => self.per_watchdog_call,
        }
    }

    /// The limits on a call; only a watchdog's has one of its own.
    pub(super) fn limits(&self, watchdog: bool) -> Vec<Limit> {
        let keys = BudgetKey::ALL.into_iter().filter(|key| watchdog || *key != BudgetKey::PerWatchdogCall);
        keys.map(|key| Limit { scope: key.scope(), key: key.as_str(), amount: self.amount(key), set_by: None })
            .collect()
    }
}

/// The time zone in which a budget's day begins and ends, by its name in the time zone database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayZone(TimeZone);

impl Default for DayZone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl DayZone {
    /// Its name: `UTC`, `Europe/Berlin`.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The calendar day of a moment: `2026-11-24`.
    pub fn day(&self, at: Timestamp) -> String {
        at.to_zoned(self.0.clone()).date().to_string()
    }
}

impl FromStr for DayZone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name.eq_ignore_ascii_case("utc") {
            return Ok(Self::default());
        }
        TimeZone::get(name).map(Self).map_err(|_| {
            format!("the time zone \"{name}\" is not known here; write it as \"Europe/Berlin\", or \"UTC\"")
        })
    }
}

impl Serialize for DayZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for DayZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Amounts as people write them: dollars with cents.
pub(super) mod usd {
    use crate::base::NanoUsd;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// More than any team's budget: a slip of the unit.
    pub(in crate::ledger) const MOST_USD: f64 = 1e6;

    pub(in crate::ledger) fn serialize<S: Serializer>(amount: &NanoUsd, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(amount.as_usd())
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NanoUsd, D::Error> {
        let usd = f64::deserialize(deserializer)?;
        if (0.0..=MOST_USD).contains(&usd) {
            Ok(NanoUsd::from_usd(usd))
        } else {
            Err(de::Error::custom(format!("an amount must be between 0 and {MOST_USD} US dollars, not {usd}")))
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
            "day_zone = \"Mars/Olympus\"",
        ] {
            assert!(toml::from_str::<Budgets>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_is_the_calendars_in_the_set_zone() {
        let late: Timestamp = "2026-11-24T23:30:00Z".parse().unwrap();
        assert_eq!(DayZone::default().day(late), "2026-11-24");
        // A fixed offset stands for a zone: the database may be absent where this runs.
        assert_eq!(DayZone(TimeZone::fixed(jiff::tz::offset(1))).day(late), "2026-11-25");
    }

    #[test]
    fn a_budget_is_known_by_its_key() {
        assert_eq!("per-loop".parse(), Ok(BudgetKey::PerLoop));
        assert_eq!("total_per_day_usd".parse(), Ok(BudgetKey::TotalPerDay));
        assert!("per_week".parse::<BudgetKey>().unwrap_err().contains("there are per_watchdog_call_usd"));
    }
}
