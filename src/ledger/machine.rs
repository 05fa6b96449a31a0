//! What the machines cost: dollars an hour for each host or GPU, whether or not it is busy, and for what is stored.

use super::budgets::usd;
use crate::base::{NanoUsd, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const MS_PER_HOUR: i128 = 3_600_000;
/// A month of storage: a twelfth of 365 days.
const HOURS_PER_MONTH: i128 = 730;
const BYTES_PER_GIB: i128 = 1 << 30;

/// What the machines of a run cost: the `[machine]` section of `agents.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Machine {
    /// What is stored, US dollars for a GiB and month. Default 0.
    #[serde(with = "usd")]
    pub storage_usd_per_gib_month: NanoUsd,
    /// Hosts and GPUs that are paid for while the run lasts. Default: none, the machine is there anyway.
    pub hosts: Vec<Host>,
}

/// A host or a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// What it is called in reports.
    pub name: String,
    /// US dollars an hour for one of them.
    #[serde(with = "usd")]
    pub usd_per_hour: NanoUsd,
    /// How many there are. Default 1.
    #[serde(default = "one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

impl Machine {
    /// What all hosts cost an hour.
    pub fn per_hour(&self) -> NanoUsd {
        self.hosts.iter().fold(NanoUsd::ZERO, |sum, host| {
            sum.saturating_add(NanoUsd(host.usd_per_hour.0.saturating_mul(i64::from(host.count))))
        })
    }

    /// As it is kept in the store.
    pub fn to_json(&self) -> Value {
        // Text, whole numbers and finite dollars always have a JSON form.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The rates over time: a later change of the configuration does not change what an earlier loop cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineRates(Vec<(Timestamp, Machine)>);

impl MachineRates {
    /// From the store's rows, oldest first. A row that a later version wrote and this one cannot read counts as free.
    pub fn from_rows(rows: Vec<(Timestamp, Value)>) -> Self {
        Self(rows.into_iter().map(|(since, row)| (since, serde_json::from_value(row).unwrap_or_default())).collect())
    }

    /// Whether any machine ever had a rate.
    pub fn are_set(&self) -> bool {
        self.0.iter().any(|(_, machine)| *machine != Machine::default())
    }

    /// The rates at the end.
    pub fn newest(&self) -> Machine {
        self.0.last().map(|(_, machine)| machine.clone()).unwrap_or_default()
    }

    /// What the machines cost between two moments while so many bytes were stored. Before the first rate is known, the
    /// first one holds.
    pub fn cost(&self, from: Timestamp, to: Timestamp, stored_bytes: u64) -> NanoUsd {
        let mut total = 0_i128;
        for (i, (since, machine)) in self.0.iter().enumerate() {
            let begin = if i == 0 { from } else { from.max(*since) };
            let end = self.0.get(i + 1).map_or(to, |(next, _)| to.min(*next));
            let ms = i128::from(end.as_millisecond() - begin.as_millisecond()).max(0);
            total += i128::from(machine.per_hour().0) * ms / MS_PER_HOUR;
            let storage = i128::from(machine.storage_usd_per_gib_month.0) * i128::from(stored_bytes) / BYTES_PER_GIB;
            total += storage * ms / (MS_PER_HOUR * HOURS_PER_MONTH);
        }
        NanoUsd(i64::try_from(total).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const CONFIG: &str = "storage_usd_per_gib_month = 7.3\n[[hosts]]\nname = \"a100 spot\"\nusd_per_hour = 2.48\n\
                          [[hosts]]\nname = \"vm\"\nusd_per_hour = 0.5\ncount = 4";

    fn at(minutes: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(60 * minutes)
    }

    #[test]
    fn a_loop_costs_its_minutes_times_the_rate_and_what_it_stores() {
        let machine: Machine = toml::from_str(CONFIG).unwrap();
        assert_eq!(machine.per_hour(), NanoUsd::from_usd(4.48));
        let rates = MachineRates::from_rows(vec![(at(0), machine.to_json())]);
        assert_eq!(rates.cost(at(0), at(30), 0), NanoUsd::from_usd(2.24));
        assert_eq!(rates.cost(at(0), at(60), 1 << 30), NanoUsd::from_usd(4.48 + 0.01));
        assert!(rates.are_set() && !MachineRates::default().are_set());
    }

    #[test]
    fn a_new_rate_holds_from_its_moment_on() {
        let machine = |usd: f64| Machine {
            hosts: vec![Host { name: "vm".into(), usd_per_hour: NanoUsd::from_usd(usd), count: 1 }],
            ..Machine::default()
        };
        let rates = MachineRates::from_rows(vec![(at(60), machine(1.0).to_json()), (at(120), machine(3.0).to_json())]);
        assert_eq!(rates.cost(at(0), at(60), 0), NanoUsd::from_usd(1.0));
        assert_eq!(rates.cost(at(90), at(150), 0), NanoUsd::from_usd(0.5 + 1.5));
        assert_eq!(rates.cost(at(150), at(90), 0), NanoUsd::ZERO);
    }

    #[test]
    fn a_negative_rate_is_refused() {
        assert!(toml::from_str::<Machine>("[[hosts]]\nname = \"x\"\nusd_per_hour = -1.0").is_err());
    }
}
