//! A checkpoint folder: LeRobot's files, and what this program adds to them.
//!
//! ```text
//! DIR/config.json, model.safetensors                            the network
//! DIR/policy_preprocessor.json, policy_preprocessor_step_3_*    normalisation
//! DIR/policy_postprocessor.json, policy_postprocessor_step_0_*  the same, for actions
//! DIR/ralphton.json                                             certificate: preprocessing, origin, versions
//! DIR/golden.safetensors                                        certificate: recorded inputs and outputs
//! ```
//! It is written under a temporary name, synced and renamed. Reading is strict: what is missing, too much, too large,
//! of another shape or not reproduced is an error that names it. A folder without the last two files is somebody
//! else's: it loads, but without a certificate.

mod files;

pub use files::{read_json, read_tensors, read_tensors_within, write_json, write_tensors};

use super::PolicyError;
use super::config::{ActConfig, NormMode};
use super::golden::Golden;
use super::inference::{Origin, Policy};
use super::lerobot::{self, ConfigFile, Extension, ProcessorFile};
use super::normalise::{Scale, Statistics};
use super::parameters::{Parameter, buffers, parameters};
use candle_core::{DType, Device, Tensor};
use files::{JSON_BYTES, remove, sync_folder, tensor_bytes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

const MODEL_FILE: &str = "model.safetensors";
const OWN_FILE: &str = "ralphton.json";
const GOLDEN_FILE: &str = "golden.safetensors";
const CONFIG_FILE: &str = "config.json";
const PREPROCESSOR_FILE: &str = "policy_preprocessor.json";
const POSTPROCESSOR_FILE: &str = "policy_postprocessor.json";
/// Statistics of every feature of a dataset are small.
const STATISTICS_BYTES: u64 = 16 << 20;

/// `ralphton.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    format: u32,
    versions: Versions,
    /// What `config.json` has no words for.
    network: Extension,
    /// What happens to inputs before the network, and to its outputs.
    preprocessing: Preprocessing,
    origin: Origin,
}

/// What wrote the checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versions {
    ralphton: String,
    git_revision: String,
    candle: String,
}

/// The certified preprocessing, in words and numbers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preprocessing {
    resize: String,
    channel_order: String,
    scale: String,
    normalise: Statistics,
}

const FORMAT: u32 = 2;
const RESIZE: &str = "none: images have the camera's size";
const CHANNEL_ORDER: &str = "RGB";
const SCALE: &str = "bytes / 255";

impl Own {
    fn of(policy: &Policy) -> Own {
        Own {
            format: FORMAT,
            versions: Versions {
                ralphton: env!("CARGO_PKG_VERSION").to_owned(),
                git_revision: env!("RALPHTON_GIT_REVISION").to_owned(),
                candle: "0.11".to_owned(),
            },
            network: Extension::of(policy.config()),
            preprocessing: Preprocessing {
                resize: RESIZE.to_owned(),
                channel_order: CHANNEL_ORDER.to_owned(),
                scale: SCALE.to_owned(),
                normalise: policy.statistics().clone(),
            },
            origin: policy.origin().clone(),
        }
    }

    fn check(&self, path: &Path) -> Result<(), PolicyError> {
        let Preprocessing { resize, channel_order, scale, .. } = &self.preprocessing;
        let format = (self.format != FORMAT).then(|| format!("format {} is not {FORMAT}", self.format));
        let steps =
            [("resize", resize, RESIZE), ("channel_order", channel_order, CHANNEL_ORDER), ("scale", scale, SCALE)]
                .into_iter()
                .find(|(_, got, known)| got != known)
                .map(|(step, got, known)| {
                    format!("preprocessing step {step} is \"{got}\"; this program does \"{known}\"")
                });
        match format.or(steps) {
            Some(why) => Err(PolicyError::Malformed { path: path.to_owned(), why }),
            None => Ok(()),
        }
    }
}

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

fn write_files(policy: &Policy, dir: &Path) -> Result<(), PolicyError> {
    let config = policy.config();
    write_json(&dir.join(CONFIG_FILE), &ConfigFile::of(config))?;
    write_json(&dir.join(PREPROCESSOR_FILE), &lerobot::preprocessor(config))?;
    write_json(&dir.join(POSTPROCESSOR_FILE), &lerobot::postprocessor(config))?;
    let statistics = statistics_tensors(config, policy.statistics())?;
    write_tensors(&dir.join(lerobot::NORMALIZER_FILE), &statistics)?;
    write_tensors(&dir.join(lerobot::UNNORMALIZER_FILE), &statistics)?;
    write_tensors(&dir.join(MODEL_FILE), &model_tensors(policy)?)?;
    write_json(&dir.join(OWN_FILE), &Own::of(policy))?;
    write_tensors(&dir.join(GOLDEN_FILE), &Golden::record(policy)?.tensors(config)?)?;
    sync_folder(dir)
}

