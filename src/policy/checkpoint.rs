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
