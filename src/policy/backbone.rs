//! The network that turns images into a map of features.

use super::PolicyError;
use super::config::{ActConfig, Backbone};
use super::ops::conv2d::{Moves, conv2d};
use super::ops::group_norm::group_norm_relu;
use super::parameters::Scope;
use super::resnet::ResNet;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// The image network of a configuration.
pub enum ImageNetwork {
    /// See [`ResNet`].
    ResNet(ResNet),
    /// See [`GroupNormCnn`].
    GroupNormCnn(GroupNormCnn),
}

impl ImageNetwork {
    /// Takes its parameters from `model.backbone`.
    pub fn new(config: &ActConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        match &config.backbone {
            Backbone::Resnet { depth } => {
                ResNet::new(*depth, config.replace_final_stride_with_dilation, tensors).map(ImageNetwork::ResNet)
            }
            Backbone::GroupNormCnn { channels, groups } => {
                GroupNormCnn::new(channels.len(), *groups, tensors).map(ImageNetwork::GroupNormCnn)
            }
        }
    }

    /// # Shapes
    /// images `[B, H, W, 3]` → `[B, H', W', C]`
    pub fn forward(&self, images: &Tensor) -> Result<Tensor, PolicyError> {
        match self {
            ImageNetwork::ResNet(network) => network.forward(images),
            ImageNetwork::GroupNormCnn(network) => network.forward(images),
        }
    }
}

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
    fn new(stages: usize, groups: usize, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let stages = (0..stages).map(|i| {
            let name = format!("model.backbone.stages.{i}");
            let scope = Scope::new(tensors, &name);
            Ok(Stage {
                conv: scope.tensor("conv.weight")?,
                norm_weight: scope.tensor("norm.weight")?,
                norm_bias: scope.tensor("norm.bias")?,
            })
        });
        Ok(Self { stages: stages.collect::<Result<_, PolicyError>>()?, groups })
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor, PolicyError> {
        let mut x = images.clone();
        for stage in &self.stages {
            x = conv2d(&x, &stage.conv, Moves::dense(2, 1))?;
            x = group_norm_relu(&x, &stage.norm_weight, &stage.norm_bias, self.groups)?;
        }
        Ok(x)
    }
}
