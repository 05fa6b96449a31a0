//! The network that turns images into a map of features.

use super::PolicyError;
use super::config::Backbone;
use super::ops::conv2d::conv2d;
use super::ops::group_norm::group_norm_relu;
use super::parameters::Scope;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Stages of convolution (3×3, stride 2, padding 1), group normalisation and ReLU.
pub struct GroupNormCnn {
    stages: Vec<Stage>,
    groups: usize,
}

struct Stage {
    conv: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
}

impl GroupNormCnn {
    /// Takes its parameters from `model.backbone`.
    pub fn new(backbone: &Backbone, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let Backbone::GroupNormCnn { channels, groups } = backbone;
        let stages = (0..channels.len()).map(|i| {
            let name = format!("model.backbone.stages.{i}");
            let scope = Scope::new(tensors, &name);
            Ok(Stage {
                conv: scope.tensor("conv.weight")?,
                norm_weight: scope.tensor("norm.weight")?,
                norm_bias: scope.tensor("norm.bias")?,
            })
        });
        Ok(Self { stages: stages.collect::<Result<_, PolicyError>>()?, groups: *groups })
    }

    /// # Shapes
    /// images `[B, H, W, 3]` → `[B, H', W', C]`
    pub fn forward(&self, images: &Tensor) -> Result<Tensor, PolicyError> {
        let mut x = images.clone();
        for stage in &self.stages {
            x = conv2d(&x, &stage.conv, 2, 1)?;
            x = group_norm_relu(&x, &stage.norm_weight, &stage.norm_bias, self.groups)?;
        }
        Ok(x)
    }
}
