//! What the run has cost, in figures and in words: the tables of `/cost`, of the posts in the channel and of the terminal.

use super::CommandError;
use crate::base::{LoopId, NanoUsd, Timestamp};
use crate::cycle::summary::{LoopSummary, MissionSummary, grouped, mission_summary};
use crate::ledger::{Axis, CostLine, MachineRates, by_axis, cache_hit_rate, total};
use crate::report::CostBar;
use crate::store::{CostCell, Store, TurnCost};
use std::time::Duration;

/// Rows of a table.
const MOST_ROWS: usize = 20;
/// Turns that are named.
const DEAREST: u32 = 5;
/// The name of the machines' part of a bar.
const MACHINES: &str = "machines";

/// Everything a report of costs says.
pub struct CostOverview {
    now: Timestamp,
    cells: Vec<CostCell>,
    mission: Option<MissionSummary>,
    last_hour: NanoUsd,
    dearest: Vec<TurnCost>,
    rates: MachineRates,
}

/// Which rows a report is about.
#[derive(Debug, Clone, Copy)]
pub enum Span {
    /// The newest mission, or everything when there is none.
    Mission,
    /// Everything since a moment.
    Since(Timestamp),
}

impl CostOverview {
    /// Reads the rows.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(store: &Store, span: Span, now: Timestamp) -> Result<Self, CommandError> {
        let newest = store.latest_mission().await?;
        let (since, only) = match (span, &newest) {
            (Span::Since(since), _) => (since, None),
            (Span::Mission, Some(mission)) => (mission.created_at, Some(mission.id)),
            (Span::Mission, None) => (Timestamp::UNIX_EPOCH, None),
        };
        let cells = store.cost_cells(since, only).await?;
        let mission = match newest {
            Some(mission) => mission_summary(store, mission.id, now).await?,
            None => None,
        };
        let hour = store.cost_cells(now - Duration::from_secs(3_600), None).await?;
        Ok(Self {
            now,
            cells,
            mission,
            last_hour: total(&hour).spent,
            dearest: store.dearest_turns(since, DEAREST).await?,
            rates: MachineRates::from_rows(store.machine_rates().await?),
        })
    }

    /// Whether nothing was booked and no machine is paid for.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty() && !self.rates.are_set()
    }

    /// The whole report in Markdown, with a table along `axis`.
    pub fn text(&self, axis: Axis) -> String {
        let all = total(&self.cells);
        let mut text = format!("**Model calls: {}**", all.spent);
        if let Some(mission) = self.mission.as_ref().filter(|_| self.rates.are_set()) {
            let hour = self.rates.newest().per_hour();
            let both = all.spent.saturating_add(mission.machine);
            text += &format!(", machines {} at {hour} an hour; together {both}", mission.machine);
        }
        text += "\n";
        text += &table(axis, &by_axis(&self.cells, axis), &all);
        if all.spent == NanoUsd::ZERO {
            text += "The playbook's turns are rules on this machine: no tokens, no dollars.\n";
        }
        if let Some(rate) = cache_hit_rate(&all) {
            text += &format!("Of the input, {:.0} % was read from a cache.\n", 100.0 * rate);
        }
        if all.estimated > 0 {
            text += &format!("{} calls are booked at an estimate: the provider did not say.\n", all.estimated);
        }
        text += &self.mission_words();
        text += &self.dearest_words();
        text.trim_end().to_owned()
    }

    /// Burn rate, forecast, dollars per loop and per percentage point of success.
    fn mission_words(&self) -> String {
        let Some(summary) = &self.mission else { return String::new() };
        let spent = summary.spent.saturating_add(summary.machine);
        if spent == NanoUsd::ZERO {
            return format!("Mission {}: $0.00 in {} loops.\n", summary.mission.id, summary.loops.len());
        }
        let end = summary.mission.ended_at.unwrap_or(self.now);
        let hours = end.duration_since(summary.mission.created_at).as_secs_f64() / 3_600.0;
        let mut text = format!("Mission {}: {spent} in {:.1} hours", summary.mission.id, hours);
        if hours > 0.0 {
            text +=
                &format!(", {} an hour; model calls in the last hour {}", usd(spent.as_usd() / hours), self.last_hour);
        }
        text += ".\n";
        let closed: Vec<&LoopSummary> = summary.loops.iter().filter(|one| one.ending.is_some()).collect();
        if !closed.is_empty() {
            let each = closed.iter().map(|one| cost_of(one).as_usd()).sum::<f64>() / closed.len() as f64;
            text += &format!("A loop costs {} on average", usd(each));
            let left = f64::from(summary.mission.planned_loops) - closed.len() as f64;
            if summary.mission.ended_at.is_none() && left > 0.0 {
                let open =
                    summary.loops.iter().find(|one| one.ending.is_none()).map_or(0.0, |one| cost_of(one).as_usd());
                let more = (each - open).max(0.0) + each * (left - 1.0);
                text += &format!("; to the end of the run about {}", usd(spent.as_usd() + more));
            }
            text += ".\n";
        }
        let best = summary.loops.iter().filter_map(|one| one.scenes).map(|share| share.rate()).fold(0.0, f64::max);
        if best > 0.0 {
            let point = usd(spent.as_usd() / (100.0 * best));
            text += &format!("{point} for each percentage point of success (best {:.1} %).\n", 100.0 * best);
        }
        text
    }

    fn dearest_words(&self) -> String {
        if self.dearest.is_empty() {
            return String::new();
        }
        let mut text = "Dearest turns, each with its transcript's number:\n".to_owned();
        for turn in &self.dearest {
            let TurnCost { turn, agent, model, calls, spent } = turn;
            text += &format!("- turn {turn}, {agent} on {model}: {spent} in {calls} calls\n");
        }
        text
    }

    /// Names of the parts, the bars, and what a bar is: loops stacked along `axis`, or days by agent.
    pub fn bars(&self, axis: Axis) -> (&'static str, Vec<String>, Vec<CostBar>) {
        let (bar_axis, part_axis) = match axis {
            Axis::Day => (Axis::Day, Axis::Agent),
            Axis::Loop => (Axis::Loop, Axis::Agent),
            Axis::Agent | Axis::Model | Axis::Stage => (Axis::Loop, axis),
        };
        let mut names: Vec<String> = by_axis(&self.cells, part_axis).into_iter().map(|line| line.name).collect();
        names.push(MACHINES.to_owned());
        let lines = by_axis(&self.cells, bar_axis);
        let bars = lines.iter().map(|line| {
            let own: Vec<&CostCell> = self.cells.iter().filter(|cell| bar_axis.of(cell) == line.name).collect();
            let mut usd: Vec<f64> = names
                .iter()
                .map(|name| own.iter().filter(|c| part_axis.of(c) == *name).map(|c| c.spent.as_usd()).sum())
                .collect();
            let loop_id = own.first().and_then(|cell| cell.loop_id).filter(|_| bar_axis == Axis::Loop);
            if let (Some(id), Some(machines)) = (loop_id, usd.last_mut()) {
                *machines = self.loop_of(id).map_or(0.0, |one| one.machine.as_usd());
            }
            let number = own.first().and_then(|cell| cell.loop_number);
            let label = match (bar_axis, number) {
                (Axis::Loop, Some(number)) => number.to_string(),
                (Axis::Loop, None) => "–".to_owned(),
                // A day without its year.
                _ => line.name.get(5..).unwrap_or(&line.name).to_owned(),
            };
            CostBar { label, usd }
        });
        (bar_axis.as_str(), names.clone(), bars.collect())
    }

    fn loop_of(&self, id: LoopId) -> Option<&LoopSummary> {
        self.mission.as_ref()?.loops.iter().find(|one| one.id == id)
    }

    /// One line below the chart's headline.
    pub fn note(&self) -> String {
        let all = total(&self.cells);
        format!("model calls {} in {} calls", all.spent, grouped(u64::from(all.calls)))
    }

    /// Everything as comma-separated values, one line for each of the finest cells.
    pub fn csv(&self) -> String {
        let mut text =
            "mission,loop,day,agent,provider,model,stage,calls,estimated,uncached_input,cache_read,cache_write,\
                        output,fees_usd,spent_usd\n"
                .to_owned();
        for cell in &self.cells {
            let fields = [
                cell.mission_id.map(|id| id.to_string()).unwrap_or_default(),
                cell.loop_number.map(|number| number.to_string()).unwrap_or_default(),
                cell.day.clone(),
                quoted(&cell.agent),
                quoted(&cell.provider),
                quoted(&cell.model),
                cell.stage.map(|stage| stage.to_string()).unwrap_or_default(),
                cell.calls.to_string(),
                cell.estimated.to_string(),
                cell.uncached_input.to_string(),
                cell.cache_read.to_string(),
                cell.cache_write.to_string(),
                cell.output.to_string(),
                exact_usd(cell.fees),
                exact_usd(cell.spent),
            ];
            text += &fields.join(",");
            text.push('\n');
        }
        text
    }
}

