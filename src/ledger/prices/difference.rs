//! What another price list changes, line by line, for the person who installs it.

use super::PriceBook;
use super::list::{ModelPrice, Rates};

impl PriceBook {
    /// What `newer` changes: models that come and go, and every price that is another, in words.
    pub fn changes_to(&self, newer: &PriceBook) -> Vec<String> {
        let mut changes = Vec::new();
        let (old, new) = (&self.list, &newer.list);
        let mut changed = |what: &str, before: Option<f64>, after: Option<f64>| {
            if before != after {
                changes.push(format!("{what}: {} → {}", shown(before), shown(after)));
            }
        };
        changed("fee web_search_per_call", old.fees.web_search_per_call, new.fees.web_search_per_call);
        for (name, model) in &new.models {
            match old.models.get(name) {
                Some(before) => compare(name, before, model, &mut changed),
                None => changed(&format!("{name} (new) input"), None, Some(model.standard.input)),
            }
        }
        for (name, model) in &old.models {
            if !new.models.contains_key(name) {
                changed(
                    &format!("{name} (removed; its calls will be refused) input"),
                    Some(model.standard.input),
                    None,
                );
            }
        }
        changes
    }

    /// Every model with its prices, one line each rate, for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, model) in &self.list.models {
            lines.push(rate_line(name, &model.standard));
            for (tier, rates) in &model.tiers {
                lines.push(rate_line(&format!("  {tier}"), rates));
            }
            for step in &model.standard.long_context {
                let rates = model.standard.of_input(step.above_input + 1);
                lines.push(rate_line(&format!("  above {} input", step.above_input), &rates));
            }
            if let Some(multiplier) = model.us_inference_multiplier {
                lines.push(format!("  in the United States × {multiplier}"));
            }
            if let Some(day) = &model.deprecated_on {
                lines.push(format!("  deprecated on {day}"));
            }
        }
        if let Some(fee) = self.list.fees.web_search_per_call {
            lines.push(format!("web search ${fee} a call"));
        }
        lines
    }
}

/// The head of the table that [`PriceBook::lines`] makes.
pub const RATE_HEAD: [&str; 6] = ["model", "input", "cache read", "write 5m", "write 1h", "output"];

fn rate_line(name: &str, rates: &Rates) -> String {
    let cell = |rate: Option<f64>| rate.map_or_else(|| "–".to_owned(), |rate| format!("{rate}"));
    format!(
        "{name:<28} {:>9} {:>10} {:>9} {:>9} {:>9}",
        cell(Some(rates.input)),
        cell(rates.cache_read),
        cell(rates.cache_write_5m),
        cell(rates.cache_write_1h),
        cell(Some(rates.output))
    )
}

fn shown(rate: Option<f64>) -> String {
    rate.map_or_else(|| "none".to_owned(), |rate| format!("${rate}"))
}

type Changed<'a> = dyn FnMut(&str, Option<f64>, Option<f64>) + 'a;

fn compare(name: &str, before: &ModelPrice, after: &ModelPrice, changed: &mut Changed<'_>) {
    compare_rates(name, Some(&before.standard), Some(&after.standard), changed);
    let (multiplier, then) = (before.us_inference_multiplier, after.us_inference_multiplier);
    changed(&format!("{name} us_inference_multiplier"), multiplier, then);
    let limit = |model: &ModelPrice| model.max_input.map(|tokens| tokens as f64);
    changed(&format!("{name} max_input"), limit(before), limit(after));
    let tiers = before.tiers.keys().chain(after.tiers.keys().filter(|tier| !before.tiers.contains_key(*tier)));
    for tier in tiers {
        let (old, new) = (before.tiers.get(tier), after.tiers.get(tier));
        compare_rates(&format!("{name} {tier}"), old, new, changed);
    }
}

fn compare_rates(name: &str, before: Option<&Rates>, after: Option<&Rates>, changed: &mut Changed<'_>) {
    let mut each = |class: &str, of: &dyn Fn(&Rates) -> Option<f64>| {
        changed(&format!("{name} {class}"), before.and_then(of), after.and_then(of));
    };
    each("input", &|rates| Some(rates.input));
    each("cache_read", &|rates| rates.cache_read);
    each("cache_write_5m", &|rates| rates.cache_write_5m);
    each("cache_write_1h", &|rates| rates.cache_write_1h);
    each("output", &|rates| Some(rates.output));
    for step in [before, after].into_iter().flatten().flat_map(|rates| &rates.long_context) {
        let above = step.above_input;
        let at = |rates: Option<&Rates>| {
            rates
                .filter(|rates| rates.long_context.iter().any(|one| one.above_input == above))
                .map(|rates| rates.of_input(above + 1))
        };
        let (old, new) = (at(before), at(after));
        changed(&format!("{name} above {above} input"), old.as_ref().map(|r| r.input), new.as_ref().map(|r| r.input));
        changed(&format!("{name} above {above} output"), old.map(|r| r.output), new.map(|r| r.output));
    }
}
