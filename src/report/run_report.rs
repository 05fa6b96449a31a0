//! The report of a whole run in Markdown: result, loops, failures, what it cost, and where everything lies.

use super::charts::{FailureCount, largest_first};
use super::table::{LoopLine, percent, with_interval};
use super::times::{StageTimeLine, hits, times_table};
use crate::base::{NanoUsd, Proportion, Seed, Timestamp};
use std::fmt::Write;

/// Everything the report of a run says.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// The run's name.
    pub title: String,
    /// What it was to reach, in words.
    pub goal: String,
    /// Why it ended, in words; none while it runs.
    pub ending: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended, or the moment of the report.
    pub until: Timestamp,
    /// The best policy's closed-loop success per scene.
    pub best: Proportion,
    /// Closed-loop success per scene that was asked for, a share.
    pub target: Option<f64>,
    /// The seed everything follows from.
    pub seed: Seed,
    /// Its loops, oldest first.
    pub loops: Vec<LoopLine>,
    /// How the newest evaluation's rollouts failed.
    pub failures: Vec<FailureCount>,
    /// Forecast and fact of each stage; empty without a probe.
    pub times: Vec<StageTimeLine>,
    /// What the model calls cost.
    pub spent: NanoUsd,
    /// What the machines cost.
    pub machine: NanoUsd,
    /// What was made and where it lies: name and path.
    pub artefacts: Vec<(String, String)>,
    /// What it was made with: name and version.
    pub versions: Vec<(String, String)>,
}

/// The report as Markdown.
pub fn run_report_markdown(report: &RunReport) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_report(&mut text, report);
    text
}

fn write_report(out: &mut String, report: &RunReport) -> std::fmt::Result {
    writeln!(out, "# {}\n", plain(&report.title))?;
    writeln!(out, "{}\n", plain(&report.goal))?;
    let target = report.target.map(|t| format!(", target {:.0} %", 100.0 * t)).unwrap_or_default();
    writeln!(out, "- **Closed-loop success:** {}{target}", report.best)?;
    writeln!(out, "- **Ended:** {}", plain(report.ending.as_deref().unwrap_or("not yet, still running")))?;
    let minutes = report.until.duration_since(report.started).as_secs_f64() / 60.0;
    writeln!(out, "- **Time:** {:.0} to {:.0}, {minutes:.1} minutes", report.started, report.until)?;
    let both = report.spent.saturating_add(report.machine);
    writeln!(out, "- **Spent:** {both}: {} for model calls, {} for machines", report.spent, report.machine)?;
    writeln!(out, "- **Seed:** {}\n", report.seed.0)?;
    write_loops(out, &report.loops)?;
    write_pairs(out, "Failures", ("class", "rollouts"), &failure_pairs(&report.failures), "No failed rollout.")?;
    if !report.times.is_empty() {
        let (good, all) = hits(&report.times);
        writeln!(out, "## Forecast against fact\n")?;
        if all > 0 {
            writeln!(out, "{good} of {all} stages took what was forecast, ±20 %.\n")?;
        }
        writeln!(out, "{}", times_table(&report.times))?;
    }
    let code = |pairs: &[(String, String)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, path)| (plain(name), format!("`{}`", path.replace('`', "'")))).collect()
    };
    write_pairs(out, "Artefacts", ("what", "where"), &code(&report.artefacts), "Nothing was made.")?;
    write_pairs(out, "Versions", ("what", "version"), &code(&report.versions), "No versions are known.")
}

fn write_loops(out: &mut String, loops: &[LoopLine]) -> std::fmt::Result {
    writeln!(out, "## Loops\n")?;
    if loops.is_empty() {
        return writeln!(out, "No loop has run yet.\n");
    }
    writeln!(out, "| loop | episodes | samples | minutes | scenes, % (95 %) | bricks | failures | spent | promoted |")?;
    writeln!(out, "|--:|--:|--:|--:|:--|--:|:--|--:|:--|")?;
    for line in loops {
        let failures: Vec<String> =
            largest_first(&line.failures).iter().map(|(class, count)| format!("{} {count}", plain(class))).collect();
        writeln!(
            out,
            "| {} | {} | {} | {:.1} | {} | {} | {} | {} | {} |",
            line.number,
            line.episodes,
            line.samples,
            line.minutes,
            scenes(line.success_per_scene),
            percent(line.success_per_brick),
            failures.join(", "),
            line.spent,
            if line.promoted { "yes" } else { "no" },
        )?;
    }
    writeln!(out)
}

