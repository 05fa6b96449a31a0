//! Ways of executing a policy's chunks, compared on the same scenes: a narrow table for terminals and chats.

use super::table::{percent, with_interval};
use crate::base::Proportion;

/// One way of executing.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepLine {
    /// Its name: `10 steps`.
    pub execution: String,
    /// Scenes solved.
    pub scenes: Proportion,
    /// Bricks delivered.
    pub bricks: Proportion,
    /// How much more it solves than the usual way on the same scenes, as a share, with its 95 % interval; none for the
    /// usual way itself.
    pub against_usual: Option<(f64, f64, f64)>,
    /// Wall time.
    pub seconds: f64,
}

/// The table, with a last line that says how to read it; ends with a newline.
pub fn sweep_table(lines: &[SweepLine], usual: &str) -> String {
    let mut table = String::from("executed       scenes (95 %)     bricks  paired difference       s\n");
    for line in lines {
        let difference = match line.against_usual {
            None => "–".to_owned(),
            Some((difference, low, high)) => {
                format!("{:+.1} ({:+.1} to {:+.1})", 100.0 * difference, 100.0 * low, 100.0 * high)
            }
        };
        table += &format!(
            "{:<14} {:<16} {:>7}  {difference:<21} {:>4.0}\n",
            line.execution,
            with_interval(line.scenes),
            percent(line.bricks),
            line.seconds
        );
    }
    let scenes = lines.iter().map(|line| line.scenes.trials).max().unwrap_or(0);
    table + &format!("paired difference: points against {usual} on the same {scenes} scenes, 95 % interval\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_stand_in_columns() {
        let line = |execution: &str, solved, against_usual| SweepLine {
            execution: execution.to_owned(),
            scenes: Proportion::new(solved, 200),
            bricks: Proportion::new(solved, 200),
            against_usual,
            seconds: 12.4,
        };
        let lines = [line("5 steps", 189, Some((-0.04, -0.072, -0.008))), line("10 steps", 197, None)];
        insta::assert_snapshot!(sweep_table(&lines, "10 steps"), @r"
        executed       scenes (95 %)     bricks  paired difference       s
        5 steps        94 % (90–97)        94 %  -4.0 (-7.2 to -0.8)     12
        10 steps       98 % (96–99)        98 %  –                       12
        paired difference: points against 10 steps on the same 200 scenes, 95 % interval
        ");
    }
}
