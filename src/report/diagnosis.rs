//! The diagnosis of a policy in Markdown: what fails, where it first goes wrong, how far from the data it was, and what
//! it could not know.

use super::charts::{FailureCount, largest_first};
use super::distance_chart::DistanceGroup;
use super::table::with_interval;
use crate::base::Proportion;
use std::fmt::Write;

/// Deviations that are listed one by one.
const MOST_LISTED: usize = 40;

/// One failed scene.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedLine {
    /// Its number.
    pub scene: u32,
    /// Its family.
    pub family: String,
    /// Its failure class, in words.
    pub class: String,
    /// Where it first went wrong, in words; none when no moment stands out.
    pub deviation: Option<String>,
    /// What the loader was about then.
    pub phase: Option<String>,
}

/// What the audit says of one variable.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditLine {
    /// The variable.
    pub variable: String,
    /// States that were compared with a twin.
    pub twins: u32,
    /// Twins that the policy cannot tell from the state.
    pub alike: u32,
    /// Of these, twins in which the expert acts differently.
    pub conflicts: u32,
    /// Whether that is enough to call it missing.
    pub missing: bool,
}

/// Everything a diagnosis says.
#[derive(Debug, Clone, PartialEq)]
pub struct DiagnosisReport {
    /// The policy.
    pub policy: String,
    /// How it was driven and what it is, one fact each.
    pub facts: Vec<String>,
    /// Scenes solved.
    pub scenes: Proportion,
    /// Bricks delivered.
    pub bricks: Proportion,
    /// Scenes solved by family.
    pub families: Vec<(String, Proportion)>,
    /// Failed scenes by class.
    pub failures: Vec<FailureCount>,
    /// Failed scenes one by one.
    pub failed: Vec<FailedLine>,
    /// Of the solved scenes, how many deviate as well: what the rule is worth.
    pub solved_that_deviate: Proportion,
    /// Distances from the training data; empty when there was none to compare with.
    pub distances: Vec<DistanceGroup>,
    /// What follows from them, in a sentence.
    pub shift: String,
    /// The audit.
    pub audit: Vec<AuditLine>,
    /// What follows from it, in a sentence.
    pub verdict: String,
    /// Pictures and clips beside the report: title and file name.
    pub pictures: Vec<(String, String)>,
}

/// The diagnosis as Markdown.
pub fn diagnosis_markdown(report: &DiagnosisReport) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_report(&mut text, report);
    text
}

fn write_report(out: &mut String, report: &DiagnosisReport) -> std::fmt::Result {
    writeln!(out, "# Diagnosis of {}\n", cell(&report.policy))?;
    writeln!(out, "- **Scenes solved:** {}", report.scenes)?;
    writeln!(out, "- **Bricks delivered:** {}", report.bricks)?;
    for fact in &report.facts {
        writeln!(out, "- {}", cell(fact))?;
    }
    writeln!(out, "- **Distance from the data:** {}", report.shift)?;
    writeln!(out, "- **Observability:** {}\n", report.verdict)?;
    write_failures(out, report)?;
    write_deviations(out, report)?;
    write_distances(out, report)?;
    write_audit(out, report)?;
    for (title, file) in &report.pictures {
        writeln!(out, "## {}\n\n![{}]({file})\n", cell(title), cell(title))?;
    }
    Ok(())
}