fn scenes(share: Proportion) -> String {
    let shown = with_interval(share);
    if share.trials == 0 { shown } else { format!("{shown} of {}", share.trials) }
}

fn failure_pairs(failures: &[FailureCount]) -> Vec<(String, String)> {
    largest_first(failures).into_iter().map(|(class, count)| (plain(&class), count.to_string())).collect()
}

fn write_pairs(
    out: &mut String,
    title: &str,
    head: (&str, &str),
    pairs: &[(String, String)],
    none: &str,
) -> std::fmt::Result {
    writeln!(out, "## {title}\n")?;
    if pairs.is_empty() {
        return writeln!(out, "{none}\n");
    }
    writeln!(out, "| {} | {} |\n|:--|:--|", head.0, head.1)?;
    for (name, value) in pairs {
        writeln!(out, "| {name} | {} |", value.replace('|', "\\|"))?;
    }
    writeln!(out)
}

/// Text that stays on its line and in its cell.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tests::two_loops;

    fn report() -> RunReport {
        let started: Timestamp = "2026-01-01T20:00:00Z".parse().unwrap();
        let loops = two_loops();
        RunReport {
            title: "Night run".to_owned(),
            goal: "Put every brick in the box.".to_owned(),
            ending: Some("time used".to_owned()),
            started,
            until: started + std::time::Duration::from_secs(750),
            best: loops[0].success_per_scene,
            target: Some(0.9),
            seed: Seed(7),
            failures: loops[0].failures.clone(),
            times: vec![],
            loops,
            spent: NanoUsd::from_usd(0.12),
            machine: NanoUsd::from_usd(0.5),
            artefacts: vec![("best policy".to_owned(), "data/artefacts/ab|cd".to_owned())],
            versions: vec![("ralphton".to_owned(), "0.1.0".to_owned())],
        }
    }

    #[test]
    fn the_report_says_what_happened_and_where_it_lies() {
        insta::assert_snapshot!(run_report_markdown(&report()), @r"
        # Night run

        Put every brick in the box.

        - **Closed-loop success:** 52.0 % (104/200, 95 % interval 45.1–58.8 %), target 90 %
        - **Ended:** time used
        - **Time:** 2026-01-01T20:00:00Z to 2026-01-01T20:12:30Z, 12.5 minutes
        - **Spent:** $0.62: $0.12 for model calls, $0.50 for machines
        - **Seed:** 7

        ## Loops

        | loop | episodes | samples | minutes | scenes, % (95 %) | bricks | failures | spent | promoted |
        |--:|--:|--:|--:|:--|--:|:--|--:|:--|
        | 1 | 1000 | 139000 | 6.2 | 52 % (45–59) of 200 | 61 % | wall_stuck 41, lifting 30, lost_brick 20, timeout 5 | $0.12 | yes |
        | 2 | 240 | 35000 | 1.5 | – | – |  | $0.00 | no |

        ## Failures

        | class | rollouts |
        |:--|:--|
        | wall_stuck | 41 |
        | lifting | 30 |
        | lost_brick | 20 |
        | timeout | 5 |

        ## Artefacts

        | what | where |
        |:--|:--|
        | best policy | `data/artefacts/ab\|cd` |

        ## Versions

        | what | version |
        |:--|:--|
        | ralphton | `0.1.0` |
        ");
    }

    #[test]
    fn an_empty_run_is_reported_too() {
        let report = RunReport {
            loops: vec![],
            failures: vec![],
            artefacts: vec![],
            versions: vec![],
            ending: None,
            ..report()
        };
        let text = run_report_markdown(&report);
        for line in ["No loop has run yet.", "No failed rollout.", "Nothing was made.", "not yet, still running"] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