fn stored(config: &ActConfig) -> impl Iterator<Item = Parameter> {
    parameters(config).into_iter().chain(buffers(config))
}

fn model_tensors(policy: &Policy) -> Result<HashMap<String, Tensor>, PolicyError> {
    let mut tensors = HashMap::new();
    for parameter in stored(policy.config()) {
        let tensor = policy
            .parameters()
            .get(&parameter.name)
            .cloned()
            .ok_or_else(|| PolicyError::Config(format!("parameter \"{}\" was not provided", parameter.name)))?;
        let tensor = if parameter.conv { tensor.permute((0, 3, 1, 2))?.contiguous()? } else { tensor };
        tensors.insert(parameter.name, tensor);
    }
    Ok(tensors)
}

/// Every feature's key, the shape of its statistics, and its scale.
fn features<'a>(config: &'a ActConfig, statistics: &'a Statistics) -> Vec<(&'a str, Vec<usize>, &'a Scale)> {
    let cameras = config.cameras.iter().zip(&statistics.images);
    let mut features: Vec<_> =
        cameras.map(|(camera, scale)| (camera.key.as_str(), vec![scale.columns(), 1, 1], scale)).collect();
    let others = [
        (lerobot::STATE_KEY, &statistics.state),
        (lerobot::ENV_KEY, &statistics.env),
        (lerobot::ACTION_KEY, &statistics.action),
    ];
    features.extend(others.map(|(key, scale)| (key, vec![scale.columns()], scale)));
    features
}

fn statistics_tensors(config: &ActConfig, statistics: &Statistics) -> Result<HashMap<String, Tensor>, PolicyError> {
    let mut tensors = HashMap::new();
    for (key, shape, scale) in features(config, statistics) {
        let Some([low, high]) = scale.mode.statistics().filter(|_| scale.columns() > 0) else { continue };
        for (statistic, values) in [(low, &scale.low), (high, &scale.high)] {
            let tensor = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)?;
            tensors.insert(format!("{key}.{statistic}"), tensor);
        }
    }
    Ok(tensors)
}

/// Reads a checkpoint folder.
pub fn load(dir: &Path) -> Result<Policy, PolicyError> {
    let own_path = dir.join(OWN_FILE);
    let own: Option<Own> = if own_path.exists() { Some(read_json(&own_path, JSON_BYTES)?) } else { None };
    if let Some(own) = &own {
        own.check(&own_path)?;
    }
    let config_path = dir.join(CONFIG_FILE);
    let file: ConfigFile = read_json(&config_path, JSON_BYTES)?;
    let config = file
        .config(own.as_ref().map(|own| own.network.clone()))
        .map_err(|error| PolicyError::Malformed { path: config_path, why: error.to_string() })?;
    let statistics = read_normalisation(dir, &config)?;
    let parameters = read_parameters(&dir.join(MODEL_FILE), &config)?;
    let Some(own) = own else {
        return Ok(Policy::new(config, statistics, Origin::default(), parameters)?.uncertified());
    };
    let policy = Policy::new(config, statistics, own.origin, parameters)?;
    let golden_path = dir.join(GOLDEN_FILE);
    let most = golden_bytes(policy.config());
    let golden = Golden::from_tensors(read_tensors_within(&golden_path, most)?, policy.config(), &golden_path)?;
    golden.check(&policy, policy.config().action_dim, &own.preprocessing.normalise, dir)?;
    Ok(policy)
}

/// Images of 4096×4096 pixels at most, a few of them, and what became of them.
fn golden_bytes(config: &ActConfig) -> u64 {
    let pixels: u64 = config.cameras.iter().map(|camera| (camera.height * camera.width) as u64).sum();
    64 * pixels.max(1 << 18) + (1 << 24)
}

