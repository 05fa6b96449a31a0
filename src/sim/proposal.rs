//! New scenario families: a text is checked against the schema, the world's bounds and the expert before it is used.
//!
//! A [`Catalogue`] is a value: the families that come with the simulator and those accepted for one order or mission.

use super::SimError;
use super::gate::{GateReport, family_gate};
use super::geometry::{LIFT_MAX_M, WALL_M};
use super::scenario::{BrickPlace, Colour, Family, LoaderStart, families, find};
use crate::base::Seed;
use serde::Deserialize;

/// Seeds that a proposed family is tried on, for each number of bricks.
pub const PROPOSAL_SEEDS: usize = 200;
/// Bricks in the scenes that a proposed family is tried on.
pub const PROPOSAL_BRICKS: [usize; 2] = [1, 3];
/// No distance in the arena is longer.
const FARTHEST_M: f32 = 2.9 * WALL_M;
/// Characters of a name, at most.
const NAME_LENGTH: usize = 40;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyFile {
    family: Vec<Family>,
}

/// Families to choose from.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue(Vec<Family>);

impl Default for Catalogue {
    fn default() -> Self {
        Self(families().to_vec())
    }
}

impl Catalogue {
    /// The simulator's own families and these.
    ///
    /// # Errors
    /// [`SimError::BadFamily`] for one that is out of bounds or whose name is taken.
    pub fn with(proposed: &[Family]) -> Result<Self, SimError> {
        let mut catalogue = Self::default();
        for family in proposed {
            check_family(family)?;
            if catalogue.0.iter().any(|known| known.name == family.name) {
                return Err(bad(family, "its name is taken".to_owned()));
            }
            catalogue.0.push(family.clone());
        }
        Ok(catalogue)
    }

    /// The same with all bricks in these colours; none named leaves each family its own.
    #[must_use]
    pub fn painted(mut self, colours: &[Colour]) -> Self {
        if !colours.is_empty() {
            self.0.iter_mut().for_each(|family| family.colours = colours.to_vec());
        }
        self
    }

    /// All families, the simulator's own first.
    pub fn families(&self) -> &[Family] {
        &self.0
    }

    /// The family of that name.
    ///
    /// # Errors
    /// [`SimError::UnknownFamily`] names the nearest known one.
    pub fn family(&self, name: &str) -> Result<&Family, SimError> {
        find(&self.0, name)
    }
}

