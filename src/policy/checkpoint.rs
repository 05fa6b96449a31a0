//! A checkpoint folder: LeRobot's files, and what this program adds to them.
//!
//! ```text
//! DIR/config.json, model.safetensors                            the network
//! DIR/policy_preprocessor.json, policy_preprocessor_step_3_*    normalisation
//! DIR/policy_postprocessor.json, policy_postprocessor_step_0_*  the same, for actions
//! DIR/ralphton.json                                             backbone, origin, versions
//! DIR/golden.safetensors                                        recorded inputs and outputs
//! ```
//! It is written under a temporary name, synced and renamed. Reading is strict: what is missing, too much, of
//! another shape or not reproduced is an error that names it.

use super::PolicyError;
use super::config::ActConfig;
use super::golden::Golden;
use super::inference::{Origin, Policy};
use super::lerobot;
use super::normalise::{MeanStd, Statistics};
use super::parameters::parameters;
use super::positions;
use candle_core::{DType, Device, Tensor, safetensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

const MODEL_FILE: &str = "model.safetensors";
const OWN_FILE: &str = "ralphton.json";
const GOLDEN_FILE: &str = "golden.safetensors";
const CONFIG_FILE: &str = "config.json";
/// A buffer that LeRobot stores with the weights although it is computed.
const VAE_POSITIONS: &str = "model.vae_encoder_pos_enc";

/// `ralphton.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    format: u32,
    program: String,
    config: ActConfig,
    origin: Origin,
}

const FORMAT: u32 = 1;

/// Writes `policy` to `dir`, replacing what is there.
pub fn save(policy: &Policy, dir: &Path) -> Result<(), PolicyError> {
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(PolicyError::io(parent))?;
    let temporary = beside(dir, "writing");
    remove(&temporary)?;
    fs::create_dir(&temporary).map_err(PolicyError::io(&temporary))?;
    write_files(policy, &temporary)?;
    let old = beside(dir, "replaced");
    remove(&old)?;
    if dir.exists() {
        fs::rename(dir, &old).map_err(PolicyError::io(dir))?;
    }
    fs::rename(&temporary, dir).map_err(PolicyError::io(dir))?;
    sync_folder(parent)?;
    remove(&old)
}

fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}"));
    dir.with_file_name(name)
}

fn remove(dir: &Path) -> Result<(), PolicyError> {
    if dir.exists() { fs::remove_dir_all(dir).map_err(PolicyError::io(dir)) } else { Ok(()) }
}

fn sync_folder(dir: &Path) -> Result<(), PolicyError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(PolicyError::io(dir))
}

fn write_files(policy: &Policy, dir: &Path) -> Result<(), PolicyError> {
    let config = policy.config();
    write_json(&dir.join(CONFIG_FILE), &lerobot::config(config))?;
    write_json(&dir.join("policy_preprocessor.json"), &lerobot::preprocessor(config))?;
    write_json(&dir.join("policy_postprocessor.json"), &lerobot::postprocessor())?;
    let statistics = statistics_tensors(policy.statistics())?;
    write_tensors(&dir.join(lerobot::NORMALIZER_FILE), &statistics)?;
    write_tensors(&dir.join(lerobot::UNNORMALIZER_FILE), &statistics)?;
    write_tensors(&dir.join(MODEL_FILE), &model_tensors(policy)?)?;
    let program = format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let own = Own { format: FORMAT, program, config: config.clone(), origin: policy.origin().clone() };
    let own_file = dir.join(OWN_FILE);
    write_json(&own_file, &serde_json::to_value(&own).map_err(PolicyError::malformed(&own_file))?)?;
    write_tensors(&dir.join(GOLDEN_FILE), &Golden::record(policy)?.tensors(config)?)?;
    sync_folder(dir)
}

fn write_json(path: &Path, value: &Value) -> Result<(), PolicyError> {
    write_synced(path, format!("{value:#}\n").as_bytes())
}

