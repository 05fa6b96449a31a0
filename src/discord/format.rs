//! A message's Markdown as Discord draws it: tables become monospaced text, everything else is Discord's already.

/// Longest cell that is drawn whole.
const MAX_CELL: usize = 28;

/// `text` with its tables as code blocks. Inside code blocks nothing is touched.
pub(super) fn for_discord(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let mut in_code = false;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        in_code ^= line.matches("```").count() % 2 == 1;
        let rule = lines.get(at + 1).is_some_and(|next| is_rule(next));
        if in_code || !rule || !line.contains('|') {
            out.push((*line).to_owned());
            at += 1;
            continue;
        }
        let rows: Vec<&str> = lines[at..].iter().take_while(|line| line.contains('|')).copied().collect();
        at += rows.len();
        out.push(table(&rows));
    }
    out.join("\n")
}

fn is_rule(line: &str) -> bool {
    line.contains("--") && line.contains('|') && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let row = row.strip_suffix('|').unwrap_or(row);
    row.split('|').map(|cell| shortened(&cell.trim().replace(['`', '*'], ""))).collect()
}

fn shortened(cell: &str) -> String {
    if cell.chars().count() <= MAX_CELL {
        return cell.to_owned();
    }
    cell.chars().take(MAX_CELL - 1).chain(['…']).collect()
}

/// `rows`: head, rule, body. The rule says which columns stand to the right.
fn table(rows: &[&str]) -> String {
    let right: Vec<bool> = cells(rows[1]).iter().map(|cell| cell.ends_with(':')).collect();
    let body: Vec<Vec<String>> = rows.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, row)| cells(row)).collect();
    let columns = body.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        body.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::from("```\n");
    for row in &body {
        let drawn: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(column, width)| {
                let cell = row.get(column).map_or("", String::as_str);
                let blanks = " ".repeat(width - cell.chars().count());
                if right.get(column).copied().unwrap_or(false) { blanks + cell } else { cell.to_owned() + &blanks }
            })
            .collect();
        text.push_str(drawn.join("  ").trim_end());
        text.push('\n');
    }
    text.push_str("```");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_aligned_text_between_its_neighbours() {
        let text = "Solved:\n| family | rate |\n|---|---:|\n| corner | 7.5 % |\n| open | 100.0 % |\nEnd.";
        let expected = "Solved:\n```\nfamily     rate\ncorner    7.5 %\nopen    100.0 %\n```\nEnd.";
        assert_eq!(for_discord(text), expected);
    }

    #[test]
    fn code_and_plain_pipes_stay() {
        for text in ["a | b", "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```", "no table\n\nat all"] {
            assert_eq!(for_discord(text), text);
        }
    }
}
