//! Seeds: every random number in the program comes from a seed that is stored with its result.
//!
//! Seeds of evaluation are a type of their own. Data generation takes a [`Seed`], closed-loop
//! evaluation an [`EvaluationSeed`], and there is no way from the second to the first: a scene
//! that a policy is judged on cannot be trained on.

use rand::SeedableRng;
use serde::{Deserialize, Serialize};

/// The generator used everywhere: small, portable, the same numbers on every platform.
pub type Rng = rand_pcg::Pcg64Mcg;

/// Set in every stream of an [`EvaluationSeed`], so that it never equals a stream of a [`Seed`] of the same number.
const EVALUATION_DOMAIN: u64 = 0x4556_414c_5541_5445;

/// Where a stream of random numbers for *making* things begins: data, weights, batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of a part: the same parent, label and index give the same child, others give others.
    pub fn child(self, label: &str, index: u64) -> Seed {
        Seed(mix(self.0, label, index))
    }

    /// A generator at the beginning of this seed's stream.
    pub fn rng(self) -> Rng {
        Rng::seed_from_u64(self.0)
    }
}

/// Where the scenes for *judging* a policy begin. Hidden from everything that makes data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EvaluationSeed(pub u64);

impl EvaluationSeed {
    /// The seed of the scene numbered `index`.
    pub fn scene(self, index: u64) -> EvaluationSeed {
        EvaluationSeed(mix(self.0, "scene", index))
    }

    /// A generator for the scene itself.
    pub fn rng(self) -> Rng {
        Rng::seed_from_u64(self.0 ^ EVALUATION_DOMAIN)
    }
}

/// FNV-1a over the label, finished with SplitMix64's mixer.
fn mix(parent: u64, label: &str, index: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ parent;
    for byte in label.bytes().chain(index.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn children_differ_by_parent_label_and_index_and_repeat() {
        let seed = Seed(42);
        assert_eq!(seed.child("data", 3), seed.child("data", 3));
        assert_ne!(seed.child("data", 3), seed.child("data", 4));
        assert_ne!(seed.child("data", 3), seed.child("train", 3));
        assert_ne!(seed.child("data", 3), Seed(43).child("data", 3));
    }

    #[test]
    fn evaluation_streams_differ_from_data_streams_of_the_same_number() {
        assert_ne!(Seed(7).rng().next_u64(), EvaluationSeed(7).rng().next_u64());
    }
}
