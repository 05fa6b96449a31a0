//! ResNet up to its last stage, as torchvision builds it (He et al., 2016; stride in the 3×3 convolution of a
//! bottleneck), with frozen batch normalisation: factors and shifts are buffers, read once and never trained.

use super::PolicyError;
use super::config::Backbone;
use super::ops::channel_affine::{Affine, channel_affine};
use super::ops::conv2d::{Moves, conv2d};
use super::ops::linear::Activation;
use super::ops::max_pool::max_pool;
use super::parameters::Scope;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Added to the variance, as in torchvision's FrozenBatchNorm2d.
const EPSILON: f32 = 1e-5;
/// Channels of the first stage's inner convolutions; each further stage has twice as many.
const WIDTH: usize = 64;

/// A convolution with its normalisation, by the names they have below `model.backbone`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The convolution's name.
    pub conv: String,
    /// The normalisation's name.
    pub norm: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// How it moves.
    pub moves: Moves,
}

/// A residual block: units one after the other, beside a shortcut that is the input itself or one more unit.
struct Plan {
    units: Vec<Unit>,
    shortcut: Option<Unit>,
}

fn stem() -> Unit {
    let moves = Moves::dense(2, 3);
    Unit { conv: "conv1".into(), norm: "bn1".into(), inputs: 3, outputs: WIDTH, kernel: 7, moves }
}

/// The blocks of a network of this depth. With `dilated` the last stage keeps the resolution of the one before: its
/// first block strides by one, its later blocks look two pixels far.
fn blocks(depth: usize, dilated: bool) -> Vec<Plan> {
    let Some((stages, bottleneck)) = Backbone::stages(depth) else { return Vec::new() };
    let mut inputs = WIDTH;
    let mut plans = Vec::new();
    for (stage, count) in stages.into_iter().enumerate() {
        let width = WIDTH << stage;
        let outputs = if bottleneck { 4 * width } else { width };
        for block in 0..count {
            let last_dilated = dilated && stage == 3;
            let stride = if block == 0 && stage > 0 && !last_dilated { 2 } else { 1 };
            let dilation = if last_dilated && block > 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", stage + 1);
            let unit = |number: usize, inputs: usize, outputs: usize, kernel: usize, moves: Moves| Unit {
                conv: format!("{name}.conv{number}"),
                norm: format!("{name}.bn{number}"),
                inputs,
                outputs,
                kernel,
                moves,
            };
            let wide = Moves { stride, padding: dilation, dilation };
            let units = if bottleneck {
                vec![
                    unit(1, inputs, width, 1, Moves::dense(1, 0)),
                    unit(2, width, width, 3, wide),
                    unit(3, width, outputs, 1, Moves::dense(1, 0)),
                ]
            } else {
                vec![unit(1, inputs, width, 3, wide), unit(2, width, width, 3, Moves::dense(1, 1))]
            };
            let shortcut = (stride != 1 || inputs != outputs).then(|| Unit {
                conv: format!("{name}.downsample.0"),
                norm: format!("{name}.downsample.1"),
                ..unit(0, inputs, outputs, 1, Moves::dense(stride, 0))
            });
            plans.push(Plan { units, shortcut });
            inputs = outputs;
        }
    }
    plans
}

/// Every convolution of a network of this depth, in the order of the forward pass.
pub fn units(depth: usize, dilated: bool) -> Vec<Unit> {
    let blocks = blocks(depth, dilated).into_iter().flat_map(|plan| plan.units.into_iter().chain(plan.shortcut));
    std::iter::once(stem()).chain(blocks).collect()
}

struct Layer {
    weight: Tensor,
    affine: Affine,
    moves: Moves,
}

impl Layer {
    fn new(unit: &Unit, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let (conv, norm) = (format!("model.backbone.{}", unit.conv), format!("model.backbone.{}", unit.norm));
        let scope = Scope::new(tensors, &norm);
        let column = |name: &str| -> Result<Vec<f32>, PolicyError> { Ok(scope.tensor(name)?.to_vec1()?) };
        let (weight, bias) = (column("weight")?, column("bias")?);
        let (mean, variance) = (column("running_mean")?, column("running_var")?);
        let scale: Vec<f32> = weight.iter().zip(&variance).map(|(w, v)| w * (1.0 / (v + EPSILON).sqrt())).collect();
        let shift = bias.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        let weight = Scope::new(tensors, &conv).tensor("weight")?;
        Ok(Self { weight, affine: Affine::new(scale, shift), moves: unit.moves })
    }

    fn forward(&self, x: &Tensor, shortcut: Option<&Tensor>, activation: Activation) -> Result<Tensor, PolicyError> {
        let x = conv2d(x, &self.weight, self.moves)?;
        Ok(channel_affine(&x, &self.affine, shortcut, activation)?)
    }
}

struct Block {
    inner: Vec<Layer>,
    last: Layer,
    shortcut: Option<Layer>,
}

impl Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        let shortcut = match &self.shortcut {
            Some(layer) => layer.forward(x, None, Activation::Identity)?,
            None => x.clone(),
        };
        let mut y = x.clone();
        for layer in &self.inner {
            y = layer.forward(&y, None, Activation::Relu)?;
        }
        self.last.forward(&y, Some(&shortcut), Activation::Relu)
    }
}

/// The network.
pub struct ResNet {
    stem: Layer,
    blocks: Vec<Block>,
}

impl ResNet {
    /// Takes its parameters and buffers from `model.backbone`.
    pub fn new(depth: usize, dilated: bool, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let blocks = blocks(depth, dilated).into_iter().map(|plan| {
            let mut inner = plan.units.iter().map(|unit| Layer::new(unit, tensors)).collect::<Result<Vec<_>, _>>()?;
            let last = inner.pop().ok_or_else(|| PolicyError::Config("a block without layers".into()))?;
            let shortcut = plan.shortcut.map(|unit| Layer::new(&unit, tensors)).transpose()?;
            Ok(Block { inner, last, shortcut })
        });
        Ok(Self { stem: Layer::new(&stem(), tensors)?, blocks: blocks.collect::<Result<_, PolicyError>>()? })
    }

    /// # Shapes
    /// images `[B, H, W, 3]` → `[B, H', W', C]`
    pub fn forward(&self, images: &Tensor) -> Result<Tensor, PolicyError> {
        let mut x = max_pool(&self.stem.forward(images, None, Activation::Relu)?, 3, 2, 1)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_have_as_many_convolutions_as_their_names_say() {
        for (depth, shortcuts) in [(18, 3), (34, 3), (50, 4), (101, 4), (152, 4)] {
            // The name counts the last, fully connected layer, which is not here.
            assert_eq!(units(depth, false).len(), depth - 1 + shortcuts, "resnet{depth}");
        }
    }

    #[test]
    fn dilation_replaces_the_last_stride() {
        let moves = |name: &str| units(50, true).into_iter().find(|unit| unit.conv == name).unwrap().moves;
        assert_eq!(moves("layer4.0.conv2"), Moves::dense(1, 1));
        assert_eq!(moves("layer4.1.conv2"), Moves { stride: 1, padding: 2, dilation: 2 });
        assert_eq!(moves("layer4.0.downsample.0"), Moves::dense(1, 0));
        assert_eq!(moves("layer3.0.conv2"), Moves::dense(2, 1));
    }
}