/// Reads families from TOML (`[[family]]` tables, as in the simulator's own file) or from the same in JSON; a JSON
/// object that is one family is taken too.
///
/// # Errors
/// [`SimError::BadFile`] with the place and what was expected.
pub fn parse_families(text: &str) -> Result<Vec<Family>, SimError> {
    let bad = |error: String| SimError::BadFile(error);
    if !text.trim_start().starts_with('{') {
        let file: FamilyFile = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        return Ok(file.family);
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    if value.get("family").is_some() {
        let file: FamilyFile = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        return Ok(file.family);
    }
    let family = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
    Ok(vec![family])
}

/// The JSON Schema of one family, as shown to whoever proposes one.
pub fn family_schema() -> serde_json::Value {
    schemars::schema_for!(Family).to_value()
}

/// How the expert fares in a proposed family: one report for each number of bricks in [`PROPOSAL_BRICKS`].
pub fn try_family(family: &Family, seeds: usize, threads: usize) -> Vec<GateReport> {
    let one = std::slice::from_ref(family);
    PROPOSAL_BRICKS.iter().map(|bricks| family_gate(one, Seed(0), seeds, *bricks, threads)).collect()
}

fn bad(family: &Family, reason: String) -> SimError {
    SimError::BadFamily { family: family.name.clone(), reason }
}

/// Names, words and ranges that make sense.
fn check_family(family: &Family) -> Result<(), SimError> {
    let refuse = |reason: String| Err(bad(family, reason));
    let name = &family.name;
    let snake = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !snake || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > NAME_LENGTH {
        return refuse(format!("a name is a letter, then letters, digits and _, at most {NAME_LENGTH}, all small"));
    }
    if family.title.trim().is_empty() || family.purpose.trim().is_empty() {
        return refuse("a title and a purpose are needed: others must know what it is for".to_owned());
    }
    if family.colours.is_empty() {
        return refuse("colours is empty; name at least one".to_owned());
    }
    check_loader(&family.loader).or_else(refuse)?;
    check_place(&family.first).or_else(|why| refuse(format!("first: {why}")))?;
    if matches!(family.first, BrickPlace::Touching | BrickPlace::Cluster { .. }) {
        return refuse("first: there is no brick before the first one to be near to".to_owned());
    }
    if family.others == BrickPlace::Held {
        return refuse("others: only the first brick can be held at the start".to_owned());
    }
    check_place(&family.others).or_else(|why| refuse(format!("others: {why}")))
}

fn check_loader(start: &LoaderStart) -> Result<(), String> {
    within("loader.half_m", [0.0, start.half_m], [0.0, WALL_M])?;
    within("loader.gap_m", start.gap_m, [0.0, WALL_M])?;
    within("loader.distance_m", start.distance_m, [0.0, FARTHEST_M])?;
    within("loader.yaw_rad", [0.0, start.yaw_rad], [0.0, std::f32::consts::PI])?;
    within("loader.lift_m", start.lift_m, [0.0, LIFT_MAX_M])?;
    within("loader.tilt", start.tilt, [-1.0, 1.0])
}

fn check_place(place: &BrickPlace) -> Result<(), String> {
    match place {
        BrickPlace::Floor { half_m } => within("half_m", [0.0, *half_m], [0.0, WALL_M]),
        BrickPlace::Wall { gap_m } | BrickPlace::Corner { gap_m } | BrickPlace::BesideBox { gap_m } => {
            within("gap_m", *gap_m, [0.0, WALL_M])
        }
        BrickPlace::BeforeBox { distance_m }
        | BrickPlace::Behind { distance_m }
        | BrickPlace::FarFromBox { distance_m } => within("distance_m", *distance_m, [0.0, FARTHEST_M]),
        BrickPlace::Cluster { radius_m } => within("radius_m", [0.0, *radius_m], [0.0, WALL_M]),
        BrickPlace::Held | BrickPlace::Touching => Ok(()),
    }
}

fn within(field: &str, [low, high]: [f32; 2], [least, most]: [f32; 2]) -> Result<(), String> {
    if low.is_finite() && high.is_finite() && least <= low && low <= high && high <= most {
        Ok(())
    } else {
        Err(format!("{field} reaches from {low} to {high}; it must lie in order between {least} and {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: &str = r#"
        [[family]]
        name = "near_the_middle"
        title = "Near the middle"
        purpose = "A short way everywhere."
        loader = { place = "floor", half_m = 3.0 }
        first = { place = "floor", half_m = 3.0 }
        others = { place = "cluster", radius_m = 2.0 }
        colours = ["blue", "white"]
    "#;

    #[test]
    fn a_sound_family_joins_the_catalogue_and_the_expert_masters_it() {
        let proposed = parse_families(NEAR).unwrap();
        let catalogue = Catalogue::with(&proposed).unwrap();
        assert_eq!(catalogue.families().len(), 14);
        let family = catalogue.family("near_the_middle").unwrap();
        assert!(try_family(family, 10, 1).iter().all(GateReport::passes));
        assert!(catalogue.family("near_the_midle").is_err_and(|e| e.to_string().contains("near_the_middle")));
    }

    #[test]
    fn json_says_the_same_as_toml() {
        let families = parse_families(NEAR).unwrap();
        let json = serde_json::to_string(&families[0]).unwrap();
        assert_eq!(parse_families(&json).unwrap(), families);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let refused = |from: &str, to: &str| {
            let text = NEAR.replace(from, to);
            assert_ne!(text, NEAR);
            match parse_families(&text) {
                Ok(families) => Catalogue::with(&families).unwrap_err().to_string(),
                Err(error) => error.to_string(),
            }
        };
        assert!(refused("half_m = 3.0", "half_m = 30.0").contains("between 0 and 8"));
        assert!(refused("near_the_middle", "open_floor").contains("taken"));
        assert!(refused("near_the_middle", "Near").contains("small"));
        assert!(refused("radius_m", "radius_mm").contains("radius_mm"));
        assert!(refused("\"blue\", \"white\"", "").contains("colours"));
        assert!(refused("\"blue\"", "\"pink\"").contains("pink"));
    }

    #[test]
    fn a_family_that_the_expert_cannot_solve_fails_its_trial() {
        let text = NEAR.replace(
            "first = { place = \"floor\", half_m = 3.0 }",
            "first = { place = \"wall\", gap_m = [0.0, 0.05] }",
        );
        let families = parse_families(&text).unwrap();
        let reports = try_family(&families[0], 4, 1);
        assert!(reports.iter().any(|report| !report.passes()), "{}", reports[0]);
    }

    #[test]
    fn the_schema_is_closed_and_names_every_field() {
        let schema = family_schema();
        assert_eq!(schema["additionalProperties"], serde_json::json!(false));
        assert!(schema["properties"]["colours"].is_object());
    }
}