/// Writes a safetensors file and syncs it.
pub fn write_tensors(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<(), PolicyError> {
    safetensors::save(tensors, path)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(PolicyError::io(path))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), PolicyError> {
    File::create(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(PolicyError::io(path))
}

fn model_tensors(policy: &Policy) -> Result<HashMap<String, Tensor>, PolicyError> {
    let config = policy.config();
    let mut tensors = HashMap::new();
    for parameter in parameters(config) {
        let tensor = policy
            .parameters()
            .get(&parameter.name)
            .cloned()
            .ok_or_else(|| PolicyError::Config(format!("parameter \"{}\" was not provided", parameter.name)))?;
        let tensor = if parameter.conv { tensor.permute((0, 3, 1, 2))?.contiguous()? } else { tensor };
        tensors.insert(parameter.name, tensor);
    }
    if config.use_vae {
        let table = positions::line(config.chunk_size + 2, config.dim_model)?.unsqueeze(0)?;
        tensors.insert(VAE_POSITIONS.to_owned(), table);
    }
    Ok(tensors)
}

fn statistics_tensors(statistics: &Statistics) -> Result<HashMap<String, Tensor>, PolicyError> {
    let mut tensors = HashMap::new();
    let features = [
        (lerobot::IMAGE_KEY, &statistics.image, vec![3, 1, 1]),
        (lerobot::STATE_KEY, &statistics.state, vec![statistics.state.mean.len()]),
        (lerobot::ACTION_KEY, &statistics.action, vec![statistics.action.mean.len()]),
    ];
    for (key, values, shape) in features {
        for (statistic, values) in [("mean", &values.mean), ("std", &values.std)] {
            let tensor = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)?;
            tensors.insert(format!("{key}.{statistic}"), tensor);
        }
    }
    Ok(tensors)
}

/// Reads a checkpoint folder.
pub fn load(dir: &Path) -> Result<Policy, PolicyError> {
    let own: Own = read_json(&dir.join(OWN_FILE))?;
    if own.format != FORMAT {
        let why = format!("format {} is not {FORMAT}", own.format);
        return Err(PolicyError::Malformed { path: dir.join(OWN_FILE), why });
    }
    let config = own.config;
    config.check()?;
    let config_path = dir.join(CONFIG_FILE);
    if read_json::<Value>(&config_path)? != lerobot::config(&config) {
        let why = format!("it does not agree with {OWN_FILE}");
        return Err(PolicyError::Malformed { path: config_path, why });
    }
    let statistics = read_statistics(&dir.join(lerobot::NORMALIZER_FILE))?;
    let post = dir.join(lerobot::UNNORMALIZER_FILE);
    if read_statistics(&post)?.action != statistics.action {
        let why = "its action statistics differ from the preprocessor's".to_owned();
        return Err(PolicyError::Malformed { path: post, why });
    }
    let parameters = read_parameters(&dir.join(MODEL_FILE), &config)?;
    let policy = Policy::new(config, statistics, own.origin, parameters)?;
    let golden_path = dir.join(GOLDEN_FILE);
    let golden = Golden::from_tensors(read_tensors(&golden_path)?, policy.config(), &golden_path)?;
    golden.check(&policy, dir)?;
    Ok(policy)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, PolicyError> {
    let text = fs::read_to_string(path).map_err(PolicyError::io(path))?;
    serde_json::from_str(&text).map_err(PolicyError::malformed(path))
}

/// Reads a safetensors file.
pub fn read_tensors(path: &Path) -> Result<HashMap<String, Tensor>, PolicyError> {
    let bytes = fs::read(path).map_err(PolicyError::io(path))?;
    safetensors::load_buffer(&bytes, &Device::Cpu).map_err(PolicyError::malformed(path))
}

fn read_parameters(path: &Path, config: &ActConfig) -> Result<BTreeMap<String, Tensor>, PolicyError> {
    let mut tensors = read_tensors(path)?;
    if config.use_vae {
        tensors.remove(VAE_POSITIONS);
    }
    let mut found = BTreeMap::new();
    for parameter in parameters(config) {
        let Some(tensor) = tensors.remove(&parameter.name) else {
            return Err(PolicyError::MissingTensor { path: path.to_owned(), name: parameter.name });
        };
        let mut wanted = parameter.shape.clone();
        if parameter.conv {
            // Files hold [O, I, K, K].
            wanted[1..].rotate_right(1);
        }
        if tensor.dims() != wanted || tensor.dtype() != DType::F32 {
            return Err(PolicyError::WrongTensor {
                path: path.to_owned(),
                name: parameter.name,
                wanted: format!("f32 {wanted:?}"),
                got: format!("{} {:?}", tensor.dtype().as_str(), tensor.dims()),
            });
        }
        let tensor = if parameter.conv { tensor.permute((0, 2, 3, 1))?.contiguous()? } else { tensor };
        found.insert(parameter.name, tensor);
    }
    match tensors.into_keys().min() {
        Some(name) => Err(PolicyError::ExtraTensor { path: path.to_owned(), name }),
        None => Ok(found),
    }
}

fn read_statistics(path: &Path) -> Result<Statistics, PolicyError> {
    let tensors = read_tensors(path)?;
    let column = |key: &str, statistic: &str| -> Result<Vec<f32>, PolicyError> {
        let name = format!("{key}.{statistic}");
        let tensor = tensors
            .get(&name)
            .ok_or_else(|| PolicyError::MissingStatistic { path: path.to_owned(), name: name.clone() })?;
        tensor.flatten_all()?.to_vec1().map_err(PolicyError::malformed(path))
    };
    let both = |key: &str| Ok::<_, PolicyError>(MeanStd { mean: column(key, "mean")?, std: column(key, "std")? });
    Ok(Statistics {
        image: both(lerobot::IMAGE_KEY)?,
        state: both(lerobot::STATE_KEY)?,
        action: both(lerobot::ACTION_KEY)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use crate::policy::Observation;
    use crate::policy::initial::initial_tensor;

    fn policy() -> Policy {
        let mut config = ActConfig::preset("quick", 16, 24, 4, 5).unwrap();
        (config.dim_model, config.dim_feedforward, config.use_vae) = (32, 48, true);
        let tensors =
            parameters(&config).iter().map(|p| (p.name.clone(), initial_tensor(p, Seed(1)).unwrap())).collect();
        let columns = |n: usize| MeanStd { mean: vec![0.5; n], std: vec![0.25; n] };
        let statistics = Statistics { image: columns(3), state: columns(4), action: columns(4) };
        Policy::new(config, statistics, Origin { seed: 1, samples: 10 }, tensors).unwrap()
    }

    /// Rewrites one safetensors file of a checkpoint.
    fn change(path: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let mut tensors = read_tensors(path).unwrap();
        change(&mut tensors);
        write_tensors(path, &tensors).unwrap();
    }

    fn saved() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("checkpoint");
        policy().save(&dir).unwrap();
        (folder, dir)
    }

    #[test]
    fn a_policy_comes_back_as_it_was_and_leaves_nothing_beside_it() {
        let (folder, dir) = saved();
        let loaded = Policy::load(&dir).unwrap();
        let policy = policy();
        let observation = [Observation { image: &[77; 16 * 24 * 3], state: &[0.1, 0.2, 0.3, 0.4] }];
        assert_eq!(loaded.act(&observation).unwrap(), policy.act(&observation).unwrap());
        assert_eq!((loaded.config(), loaded.origin()), (policy.config(), policy.origin()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn convolutions_lie_in_files_as_everybody_has_them() {
        let (_folder, dir) = saved();
        let tensors = read_tensors(&dir.join(MODEL_FILE)).unwrap();
        assert_eq!(tensors["model.backbone.stages.1.conv.weight"].dims(), [32, 16, 3, 3]);
        assert_eq!(tensors["model.encoder_img_feat_input_proj.weight"].dims(), [32, 128, 1, 1]);
        assert_eq!(tensors[VAE_POSITIONS].dims(), [1, 7, 32]);
    }

    #[test]
    fn other_preprocessing_is_refused_because_the_recorded_outputs_differ() {
        let (_folder, dir) = saved();
        let imagenet = Tensor::new(&[0.485_f32, 0.456, 0.406], &Device::Cpu).unwrap().reshape((3, 1, 1)).unwrap();
        change(&dir.join(lerobot::NORMALIZER_FILE), |tensors| {
            tensors.insert(format!("{}.mean", lerobot::IMAGE_KEY), imagenet);
        });
        let error = Policy::load(&dir).unwrap_err();
        assert!(matches!(error, PolicyError::Golden { .. }), "{error}");
    }

    #[test]
    fn missing_extra_and_misshaped_things_are_named() {
        let refused = |file: &str, edit: &dyn Fn(&mut HashMap<String, Tensor>), words: &str| {
            let (_folder, dir) = saved();
            change(&dir.join(file), edit);
            let error = Policy::load(&dir).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        let scalar = || Tensor::new(1.0_f32, &Device::Cpu).unwrap();
        let name = "model.action_head.bias";
        refused(MODEL_FILE, &|t| drop(t.remove(name)), "lacks tensor \"model.action_head.bias\"");
        refused(MODEL_FILE, &|t| drop(t.insert("model.more".into(), scalar())), "\"model.more\"");
        refused(MODEL_FILE, &|t| drop(t.insert(name.into(), scalar())), "wanted f32 [4]");
        let statistic = format!("{}.std", lerobot::STATE_KEY);
        refused(lerobot::NORMALIZER_FILE, &|t| drop(t.remove(&statistic)), "lacks statistic \"observation.state.std\"");
    }

    #[test]
    fn broken_files_are_errors() {
        for file in [CONFIG_FILE, OWN_FILE, MODEL_FILE, GOLDEN_FILE, lerobot::NORMALIZER_FILE] {
            let (_folder, dir) = saved();
            let bytes = fs::read(dir.join(file)).unwrap();
            fs::write(dir.join(file), &bytes[..bytes.len() / 2]).unwrap();
            assert!(Policy::load(&dir).is_err(), "{file} cut in half");
            fs::remove_file(dir.join(file)).unwrap();
            let error = Policy::load(&dir).unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
        }
    }
}
