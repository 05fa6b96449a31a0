//! The loops of a run as a narrow monospaced table, for terminals and chats.

use super::axes::short_count;
use super::charts::{FailureCount, largest_first};
use crate::base::{NanoUsd, Proportion};
use std::fmt::Write;

/// No line of a table is longer than this, in characters.
pub const TABLE_COLUMNS: usize = 60;
/// How many failure classes a loop's second line names.
const TOP_FAILURES: usize = 3;

/// What one loop did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoopLine {
    /// The loop's number.
    pub number: u32,
    /// Episodes made.
    pub episodes: u32,
    /// Training samples seen.
    pub samples: u64,
    /// Wall time.
    pub minutes: f64,
    /// Scenes solved, all of their bricks delivered.
    pub success_per_scene: Proportion,
    /// Bricks delivered.
    pub success_per_brick: Proportion,
    /// How rollouts failed, in any order.
    pub failures: Vec<FailureCount>,
    /// Model calls and machines.
    pub spent: NanoUsd,
    /// Whether the loop's policy became the best one.
    pub promoted: bool,
}

/// A table of the loops, oldest first, each with a second line of its most frequent failures. At most
/// [`TABLE_COLUMNS`] wide; ends with a newline.
pub fn loops_table(loops: &[LoopLine]) -> String {
    if loops.is_empty() {
        return "no loop has run yet\n".to_owned();
    }
    let mut table = String::from(" loop  eps samples    min  scenes (95 %)     bricks    spent\n");
    for line in loops {
        let mark = if line.promoted { '*' } else { ' ' };
        let row = format!(
            "{mark}{:>4} {:>4} {:>7} {:>6}  {:<16} {:>7} {:>8}",
            line.number,
            short_whole(line.episodes),
            short_count(line.samples as f64),
            minutes(line.minutes),
            with_interval(line.success_per_scene),
            percent(line.success_per_brick),
            dollars(line.spent),
        );
        push_line(&mut table, &row);
        let worst = largest_first(&line.failures);
        if !worst.is_empty() {
            let named: Vec<String> =
                worst.iter().take(TOP_FAILURES).map(|(class, n)| format!("{} {n}", class.replace('_', " "))).collect();
            push_line(&mut table, &format!("      failed: {}", named.join(", ")));
        }
    }
    if loops.iter().any(|line| line.promoted) {
        table.push_str("* promoted: became the best policy so far\n");
    }
    table
}

fn push_line(table: &mut String, line: &str) {
    let line = line.trim_end();
    if line.chars().count() > TABLE_COLUMNS {
        table.extend(line.chars().take(TABLE_COLUMNS - 1));
        table.push('…');
    } else {
        table.push_str(line);
    }
    table.push('\n');
}

fn short_whole(count: u32) -> String {
    if count < 10_000 { count.to_string() } else { short_count(f64::from(count)) }
}

fn minutes(minutes: f64) -> String {
    if minutes < 1000.0 { format!("{minutes:.1}") } else { format!("{minutes:.0}") }
}

/// `78 %`, or a dash when nothing was tried.
pub(super) fn percent(share: Proportion) -> String {
    if share.trials == 0 { "–".to_owned() } else { format!("{:.0} %", 100.0 * share.rate()) }
}

/// `78 % (72–84)`, or a dash.
pub(super) fn with_interval(share: Proportion) -> String {
    let mut text = percent(share);
    if share.trials > 0 {
        let (low, high) = share.wilson_95();
        // Writing into a string cannot fail.
        let _ = write!(text, " ({:.0}–{:.0})", 100.0 * low, 100.0 * high);
    }
    text
}

/// Whole cents; the report has the rest.
fn dollars(spent: NanoUsd) -> String {
    format!("${:.2}", spent.as_usd())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::report) fn two_loops() -> Vec<LoopLine> {
        let failures = |counts: &[(&str, u32)]| {
            counts.iter().map(|&(class, count)| FailureCount { class: class.to_owned(), count }).collect()
        };
        vec![
            LoopLine {
                number: 1,
                episodes: 1000,
                samples: 139_000,
                minutes: 6.24,
                success_per_scene: Proportion::new(104, 200),
                success_per_brick: Proportion::new(244, 400),
                failures: failures(&[("wall_stuck", 41), ("lifting", 30), ("lost_brick", 20), ("timeout", 5)]),
                spent: NanoUsd::from_usd(0.12),
                promoted: true,
            },
            LoopLine {
                number: 2,
                episodes: 240,
                samples: 35_000,
                minutes: 1.5,
                success_per_scene: Proportion::new(0, 0),
                success_per_brick: Proportion::new(0, 0),
                failures: Vec::new(),
                spent: NanoUsd::ZERO,
                promoted: false,
            },
        ]
    }

    #[test]
    fn the_table_is_narrow_and_says_what_was_measured() {
        insta::assert_snapshot!(loops_table(&two_loops()), @r"
         loop  eps samples    min  scenes (95 %)     bricks    spent
        *   1 1000    139k    6.2  52 % (45–59)        61 %    $0.12
              failed: wall stuck 41, lifting 30, lost brick 20
            2  240     35k    1.5  –                      –    $0.00
        * promoted: became the best policy so far
        ");
    }

    #[test]
    fn no_line_is_too_long() {
        let line = LoopLine {
            number: 99_999,
            episodes: u32::MAX,
            samples: u64::MAX,
            minutes: 1e9,
            success_per_scene: Proportion::new(1000, 1000),
            success_per_brick: Proportion::new(1000, 1000),
            failures: vec![FailureCount { class: "x".repeat(90), count: 7 }],
            spent: NanoUsd(i64::MAX),
            promoted: true,
        };
        let table = loops_table(&[line]);
        assert!(table.lines().all(|l| l.chars().count() <= TABLE_COLUMNS), "{table}");
    }

    #[test]
    fn an_empty_run_says_so() {
        assert_eq!(loops_table(&[]), "no loop has run yet\n");
    }
}
