//! A cron expression as a question: when next?

use super::WatchdogError;
use crate::base::Timestamp;
use chrono::{DateTime, Utc};
use std::str::FromStr;

/// A parsed schedule, in UTC.
pub(super) struct Schedule(cron::Schedule);

impl Schedule {
    /// Reads a cron expression of six or seven fields, seconds first.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(expression: &str) -> Result<Self, WatchdogError> {
        let schedule = cron::Schedule::from_str(expression)
            .map_err(|error| WatchdogError::Cron { expression: expression.to_owned(), why: error.to_string() })?;
        Ok(Self(schedule))
    }

    /// The first moment of the schedule after `moment`; none when the schedule has ended.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let moment: DateTime<Utc> = DateTime::from_timestamp_millis(moment.as_millisecond())?;
        let next = self.0.after(&moment).next()?;
        Timestamp::from_millisecond(next.timestamp_millis()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schedule_ticks_twice_a_minute() {
        let schedule = Schedule::parse(&super::super::Config::default().cron).unwrap();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        assert_eq!(schedule.after(at(0)), Some(at(30)));
        assert_eq!(schedule.after(at(29)), Some(at(30)));
        assert_eq!(schedule.after(at(31)), Some(at(60)));
        assert_eq!(schedule.after(at(3_599)), Some(at(3_600)), "ticks that were missed are not made up for");
    }

    #[test]
    fn five_fields_are_refused_with_an_example() {
        let error = Schedule::parse("*/30 * * * *").err().unwrap().to_string();
        assert!(error.contains("\"*/30 * * * * *\""), "{error}");
    }
}
