//! `ralphton cost`: what was spent, the price list, pricing of usage objects, the audit, and providers' own figures.

use super::cli::{say, say_error};
use super::{Ending, data_dir, price_books};
use crate::base::{Clock, SystemClock, Timestamp};
use crate::commands::{CostOverview, Span};
use crate::ledger::{Axis, PriceBook, RATE_HEAD, audit, drift, price_line, read_export};
use crate::report::cost_chart;
use anyhow::Context;
use clap::{Args, Subcommand};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CostArgs {
    #[command(subcommand)]
    pub action: Option<CostAction>,
    /// Hours to look back [default: since the newest mission began]
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    pub hours: Option<u32>,
    /// What the table has a row for: agent, model, loop, day or stage
    #[arg(long, value_name = "WHAT", default_value = "agent", value_parser = str::parse::<Axis>)]
    pub by: Axis,
    /// Write everything as comma-separated values into this file
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Draw the chart into this file
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum CostAction {
    /// Show the price list in force and its versions, or install another
    Prices(PricesArgs),
    /// Price raw usage objects, one JSON object a line: provider, model, api, usage, tier
    Price {
        /// The file; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Compute every row again with the prices of its version; exit code 5 when one is not what it should be
    Audit,
    /// Take over an export of a provider's usage or costs (OpenAI or Anthropic, CSV or JSON), and compare
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Compare the ledger with the imported figures, by UTC day and model
    Drift,
}

#[derive(Debug, Args)]
pub struct PricesArgs {
    #[command(subcommand)]
    pub action: Option<PricesAction>,
}

#[derive(Debug, Subcommand)]
pub enum PricesAction {
    /// Check a list, show what it changes, and put it into force from the next start of a team
    Update {
        /// The list, TOML or JSON
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Carries out what was asked for.
///
/// # Errors
/// In words that say what to do.
pub async fn run(data: &Path, args: &CostArgs) -> anyhow::Result<Ending> {
    match &args.action {
        None => overview(data, args).await,
        Some(CostAction::Prices(PricesArgs { action: None })) => show_prices(data).await,
        Some(CostAction::Prices(PricesArgs { action: Some(PricesAction::Update { file }) })) => {
            update_prices(data, file).await
        }
        Some(CostAction::Price { file }) => price(&price_books::in_force(data)?, file),
        Some(CostAction::Audit) => run_audit(data).await,
        Some(CostAction::Import { file }) => import(data, file).await,
        Some(CostAction::Drift) => {
            let store = data_dir::open_store(data).await?;
            show_drift(data, &store).await
        }
    }
}

async fn overview(data: &Path, args: &CostArgs) -> anyhow::Result<Ending> {
    let store = data_dir::open_store(data).await?;
    let now = SystemClock.now();
    let span = match args.hours {
        Some(hours) => Span::Since(now - Duration::from_secs(u64::from(hours) * 3_600)),
        None if args.by == Axis::Day => Span::Since(Timestamp::UNIX_EPOCH),
        None => Span::Mission,
    };
    let overview = CostOverview::read(&store, span, now).await?;
    store.close().await;
    if overview.is_empty() {
        say("No brain has thought here yet: nothing is booked.");
    } else {
        say(&overview.text(args.by));
    }
    if let Some(path) = &args.csv {
        std::fs::write(path, overview.csv()).with_context(|| format!("{} cannot be written", path.display()))?;
        say(&format!("csv: {}", path.display()));
    }
    if let Some(path) = &args.chart {
        let (bar, names, bars) = overview.bars(args.by);
        let png = cost_chart(&overview.note(), bar, &names, &bars)?;
        std::fs::write(path, png).with_context(|| format!("{} cannot be written", path.display()))?;
        say(&format!("chart: {}", path.display()));
    }
    Ok(Ending::Done)
}

async fn show_prices(data: &Path) -> anyhow::Result<Ending> {
    let book = price_books::in_force(data)?;
    let [model, input, read, write_5m, write_1h, output] = RATE_HEAD;
    say(&format!("Prices of {}, US dollars per million tokens", book.as_of()));
    say(&format!("{model:<28} {input:>9} {read:>10} {write_5m:>9} {write_1h:>9} {output:>9}"));
    for line in book.lines() {
        say(&line);
    }
    let embedded = PriceBook::embedded()?;
    if embedded.as_of() > book.as_of() {
        say(&format!("This version of ralphton comes with a newer list, of {}.", embedded.as_of()));
    }
    if data.join("ralphton.db").exists() {
        let store = data_dir::open_store(data).await?;
        for (version, since) in store.price_versions().await? {
            say(&format!("version {version}, first used {since:.0}"));
        }
        store.close().await;
    }
    Ok(Ending::Done)
}

async fn update_prices(data: &Path, file: &Path) -> anyhow::Result<Ending> {
    let text = read(file)?;
    let newer = PriceBook::parse(&text).with_context(|| format!("{}", file.display()))?;
    let changes = price_books::in_force(data)?.changes_to(&newer);
    for change in &changes {
        say(change);
    }
    if changes.is_empty() {
        say("It changes no price.");
    }
    std::fs::create_dir_all(data).with_context(|| format!("{} cannot be made", data.display()))?;
    let store = crate::store::Store::open(&data.join("ralphton.db")).await?;
    // What is installed is read as TOML; a list in JSON is written as such.
    let text = if text.trim_start().starts_with('{') {
        toml::to_string(&serde_json::from_str::<serde_json::Value>(&newer.to_json())?)?
    } else {
        text
    };
    let book = price_books::install(data, &store, &text, newer, SystemClock.now()).await?;
    store.close().await;
    say(&format!(
        "Installed as version {} in {}; a running team uses it from its next start. Older rows keep their own version.",
        book.version(),
        data.display()
    ));
    Ok(Ending::Done)
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// One line of JSON for each line of the file; lines that cannot be priced are told, and the others priced.
fn price(book: &PriceBook, file: &Path) -> anyhow::Result<Ending> {
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
        Box::new(BufReader::new(opened))
    };
    let mut bad = 0_u64;
    for (number, line) in (1_u64..).zip(input.split(b'\n')) {
        let line = line.with_context(|| format!("{} cannot be read", file.display()))?;
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            continue;
        }
        match price_line(book, line.trim()) {
            Ok(mut priced) => {
                priced["line"] = number.into();
                say(&priced.to_string());
            }
            Err(why) => {
                bad += 1;
                say_error(&format!("line {number}: {why}"));
            }
        }
    }
    if bad > 0 {
        say_error(&format!("{bad} lines have no price"));
        return Ok(Ending::CheckFailed);
    }
    Ok(Ending::Done)
}

async fn run_audit(data: &Path) -> anyhow::Result<Ending> {
    let store = data_dir::open_store(data).await?;
    let audit = audit(&store).await?;
    store.close().await;
    for difference in &audit.differences {
        let computed =
            difference.computed.map_or_else(|| "unknown".to_owned(), |amount| format!("{} nano-dollars", amount.0));
        say(&format!(
            "{}: booked {} nano-dollars, computed {computed}: {}",
            difference.what, difference.booked.0, difference.why
        ));
    }
    say(&format!(
        "{} rows: {} computed again from the provider's usage, {} estimates, {} free, {} open; {} differences",
        audit.rows,
        audit.derived,
        audit.estimated,
        audit.free,
        audit.open,
        audit.differences.len()
    ));
    Ok(if audit.differences.is_empty() { Ending::Done } else { Ending::CheckFailed })
}

async fn import(data: &Path, file: &Path) -> anyhow::Result<Ending> {
    let bills = read_export(&read(file)?).with_context(|| format!("{}", file.display()))?;
    let store = data_dir::open_store(data).await?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    store.import_bills(&bills, &name, SystemClock.now()).await?;
    say(&format!(
        "{} figures taken over; figures of an earlier import for the same day and model are replaced",
        bills.len()
    ));
    show_drift(data, &store).await
}

async fn show_drift(data: &Path, store: &crate::store::Store) -> anyhow::Result<Ending> {
    let lines = drift(&price_books::in_force(data)?, &store.bills().await?, &store.counted_days().await?);
    store.close().await;
    if lines.is_empty() {
        say("Nothing to compare yet: take over a provider's export with `ralphton cost import FILE`.");
        return Ok(Ending::Done);
    }
    let head = ("UTC day", "model", "tokens", "counted", "booked", "provider", "drift");
    say(&format!(
        "{:<10} {:<24} {:>12} {:>12} {:>12} {:>12} {:>12}",
        head.0, head.1, head.2, head.3, head.4, head.5, head.6
    ));
    let dash = || "–".to_owned();
    for line in lines {
        let model = if line.model.is_empty() { line.provider.as_str() } else { line.model.as_str() };
        say(&format!(
            "{:<10} {model:<24} {:>12} {:>12} {:>12} {:>12} {:>12}{}",
            line.day,
            line.booked_tokens,
            line.counted_tokens.map_or_else(dash, |tokens| tokens.to_string()),
            line.booked.to_string(),
            line.provider_says().map_or_else(dash, |amount| amount.to_string()),
            line.difference().map_or_else(dash, |amount| amount.to_string()),
            if line.estimated > 0 { format!("  ({} estimates)", line.estimated) } else { String::new() }
        ));
    }
    Ok(Ending::Done)
}
