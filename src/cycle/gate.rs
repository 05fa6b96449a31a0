//! The gate: whether a challenger becomes champion. Promotion needs evidence on the same hidden scenes; keeping the
//! champion is a normal outcome. Nothing that an agent says enters here.

use crate::base::Proportion;
use std::collections::BTreeMap;

/// The largest chance of a promotion by luck that is accepted, one-sided.
const ALPHA: f64 = 0.05;
/// A family counts as lost when the champion solves at least this many of its scenes more than the challenger …
const REGRESSION_SCENES: u32 = 3;
/// … and luck explains the difference with at most this probability, one-sided.
const REGRESSION_ALPHA: f64 = 0.1;

/// One hidden scene's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The scene's number in its set; equal numbers are equal scenes.
    pub scene: u32,
    /// Its family.
    pub family: String,
    /// Whether every brick was delivered.
    pub solved: bool,
}

/// The gate's verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether the challenger becomes champion.
    pub promoted: bool,
    /// Why, in one sentence with its figures.
    pub reason: String,
}

/// Judges `challenger` against `champion` on the scenes both drove; `champion` is empty when there is none.
pub fn judge(challenger: &[Outcome], champion: &[Outcome]) -> Verdict {
    let solved = rate(challenger);
    if champion.is_empty() {
        return if solved.successes == 0 {
            Verdict { promoted: false, reason: format!("no champion: the challenger solved no scene ({solved})") }
        } else {
            Verdict { promoted: true, reason: format!("first policy that solves scenes: {solved}") }
        };
    }
    let pairs = pair(challenger, champion);
    if let Some((family, lost, gained)) = regression(&pairs) {
        return Verdict {
            promoted: false,
            reason: format!("champion stays: in {family} the challenger loses {lost} scenes and gains {gained}"),
        };
    }
    let (gained, lost) = discordant(pairs.iter());
    let chance = at_least(gained, gained + lost);
    if gained > lost && chance <= ALPHA {
        Verdict {
            promoted: true,
            reason: format!(
                "better on the same {} scenes: {gained} gained, {lost} lost (p = {chance:.3})",
                pairs.len()
            ),
        }
    } else {
        Verdict {
            promoted: false,
            reason: format!(
                "champion stays: on the same {} scenes {gained} gained, {lost} lost, which luck explains (p = {chance:.2})",
                pairs.len()
            ),
        }
    }
}

/// The share of solved scenes.
fn rate(outcomes: &[Outcome]) -> Proportion {
    Proportion::new(count(outcomes.iter().filter(|o| o.solved)), count(outcomes.iter()))
}

struct Pair<'a> {
    family: &'a str,
    challenger: bool,
    champion: bool,
}

fn pair<'a>(challenger: &'a [Outcome], champion: &[Outcome]) -> Vec<Pair<'a>> {
    let before: BTreeMap<u32, bool> = champion.iter().map(|o| (o.scene, o.solved)).collect();
    challenger
        .iter()
        .filter_map(|o| {
            before.get(&o.scene).map(|champion| Pair { family: &o.family, challenger: o.solved, champion: *champion })
        })
        .collect()
}

/// Scenes that only the challenger solves, and scenes that only the champion solves.
fn discordant<'a, 'b: 'a>(pairs: impl Iterator<Item = &'a Pair<'b>> + Clone) -> (u32, u32) {
    let gained = count(pairs.clone().filter(|p| p.challenger && !p.champion));
    let lost = count(pairs.filter(|p| !p.challenger && p.champion));
    (gained, lost)
}

/// The worst family that the challenger has lost, if any: name, scenes lost, scenes gained.
fn regression<'a>(pairs: &[Pair<'a>]) -> Option<(&'a str, u32, u32)> {
    let mut families: Vec<&str> = pairs.iter().map(|p| p.family).collect();
    families.sort_unstable();
    families.dedup();
    families
        .into_iter()
        .filter_map(|family| {
            let (gained, lost) = discordant(pairs.iter().filter(|p| p.family == family));
            let worse = lost >= gained + REGRESSION_SCENES && at_least(lost, gained + lost) <= REGRESSION_ALPHA;
            worse.then_some((family, lost, gained))
        })
        .max_by_key(|(_, lost, gained)| lost - gained)
}

/// P(X ≥ `k`) of a fair coin thrown `n` times: the exact one-sided McNemar test (Q. McNemar, Psychometrika 12, 1947).
fn at_least(k: u32, n: u32) -> f64 {
    // Terms n!/(i!(n-i)!)/2^n built up from i = 0 in logarithms, since 2^-n underflows for large n.
    let n_f = f64::from(n);
    let mut log_term = -n_f * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for i in 0..=n {
        if i >= k {
            sum += log_term.exp();
        }
        log_term += (n_f - f64::from(i)).ln() - (f64::from(i) + 1.0).ln();
    }
    sum.min(1.0)
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use rand::Rng as _;

    fn outcomes(solved: &[bool]) -> Vec<Outcome> {
        (0..).zip(solved).map(|(scene, solved)| Outcome { scene, family: "open".to_owned(), solved: *solved }).collect()
    }

    #[test]
    fn binomial_tail_matches_hand_values() {
        assert!((at_least(0, 10) - 1.0).abs() < 1e-12);
        assert!((at_least(5, 5) - 1.0 / 32.0).abs() < 1e-12);
        assert!((at_least(9, 10) - 11.0 / 1024.0).abs() < 1e-12);
    }

    #[test]
    fn first_policy_needs_a_solved_scene() {
        assert!(!judge(&outcomes(&[false; 20]), &[]).promoted);
        assert!(judge(&outcomes(&[false, true]), &[]).promoted);
    }

    #[test]
    fn a_clear_gain_promotes_and_a_small_one_does_not() {
        let champion = outcomes(&[false; 20]);
        let mut better = [false; 20];
        better[..5].fill(true);
        assert!(judge(&outcomes(&better), &champion).promoted);
        better[4] = false;
        let verdict = judge(&outcomes(&better), &champion);
        assert!(!verdict.promoted, "{}", verdict.reason);
        assert!(verdict.reason.contains("4 gained, 0 lost"), "{}", verdict.reason);
    }

    #[test]
    fn a_lost_family_blocks_promotion() {
        let mut champion = outcomes(&[false; 40]);
        let mut challenger = outcomes(&[true; 40]);
        for scene in 0..4 {
            champion[scene] = Outcome { family: "corner".to_owned(), solved: true, ..champion[scene].clone() };
            challenger[scene] = Outcome { family: "corner".to_owned(), solved: false, ..challenger[scene].clone() };
        }
        let verdict = judge(&challenger, &champion);
        assert!(!verdict.promoted);
        assert!(verdict.reason.contains("corner"), "{}", verdict.reason);
    }

    /// Two equally good policies: the gate promotes by luck in at most the share it promises.
    #[test]
    fn false_promotions_stay_within_alpha() {
        let mut rng = Seed(11).rng();
        let mut promoted = 0;
        for _ in 0..2_000 {
            let champion: Vec<bool> = (0..130).map(|_| rng.random_bool(0.7)).collect();
            let challenger: Vec<bool> = (0..130).map(|_| rng.random_bool(0.7)).collect();
            promoted += u32::from(judge(&outcomes(&challenger), &outcomes(&champion)).promoted);
        }
        assert!(f64::from(promoted) / 2_000.0 <= ALPHA, "{promoted} of 2000");
    }
}
