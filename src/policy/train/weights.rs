//! The variables that all workers share, and their flat form for the optimiser and for files.

use super::super::PolicyError;
use super::super::config::ActConfig;
use super::super::inference::Policy;
use super::super::initial::initial_tensor;
use super::super::ops::with_slice;
use super::super::parameters::{Parameter, buffers, parameters};
use super::super::plan::TrainPlan;
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// The variables, in order and by name.
pub struct Weights {
    parameters: Vec<Parameter>,
    /// Of each variable, whether it is the image network's.
    pub backbone: Vec<bool>,
    /// In the order of `parameters.rs`.
    pub vars: Vec<Var>,
    /// Variables and buffers.
    pub named: BTreeMap<String, Tensor>,
    /// What is stored with the weights, but never trained.
    pub buffers: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Fresh, or those of the policy to start from.
    pub fn new(config: &ActConfig, plan: &TrainPlan, start: Option<&Policy>) -> Result<Self, PolicyError> {
        let parameters = parameters(config);
        let seed = plan.seed.child("weights", 0);
        let mut vars = Vec::with_capacity(parameters.len());
        let mut named = BTreeMap::new();
        let beginning = |parameter: &Parameter| match start.and_then(|s| s.parameters().get(&parameter.name)) {
            Some(tensor) => Ok(tensor.clone()),
            None => initial_tensor(parameter, seed),
        };
        let buffers: BTreeMap<String, Tensor> = buffers(config)
            .iter()
            .map(|buffer| Ok((buffer.name.clone(), beginning(buffer)?)))
            .collect::<Result<_, PolicyError>>()?;
        for parameter in &parameters {
            let tensor = beginning(parameter)?;
            let var = Var::from_tensor(&tensor.copy()?)?;
            named.insert(parameter.name.clone(), var.as_tensor().clone());
            vars.push(var);
        }
        named.extend(buffers.clone());
        let backbone = parameters.iter().map(Parameter::is_backbone).collect();
        Ok(Self { parameters, backbone, vars, named, buffers })
    }

    /// Numbers in all of them together.
    pub fn count(&self) -> usize {
        self.vars.iter().map(|var| var.elem_count()).sum()
    }

    /// One behind the other.
    pub fn flat(&self) -> Result<Vec<f32>, PolicyError> {
        let mut flat = Vec::with_capacity(self.count());
        for var in &self.vars {
            with_slice(var, |values| flat.extend_from_slice(values))?;
        }
        Ok(flat)
    }

    /// Tensors of a flat vector, by name.
    pub fn split(&self, flat: &[f32]) -> Result<BTreeMap<String, Tensor>, PolicyError> {
        let mut at = 0;
        let mut tensors = BTreeMap::new();
        for parameter in &self.parameters {
            let count: usize = parameter.shape.iter().product();
            let tensor = Tensor::from_slice(&flat[at..at + count], parameter.shape.as_slice(), &Device::Cpu)?;
            tensors.insert(parameter.name.clone(), tensor);
            at += count;
        }
        Ok(tensors)
    }

    /// Takes over a flat vector.
    pub fn set(&self, flat: &[f32]) -> Result<(), PolicyError> {
        let tensors = self.split(flat)?;
        for (parameter, var) in self.parameters.iter().zip(&self.vars) {
            if let Some(tensor) = tensors.get(&parameter.name) {
                var.set(tensor)?;
            }
        }
        Ok(())
    }
}