/// The statistics of both processors, which must agree with the configuration and with each other.
fn read_normalisation(dir: &Path, config: &ActConfig) -> Result<Statistics, PolicyError> {
    let state_file = |name: &str, check: fn(&ProcessorFile, &ActConfig) -> Result<String, String>| {
        let path = dir.join(name);
        let file: ProcessorFile = read_json(&path, JSON_BYTES)?;
        let state_file = check(&file, config).map_err(|why| PolicyError::Malformed { path, why })?;
        Ok::<_, PolicyError>(dir.join(state_file))
    };
    let statistics = read_statistics(&state_file(PREPROCESSOR_FILE, lerobot::check_preprocessor)?, config)?;
    let post = state_file(POSTPROCESSOR_FILE, lerobot::check_postprocessor)?;
    let tensors = read_tensors_within(&post, STATISTICS_BYTES)?;
    let action = read_scale(&tensors, &post, lerobot::ACTION_KEY, config.action_dim, config.normalization.action)?;
    if action != statistics.action {
        let why = "its action statistics differ from the preprocessor's".to_owned();
        return Err(PolicyError::Malformed { path: post, why });
    }
    Ok(statistics)
}

fn read_statistics(path: &Path, config: &ActConfig) -> Result<Statistics, PolicyError> {
    let tensors = read_tensors_within(path, STATISTICS_BYTES)?;
    let modes = &config.normalization;
    let scale = |key: &str, columns: usize, mode| read_scale(&tensors, path, key, columns, mode);
    Ok(Statistics {
        images: config.cameras.iter().map(|camera| scale(&camera.key, 3, modes.visual)).collect::<Result<_, _>>()?,
        state: scale(lerobot::STATE_KEY, config.state_dim, modes.state)?,
        env: scale(lerobot::ENV_KEY, config.env_dim, modes.env)?,
        action: scale(lerobot::ACTION_KEY, config.action_dim, modes.action)?,
    })
}

fn read_scale(
    tensors: &HashMap<String, Tensor>,
    path: &Path,
    key: &str,
    columns: usize,
    mode: NormMode,
) -> Result<Scale, PolicyError> {
    let Some(names) = mode.statistics().filter(|_| columns > 0) else { return Ok(Scale::identity(columns)) };
    let column = |statistic: &str| -> Result<Vec<f32>, PolicyError> {
        let name = format!("{key}.{statistic}");
        let Some(tensor) = tensors.get(&name) else {
            return Err(PolicyError::MissingStatistic { path: path.to_owned(), name });
        };
        if tensor.elem_count() != columns || tensor.dtype() != DType::F32 {
            let (wanted, got) =
                (format!("{columns} numbers of f32"), format!("{} {:?}", tensor.dtype().as_str(), tensor.dims()));
            return Err(PolicyError::WrongTensor { path: path.to_owned(), name, wanted, got });
        }
        tensor.flatten_all()?.to_vec1().map_err(PolicyError::malformed(path))
    };
    let scale = Scale { mode, low: column(names[0])?, high: column(names[1])? };
    if scale.fits(columns) {
        return Ok(scale);
    }
    let why = format!("the {} and {} of \"{key}\" are no finite numbers in their order", names[0], names[1]);
    Err(PolicyError::Malformed { path: path.to_owned(), why })
}

fn read_parameters(path: &Path, config: &ActConfig) -> Result<BTreeMap<String, Tensor>, PolicyError> {
    let wanted: Vec<Parameter> = stored(config).collect();
    let mut tensors = read_tensors_within(path, tensor_bytes(&wanted))?;
    let found = take_parameters(&mut tensors, wanted, path, |name| name.to_owned())?;
    match tensors.into_keys().min() {
        Some(name) => Err(PolicyError::ExtraTensor { path: path.to_owned(), name }),
        None => Ok(found),
    }
}

/// Takes the wanted parameters out of a file's tensors, where they go by the name `in_file` gives them.
pub fn take_parameters(
    tensors: &mut HashMap<String, Tensor>,
    wanted: Vec<Parameter>,
    path: &Path,
    in_file: impl Fn(&str) -> String,
) -> Result<BTreeMap<String, Tensor>, PolicyError> {
    let mut found = BTreeMap::new();
    for parameter in wanted {
        let name = in_file(&parameter.name);
        let Some(tensor) = tensors.remove(&name) else {
            return Err(PolicyError::MissingTensor { path: path.to_owned(), name });
        };
        let shape = parameter.file_shape();
        if tensor.dims() != shape || tensor.dtype() != DType::F32 {
            return Err(PolicyError::WrongTensor {
                path: path.to_owned(),
                name,
                wanted: format!("f32 {shape:?}"),
                got: format!("{} {:?}", tensor.dtype().as_str(), tensor.dims()),
            });
        }
        let tensor = if parameter.conv { tensor.permute((0, 2, 3, 1))?.contiguous()? } else { tensor };
        found.insert(parameter.name, tensor);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
