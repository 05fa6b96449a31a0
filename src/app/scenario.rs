//! `scenario`: the families that scenes begin from, and the check of a proposed one.

use super::cli::say;
use super::{Ending, threads};
use crate::sim::{self, Catalogue, Colour, Family, PROPOSAL_SEEDS};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct ScenarioArgs {
    #[command(subcommand)]
    action: ScenarioAction,
}

#[derive(Debug, Subcommand)]
enum ScenarioAction {
    /// List the families, each with its purpose
    List,
    /// Print the JSON Schema of a family
    Schema,
    /// Check proposed families (TOML or JSON) against the schema, the bounds and the expert
    Check {
        /// File with one or more families, written as in src/sim/scenarios.toml
        file: PathBuf,
        /// Scenes that the expert has to solve, for 1 brick and again for 3
        #[arg(long, value_name = "N", default_value_t = PROPOSAL_SEEDS, value_parser = parse_seeds)]
        seeds: usize,
    },
}

fn parse_seeds(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=100_000).contains(n)).ok_or_else(|| "1 to 100000 are possible".to_owned())
}

pub fn run(args: &ScenarioArgs) -> anyhow::Result<Ending> {
    match &args.action {
        ScenarioAction::List => {
            for family in sim::families() {
                say(&format!("{:<18} {}: {}", family.name, family.title, family.purpose));
            }
            Ok(Ending::Done)
        }
        ScenarioAction::Schema => {
            say(&serde_json::to_string_pretty(&sim::family_schema())?);
            Ok(Ending::Done)
        }
        ScenarioAction::Check { file, seeds } => check(file, *seeds),
    }
}

fn check(file: &Path, seeds: usize) -> anyhow::Result<Ending> {
    let mut ending = Ending::Done;
    for family in &read(file)? {
        say(&format!("{}: {}", family.name, family.purpose));
        for report in sim::try_family(family, seeds, threads()) {
            say(&format!(" with {} in a scene:\n{report}", bricks(report.bricks)));
            if !report.passes() {
                ending = Ending::CheckFailed;
            }
        }
    }
    Ok(ending)
}

fn bricks(count: usize) -> String {
    if count == 1 { "1 brick".to_owned() } else { format!("{count} bricks") }
}

/// The families of a file, checked against schema and bounds.
pub fn read(file: &Path) -> anyhow::Result<Vec<Family>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let families = sim::parse_families(&text).with_context(|| file.display().to_string())?;
    Catalogue::with(&families).with_context(|| file.display().to_string())?;
    Ok(families)
}

/// Colours by name; `all` is every one.
pub fn colours(names: &[String]) -> anyhow::Result<Vec<Colour>> {
    if names.iter().any(|name| name == "all") {
        return Ok(Colour::ALL.to_vec());
    }
    let colour = |name: &String| match serde_json::from_value(serde_json::json!(name)) {
        Ok(colour) => Ok(colour),
        Err(error) => bail!("{error}; `all` is possible too"),
    };
    names.iter().map(colour).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_named_or_all() {
        let names = |text: &[&str]| text.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(colours(&names(&["red", "azure"])).unwrap(), [Colour::Red, Colour::Azure]);
        assert_eq!(colours(&names(&["all"])).unwrap().len(), 8);
        assert!(colours(&names(&["pink"])).unwrap_err().to_string().contains("pink"));
    }
}
