//! The recorded inputs and outputs as tensors of a file.

use super::{Golden, INPUTS, PROBE_EVERY};
use crate::policy::PolicyError;
use crate::policy::config::ActConfig;
use candle_core::{Device, Tensor, WithDType};
use std::collections::HashMap;
use std::path::Path;

/// A tensor's name and shape, for each list of numbers of a [`Golden`].
struct Shapes {
    images: Vec<[usize; 4]>,
    probes: Vec<[usize; 2]>,
    states: [usize; 2],
    envs: [usize; 2],
    actions: [usize; 3],
}

impl Shapes {
    fn of(config: &ActConfig, sizes: &[(usize, usize)]) -> Shapes {
        let probes = |(height, width): &(usize, usize)| [INPUTS, (height * width * 3).div_ceil(PROBE_EVERY)];
        Shapes {
            images: sizes.iter().map(|(height, width)| [INPUTS, *height, *width, 3]).collect(),
            probes: sizes.iter().map(probes).collect(),
            states: [INPUTS, config.state_dim],
            envs: [INPUTS, config.env_dim],
            actions: [INPUTS, config.chunk_size, config.action_dim],
        }
    }
}

impl Golden {
    /// Tensors to write. Lists without numbers are left out: a policy without state records none.
    pub fn tensors(&self, config: &ActConfig) -> Result<HashMap<String, Tensor>, PolicyError> {
        let shapes = Shapes::of(config, &self.sizes);
        let mut tensors = HashMap::new();
        for (camera, images) in self.images.iter().enumerate() {
            put(&mut tensors, &format!("images.{camera}"), images, &shapes.images[camera])?;
            put(&mut tensors, &format!("normalised_images.{camera}"), &self.probes[camera], &shapes.probes[camera])?;
        }
        put(&mut tensors, "states", &self.states, &shapes.states)?;
        put(&mut tensors, "normalised_states", &self.normalised_states, &shapes.states)?;
        put(&mut tensors, "environments", &self.envs, &shapes.envs)?;
        put(&mut tensors, "normalised_environments", &self.normalised_envs, &shapes.envs)?;
        put(&mut tensors, "normalised_actions", &self.normalised_actions, &shapes.actions)?;
        put(&mut tensors, "actions", &self.actions, &shapes.actions)?;
        Ok(tensors)
    }

    /// From tensors read back, whose shapes must be those of [`Golden::tensors`]; only the images' sizes may differ
    /// from the configuration's, which is for the check to say.
    pub fn from_tensors(
        mut tensors: HashMap<String, Tensor>,
        config: &ActConfig,
        path: &Path,
    ) -> Result<Golden, PolicyError> {
        let sizes: Vec<(usize, usize)> = (0..config.cameras.len())
            .map(|camera| {
                let name = format!("images.{camera}");
                let size = tensors.get(&name).and_then(|t| t.dims4().ok()).map(|(_, height, width, _)| (height, width));
                size.ok_or(PolicyError::MissingTensor { path: path.to_owned(), name })
            })
            .collect::<Result<_, _>>()?;
        let shapes = Shapes::of(config, &sizes);
        let mut images = Vec::with_capacity(sizes.len());
        let mut probes = Vec::with_capacity(sizes.len());
        for camera in 0..sizes.len() {
            images.push(take(&mut tensors, &format!("images.{camera}"), &shapes.images[camera], path)?);
            probes.push(take(&mut tensors, &format!("normalised_images.{camera}"), &shapes.probes[camera], path)?);
        }
        let golden = Golden {
            sizes,
            images,
            probes,
            states: take(&mut tensors, "states", &shapes.states, path)?,
            normalised_states: take(&mut tensors, "normalised_states", &shapes.states, path)?,
            envs: take(&mut tensors, "environments", &shapes.envs, path)?,
            normalised_envs: take(&mut tensors, "normalised_environments", &shapes.envs, path)?,
            normalised_actions: take(&mut tensors, "normalised_actions", &shapes.actions, path)?,
            actions: take(&mut tensors, "actions", &shapes.actions, path)?,
        };
        match tensors.into_keys().min() {
            Some(name) => Err(PolicyError::ExtraTensor { path: path.to_owned(), name }),
            None => Ok(golden),
        }
    }
}

fn put<T: WithDType>(
    tensors: &mut HashMap<String, Tensor>,
    name: &str,
    values: &[T],
    shape: &[usize],
) -> Result<(), PolicyError> {
    if !values.is_empty() {
        tensors.insert(name.to_owned(), Tensor::from_slice(values, shape, &Device::Cpu)?);
    }
    Ok(())
}

fn take<T: WithDType>(
    tensors: &mut HashMap<String, Tensor>,
    name: &str,
    wanted: &[usize],
    path: &Path,
) -> Result<Vec<T>, PolicyError> {
    if wanted.contains(&0) {
        return Ok(Vec::new());
    }
    let missing = || PolicyError::MissingTensor { path: path.to_owned(), name: name.to_owned() };
    let tensor = tensors.remove(name).ok_or_else(missing)?;
    if tensor.dims() != wanted || tensor.dtype() != T::DTYPE {
        return Err(PolicyError::WrongTensor {
            path: path.to_owned(),
            name: name.to_owned(),
            wanted: format!("{} {wanted:?}", T::DTYPE.as_str()),
            got: format!("{} {:?}", tensor.dtype().as_str(), tensor.dims()),
        });
    }
    Ok(tensor.flatten_all()?.to_vec1()?)
}