/// What a loop cost, model calls and machines.
pub fn cost_of(one: &LoopSummary) -> NanoUsd {
    one.spent.saturating_add(one.machine)
}

/// Dollars with all nine decimals.
fn exact_usd(amount: NanoUsd) -> String {
    format!("{}.{:09}", amount.0 / 1_000_000_000, amount.0 % 1_000_000_000)
}

fn usd(usd: f64) -> String {
    NanoUsd::from_usd(usd).to_string()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn table(axis: Axis, lines: &[CostLine], all: &CostLine) -> String {
    let mut text = format!(
        "| {} | calls | tokens in | cached | tokens out | cost |\n|---|---:|---:|---:|---:|---:|\n",
        axis.as_str()
    );
    let skipped = match axis {
        Axis::Loop | Axis::Day => lines.len().saturating_sub(MOST_ROWS),
        Axis::Agent | Axis::Model | Axis::Stage => 0,
    };
    for line in lines.iter().skip(skipped).take(MOST_ROWS).chain([all]) {
        let cached = cache_hit_rate(line).map_or("–".to_owned(), |rate| format!("{:.0} %", 100.0 * rate));
        text += &format!(
            "| {} | {} | {} | {cached} | {} | {} |\n",
            line.name,
            line.calls,
            grouped(line.input),
            grouped(line.output),
            line.spent
        );
    }
    if lines.len() > MOST_ROWS {
        text += &format!("-# {} more rows; `ralphton cost --csv FILE` has all.\n", lines.len() - MOST_ROWS);
    }
    text
}
