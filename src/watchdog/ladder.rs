//! The ladder of cures: which rung is due, as a pure function of the stored incidents.
//!
//! A silent agent is woken at once, restarted half a minute later, and after two minutes people are called; from then on
//! the loop's deadlines let the playbook decide in its place. An agent that was cured three times within ten minutes is
//! not cured a fourth time: people are called at once. Rungs are rows with keys, so a rung is taken once.

use crate::base::Timestamp;
use crate::store::IncidentRow;

/// Seconds after the notice at which a silent agent is restarted.
const RESTART_AFTER_S: i64 = 30;
/// Seconds after the notice at which people are called.
const PEOPLE_AFTER_S: i64 = 120;
/// Incidents of one agent within [`INTENSITY_S`] that are cured; the next one goes to people.
const MOST_CURES: usize = 3;
/// The window for [`MOST_CURES`], as in OTP's supervisors.
const INTENSITY_S: i64 = 600;

/// A cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rung {
    /// Wake the agent.
    Wake,
    /// Restart it with a fresh context.
    Restart,
    /// Call people.
    People,
}

impl Rung {
    /// The name in keys of rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Rung::Wake => "wake",
            Rung::Restart => "restart",
            Rung::People => "people",
        }
    }

    /// What the incident's row says when it ended after this rung.
    pub fn as_cure(self) -> &'static str {
        match self {
            Rung::Wake => "woken",
            Rung::Restart => "restarted",
            Rung::People => "after people were called",
        }
    }
}

/// The rungs that `incident` has earned by now, lowest first. `all` are the newest incidents of its kind.
pub(super) fn due(incident: &IncidentRow, all: &[IncidentRow], now: Timestamp) -> Vec<Rung> {
    if incident.kind != super::agent_silent::NAME {
        // Jobs, decisions and disks have no cure that a row can order: people are told, with what to do.
        return vec![Rung::People];
    }
    let age_s = now.duration_since(incident.noticed_at).as_secs();
    let before = all.iter().filter(|other| {
        let earlier_s = incident.noticed_at.duration_since(other.noticed_at).as_secs();
        other.id < incident.id && other.subject == incident.subject && (0..INTENSITY_S).contains(&earlier_s)
    });
    if before.count() >= MOST_CURES {
        return vec![Rung::People];
    }
    let rungs = [(Rung::Wake, 0), (Rung::Restart, RESTART_AFTER_S), (Rung::People, PEOPLE_AFTER_S)];
    rungs.into_iter().filter(|(_, after_s)| age_s >= *after_s).map(|(rung, _)| rung).collect()
}

/// What people are told.
pub(super) fn call(incident: &IncidentRow) -> String {
    match incident.kind.as_str() {
        super::agent_silent::NAME => format!(
            "{} does not come back; the playbook decides in its place at each deadline. Somebody should look at the log",
            incident.subject
        ),
        super::job_stalled::NAME => {
            format!("{} needs a person: restart ralphton and it goes on from its last safe point", incident.subject)
        }
        super::decision_overdue::NAME => {
            format!("{} is not taken although its deadline has passed: restart ralphton", incident.subject)
        }
        super::disk::NAME => "free some disk space, or the next dataset will not fit".to_owned(),
        _ => format!("somebody should look at {}", incident.subject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(id: i64, at_s: i64) -> IncidentRow {
        IncidentRow {
            id,
            subject: "training".to_owned(),
            kind: super::super::agent_silent::NAME.to_owned(),
            evidence: String::new(),
            noticed_at: Timestamp::from_second(at_s).unwrap(),
            cured_at: None,
            cure: None,
        }
    }

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn rungs_come_in_their_order_and_stay() {
        let one = incident(1, 1_000);
        assert_eq!(due(&one, &[], after(1_000)), [Rung::Wake]);
        assert_eq!(due(&one, &[], after(1_030)), [Rung::Wake, Rung::Restart]);
        assert_eq!(due(&one, &[], after(1_120)), [Rung::Wake, Rung::Restart, Rung::People]);
    }

    #[test]
    fn the_fourth_silence_within_ten_minutes_goes_to_people() {
        let all = [incident(1, 1_000), incident(2, 1_200), incident(3, 1_400), incident(4, 1_550)];
        assert_eq!(due(&all[3], &all, after(1_550)), [Rung::People]);
        assert_eq!(due(&all[2], &all, after(1_400)), [Rung::Wake]);
        let later = incident(5, 2_500);
        assert_eq!(due(&later, &all, after(2_500)), [Rung::Wake], "the window has passed");
    }
}
