//! Reading within limits and writing safely: the size of a file is looked at before a byte of it is held.

use crate::policy::PolicyError;
use crate::policy::parameters::Parameter;
use candle_core::{Device, Tensor, safetensors};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// A JSON file of a checkpoint is a few kB.
pub const JSON_BYTES: u64 = 4 << 20;

pub fn remove(dir: &Path) -> Result<(), PolicyError> {
    if dir.exists() { fs::remove_dir_all(dir).map_err(PolicyError::io(dir)) } else { Ok(()) }
}

pub fn sync_folder(dir: &Path) -> Result<(), PolicyError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(PolicyError::io(dir))
}

/// Writes indented JSON and syncs it.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PolicyError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(PolicyError::malformed(path))?;
    text.push(b'\n');
    File::create(path)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
        .map_err(PolicyError::io(path))
}

/// Writes a safetensors file and syncs it.
pub fn write_tensors(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<(), PolicyError> {
    safetensors::save(tensors, path)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(PolicyError::io(path))
}

/// The bytes of a file that may have `most` of them.
pub fn read_within(path: &Path, most: u64) -> Result<Vec<u8>, PolicyError> {
    let file = File::open(path).map_err(PolicyError::io(path))?;
    let bytes = file.metadata().map_err(PolicyError::io(path))?.len();
    if bytes > most {
        return Err(PolicyError::TooLarge { path: path.to_owned(), bytes, most });
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    // A file that grows while it is read is cut, and then refused by its parser.
    file.take(most).read_to_end(&mut content).map_err(PolicyError::io(path))?;
    Ok(content)
}

/// Reads a JSON file of at most this many bytes.
pub fn read_json<T: DeserializeOwned>(path: &Path, most: u64) -> Result<T, PolicyError> {
    serde_json::from_slice(&read_within(path, most)?).map_err(PolicyError::malformed(path))
}

/// Reads a safetensors file of at most this many bytes.
pub fn read_tensors_within(path: &Path, most: u64) -> Result<HashMap<String, Tensor>, PolicyError> {
    let bytes = read_within(path, most)?;
    safetensors::load_buffer(&bytes, &Device::Cpu).map_err(PolicyError::malformed(path))
}

/// Reads a safetensors file of our own making.
pub fn read_tensors(path: &Path) -> Result<HashMap<String, Tensor>, PolicyError> {
    read_tensors_within(path, u64::MAX)
}

/// The most bytes that a safetensors file of these parameters can have: their numbers, and a header with some air.
pub fn tensor_bytes(parameters: &[Parameter]) -> u64 {
    let numbers: u128 = parameters.iter().map(Parameter::numbers).sum();
    let header = (1 << 20) + 1024 * parameters.len() as u64;
    u64::try_from(4 * numbers).unwrap_or(u64::MAX).saturating_add(header)
}
