//! The finest cells of the spend added up by agent, model, loop, day or stage.

use crate::base::NanoUsd;
use crate::store::CostCell;
use std::str::FromStr;

/// What a table of costs has a row for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Each agent.
    Agent,
    /// Each model.
    Model,
    /// Each loop.
    Loop,
    /// Each calendar day.
    Day,
    /// Each stage of the loops.
    Stage,
}

impl Axis {
    /// Every axis.
    pub const ALL: [Axis; 5] = [Axis::Agent, Axis::Model, Axis::Loop, Axis::Day, Axis::Stage];

    /// Its name in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Axis::Agent => "agent",
            Axis::Model => "model",
            Axis::Loop => "loop",
            Axis::Day => "day",
            Axis::Stage => "stage",
        }
    }

    /// The row of the table that a cell belongs to.
    pub fn of(self, cell: &CostCell) -> String {
        match self {
            Axis::Agent => cell.agent.clone(),
            Axis::Model => cell.model.clone(),
            Axis::Day => cell.day.clone(),
            Axis::Stage => cell.stage.map_or_else(|| "no stage".to_owned(), |stage| stage.to_string()),
            Axis::Loop => match (cell.loop_number, cell.mission_id) {
                (Some(number), Some(mission)) => format!("mission {mission} loop {number}"),
                (Some(number), None) => format!("loop {number}"),
                (None, _) => "between loops".to_owned(),
            },
        }
    }
}

impl FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Axis::ALL
            .into_iter()
            .find(|axis| axis.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is none of agent, model, loop, day, stage"))
    }
}

/// One row of a table of costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CostLine {
    /// What it is about.
    pub name: String,
    /// Calls, turns of the playbook included.
    pub calls: u32,
    /// Calls whose amount is an estimate.
    pub estimated: u32,
    /// Input tokens of all classes.
    pub input: u64,
    /// Of these, read from the cache.
    pub cache_read: u64,
    /// Output tokens.
    pub output: u64,
    /// The amount.
    pub spent: NanoUsd,
}

impl CostLine {
    fn add(&mut self, cell: &CostCell) {
        self.calls += cell.calls;
        self.estimated += cell.estimated;
        self.input += cell.uncached_input + cell.cache_read + cell.cache_write;
        self.cache_read += cell.cache_read;
        self.output += cell.output;
        self.spent = self.spent.saturating_add(cell.spent);
    }
}

/// The cells added up along `axis`: agents, models and stages with the dearest first, loops and days in their order.
pub fn by_axis(cells: &[CostCell], axis: Axis) -> Vec<CostLine> {
    let mut lines: Vec<CostLine> = Vec::new();
    for cell in cells {
        let name = axis.of(cell);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.add(cell),
            None => {
                let mut line = CostLine { name, ..CostLine::default() };
                line.add(cell);
                lines.push(line);
            }
        }
    }
    match axis {
        Axis::Agent | Axis::Model | Axis::Stage => {
            lines.sort_by(|a, b| b.spent.cmp(&a.spent).then_with(|| a.name.cmp(&b.name)));
        }
        Axis::Day => lines.sort_by(|a, b| a.name.cmp(&b.name)),
        // Cells come in the order in which they began.
        Axis::Loop => {}
    }
    lines
}

/// All cells together.
pub fn total(cells: &[CostCell]) -> CostLine {
    let mut line = CostLine { name: "all".to_owned(), ..CostLine::default() };
    cells.iter().for_each(|cell| line.add(cell));
    line
}

/// The share of the input that a cache had; none without input.
pub fn cache_hit_rate(line: &CostLine) -> Option<f64> {
    (line.input > 0).then(|| line.cache_read as f64 / line.input as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LoopId, MissionId, Stage};

    fn cell(agent: &str, number: u32, spent: i64) -> CostCell {
        CostCell {
            mission_id: Some(MissionId(1)),
            loop_id: Some(LoopId(i64::from(number))),
            loop_number: Some(number),
            day: "2026-11-24".into(),
            agent: agent.into(),
            provider: "openai".into(),
            model: "gpt-5.2".into(),
            stage: Some(Stage::Train),
            calls: 2,
            estimated: 1,
            uncached_input: 60,
            cache_read: 40,
            cache_write: 0,
            output: 10,
            fees: NanoUsd::ZERO,
            spent: NanoUsd(spent),
        }
    }

    #[test]
    fn cells_add_up_the_same_along_every_axis() {
        let cells = [cell("watcher", 2, 5), cell("training", 1, 7), cell("watcher", 1, 4)];
        for axis in Axis::ALL {
            let sum: i64 = by_axis(&cells, axis).iter().map(|line| line.spent.0).sum();
            assert_eq!(sum, total(&cells).spent.0, "{}", axis.as_str());
        }
        let names = |axis| by_axis(&cells, axis).into_iter().map(|line| line.name).collect::<Vec<_>>();
        assert_eq!(names(Axis::Agent), ["watcher", "training"]);
        assert_eq!(names(Axis::Loop), ["mission 1 loop 2", "mission 1 loop 1"]);
        assert_eq!(cache_hit_rate(&total(&cells)), Some(0.4));
        assert_eq!(cache_hit_rate(&CostLine::default()), None);
    }
}