fn write_failures(out: &mut String, report: &DiagnosisReport) -> std::fmt::Result {
    writeln!(out, "## What fails\n")?;
    let classes = largest_first(&report.failures);
    if classes.is_empty() {
        writeln!(out, "Nothing: every scene was solved.\n")?;
    } else {
        writeln!(out, "| class | scenes |\n|:--|--:|")?;
        for (class, count) in classes {
            writeln!(out, "| {} | {count} |", cell(&class))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "| family | solved, % (95 %) | scenes |\n|:--|--:|--:|")?;
    for (family, solved) in &report.families {
        writeln!(out, "| {} | {} | {}/{} |", cell(family), with_interval(*solved), solved.successes, solved.trials)?;
    }
    writeln!(out)
}

fn write_deviations(out: &mut String, report: &DiagnosisReport) -> std::fmt::Result {
    if report.failed.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Where it first goes wrong\n")?;
    writeln!(
        out,
        "The first moment after which the actions differ persistently from what the expert would do in the same state, \
         or after which nothing gets nearer to success. Of the solved scenes {} deviate as well and recover.\n",
        report.solved_that_deviate
    )?;
    let mut phases: Vec<(&str, u32)> = Vec::new();
    for phase in report.failed.iter().filter_map(|line| line.phase.as_deref()) {
        match phases.iter_mut().find(|(name, _)| *name == phase) {
            Some((_, count)) => *count += 1,
            None => phases.push((phase, 1)),
        }
    }
    phases.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let told: Vec<String> = phases.iter().map(|(phase, count)| format!("{phase} {count}")).collect();
    writeln!(out, "By phase: {}.\n", if told.is_empty() { "none".to_owned() } else { told.join(", ") })?;
    writeln!(out, "| scene | family | class | first deviation |\n|--:|:--|:--|:--|")?;
    for line in report.failed.iter().take(MOST_LISTED) {
        let deviation = line.deviation.as_deref().unwrap_or("no moment stands out");
        writeln!(out, "| {} | {} | {} | {} |", line.scene, cell(&line.family), cell(&line.class), cell(deviation))?;
    }
    if report.failed.len() > MOST_LISTED {
        writeln!(out, "\n{} more are in `results.json`.", report.failed.len() - MOST_LISTED)?;
    }
    writeln!(out)
}

fn write_distances(out: &mut String, report: &DiagnosisReport) -> std::fmt::Result {
    if report.distances.is_empty() {
        return Ok(());
    }
    writeln!(out, "## How far from the training data\n")?;
    writeln!(
        out,
        "Distance from a visited state to the nearest training state, every number divided by its deviation in the \
         data. Off the data: farther than 99 % of training states are from other episodes.\n"
    )?;
    writeln!(out, "| states of | measured | 10 % below | median | 90 % below | off the data |")?;
    writeln!(out, "|:--|--:|--:|--:|--:|--:|")?;
    for group in &report.distances {
        let (low, median, high) = group.nearer_than;
        let off = 100.0 * group.off_data;
        writeln!(
            out,
            "| {} | {} | {low:.2} | {median:.2} | {high:.2} | {off:.1} % |",
            cell(&group.name),
            group.states
        )?;
    }
    writeln!(out)
}

fn write_audit(out: &mut String, report: &DiagnosisReport) -> std::fmt::Result {
    if report.audit.is_empty() {
        return Ok(());
    }
    writeln!(out, "## What it could not know\n")?;
    writeln!(
        out,
        "Each visited state is compared with a twin that differs in one variable alone. Alike: image and state numbers \
         do not tell the two apart. Conflict: the expert acts differently all the same.\n"
    )?;
    writeln!(out, "| variable | twins | alike | conflicts | missing |\n|:--|--:|--:|--:|:--|")?;
    for line in &report.audit {
        let missing = if line.missing { "**yes**" } else { "no" };
        writeln!(
            out,
            "| {} | {} | {} | {} | {missing} |",
            cell(&line.variable),
            line.twins,
            line.alike,
            line.conflicts
        )?;
    }
    writeln!(out)
}

/// Text that stays on its line and in its cell.
fn cell(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_reads_from_the_answer_to_the_evidence() {
        let report = DiagnosisReport {
            policy: "checkpoint".to_owned(),
            facts: vec!["10 steps of each chunk executed".to_owned()],
            scenes: Proportion::new(7, 10),
            bricks: Proportion::new(7, 10),
            families: vec![("Open floor".to_owned(), Proportion::new(7, 10))],
            failures: vec![FailureCount { class: "stuck lifting".to_owned(), count: 3 }],
            failed: vec![FailedLine {
                scene: 4,
                family: "Open floor".to_owned(),
                class: "stuck lifting".to_owned(),
                deviation: Some("12.0 s at (1.0, 2.0), carry: gets no further".to_owned()),
                phase: Some("carry".to_owned()),
            }],
            solved_that_deviate: Proportion::new(1, 7),
            distances: vec![DistanceGroup {
                name: "failed scenes".to_owned(),
                states: 30,
                nearer_than: (0.1, 0.5, 2.0),
                off_data: 0.25,
            }],
            shift: "failed scenes are off the data".to_owned(),
            audit: vec![AuditLine { variable: "lift".to_owned(), twins: 90, alike: 80, conflicts: 40, missing: true }],
            verdict: "missing: lift".to_owned(),
            pictures: vec![("Where it failed".to_owned(), "where.png".to_owned())],
        };
        let text = diagnosis_markdown(&report);
        for needed in [
            "# Diagnosis of checkpoint",
            "| stuck lifting | 3 |",
            "By phase: carry 1.",
            "| failed scenes | 30 | 0.10 | 0.50 | 2.00 | 25.0 % |",
            "| lift | 90 | 80 | 40 | **yes** |",
            "![Where it failed](where.png)",
        ] {
            assert!(text.contains(needed), "{needed} not in\n{text}");
        }
    }
}
