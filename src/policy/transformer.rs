//! The layers of the encoders and of the decoder: post-norm as in the original transformer and in ACT, or pre-norm.
//!
//! Positions are added to queries and keys, never to values. Since (x + p)·Wᵀ = x·Wᵀ + p·Wᵀ, the positions are
//! projected once and become a part of the projection's bias, so that q, k and v of a layer come from one product.

use super::PolicyError;
use super::config::{ActConfig, FeedForwardActivation};
use super::noise::Noise;
use super::ops::attention::{Masks, cross_attention, self_attention};
use super::ops::layer_norm::{add_layer_norm, layer_norm};
use super::ops::linear::{Activation, linear, linear_rows};
use super::parameters::Scope;
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::ops::Range;

type Tensors = BTreeMap<String, Tensor>;

/// What all layers of a network have in common.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    heads: usize,
    pre_norm: bool,
    activation: FeedForwardActivation,
}

impl Style {
    /// The style of a configuration's layers.
    pub fn of(config: &ActConfig) -> Self {
        Self { heads: config.n_heads, pre_norm: config.pre_norm, activation: config.feedforward_activation }
    }
}

/// Weight and bias of a linear layer.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Takes `name.weight` and `name.bias`; a 1×1 convolution's weight is read as the matrix it is.
    pub fn new(tensors: &Tensors, name: &str) -> Result<Self, PolicyError> {
        let scope = Scope::new(tensors, name);
        let weight = scope.tensor("weight")?;
        // A tensor of its own only where it must be: gradients go to a variable by its identity.
        let weight = if weight.rank() == 2 { weight } else { weight.flatten_from(1)? };
        Ok(Self { weight, bias: scope.tensor("bias")? })
    }

    /// # Shapes
    /// x `[…, I]` → `[…, O]`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(linear(x, &self.weight, &self.bias, Activation::Identity)?)
    }

    /// Where its parameters lie.
    pub fn device(&self) -> &candle_core::Device {
        self.weight.device()
    }

    fn forward_relu(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(linear(x, &self.weight, &self.bias, Activation::Relu)?)
    }
}

/// Weight and bias of a layer normalisation.
pub struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    /// Takes `name.weight` and `name.bias`.
    pub fn new(tensors: &Tensors, name: &str) -> Result<Self, PolicyError> {
        let scope = Scope::new(tensors, name);
        Ok(Self { weight: scope.tensor("weight")?, bias: scope.tensor("bias")? })
    }

    /// # Shapes
    /// `[…, D]` → the same
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(layer_norm(x, &self.weight, &self.bias)?)
    }

    fn forward_sum(&self, x: &Tensor, y: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(add_layer_norm(x, y, &self.weight, &self.bias)?)
    }
}

/// Projections of a multi-head attention; rows of the input projection are q, k, v one below the other.
struct Attention {
    in_weight: Tensor,
    in_bias: Tensor,
    out: Linear,
    heads: usize,
    d: usize,
}

impl Attention {
    fn new(tensors: &Tensors, name: &str, heads: usize) -> Result<Self, PolicyError> {
        let scope = Scope::new(tensors, name);
        let (in_weight, in_bias) = (scope.tensor("in_proj_weight")?, scope.tensor("in_proj_bias")?);
        let d = in_weight.dim(1)?;
        Ok(Self { in_weight, in_bias, out: Linear::new(tensors, &format!("{name}.out_proj"))?, heads, d })
    }

    /// Rows `rows` of the input projection of x, where the rows in `with_positions` (the first of them) see x + positions.
    fn project(
        &self,
        x: &Tensor,
        positions: &Tensor,
        rows: Range<usize>,
        with_positions: usize,
    ) -> Result<Tensor, PolicyError> {
        let moved = rows.start..rows.start + with_positions;
        let bias = self.in_bias.narrow(0, moved.start, moved.len())?;
        let mut table = linear_rows(positions, &self.in_weight, moved.clone(), &bias, Activation::Identity)?;
        if moved.end < rows.end {
            let rest = rows.end - moved.end;
            let bias = self.in_bias.narrow(0, moved.end, rest)?.broadcast_as((positions.dim(0)?, rest))?;
            table = Tensor::cat(&[&table, &bias.contiguous()?], 1)?;
        }
        Ok(linear_rows(x, &self.in_weight, rows, &table, Activation::Identity)?)
    }

    /// q = k = x + positions, v = x. x `[B, T, D]`, positions `[T, D]`.
    fn forward_self(
        &self,
        x: &Tensor,
        positions: &Tensor,
        ignored_keys: Option<Vec<bool>>,
        noise: &mut Noise,
    ) -> Result<Tensor, PolicyError> {
        let (batch, tokens, d) = x.dims3()?;
        let qkv = self.project(x, positions, 0..3 * d, 2 * d)?;
        let masks = Masks { ignored_keys, weight_factors: noise.factors(batch * self.heads * tokens * tokens) };
        self.out.forward(&self_attention(&qkv, self.heads, masks)?)
    }

    /// q = x + x_positions, k = memory + memory_positions, v = memory. x `[B or 1, T, D]`, memory `[B, K, D]`.
    fn forward_cross(
        &self,
        x: &Tensor,
        x_positions: &Tensor,
        memory: &Memory,
        noise: &mut Noise,
    ) -> Result<Tensor, PolicyError> {
        let d = self.d;
        let q = self.project(x, x_positions, 0..d, d)?;
        let kv = self.project(&memory.tokens, &memory.positions, d..3 * d, d)?;
        let (batch, keys, _) = memory.tokens.dims3()?;
        let weight_factors = noise.factors(batch * self.heads * x.dim(1)? * keys);
        self.out.forward(&cross_attention(&q, &kv, self.heads, Masks { ignored_keys: None, weight_factors })?)
    }

    /// What attention to a sequence of zeros gives: every value is the value bias, whatever the weights, so every
    /// position of every sequence gets the same vector. → `[1, 1, D]`
    fn forward_zeros(&self) -> Result<Tensor, PolicyError> {
        let value = self.in_bias.narrow(0, 2 * self.d, self.d)?.reshape((1, 1, self.d))?;
        self.out.forward(&value)
    }
}

struct FeedForward {
    linear1: Linear,
    linear2: Linear,
    activation: FeedForwardActivation,
}

impl FeedForward {
    fn new(tensors: &Tensors, name: &str, activation: FeedForwardActivation) -> Result<Self, PolicyError> {
        Ok(Self {
            linear1: Linear::new(tensors, &format!("{name}.linear1"))?,
            linear2: Linear::new(tensors, &format!("{name}.linear2"))?,
            activation,
        })
    }

    fn forward(&self, x: &Tensor, noise: &mut Noise) -> Result<Tensor, PolicyError> {
        let hidden = match self.activation {
            FeedForwardActivation::Relu => self.linear1.forward_relu(x)?,
            FeedForwardActivation::Gelu => self.linear1.forward(x)?.gelu_erf()?,
            FeedForwardActivation::Glu => {
                return Err(PolicyError::Config("feedforward_activation \"glu\" cannot be run".into()));
            }
        };
        let hidden = noise.drop(hidden)?;
        Ok(noise.drop(self.linear2.forward(&hidden)?)?)
    }
}

/// One layer of an encoder.
pub struct EncoderLayer {
    attention: Attention,
    feed_forward: FeedForward,
    norm1: Norm,
    norm2: Norm,
    pre_norm: bool,
}

impl EncoderLayer {
    /// Takes the parameters below `name`.
    pub fn new(tensors: &Tensors, name: &str, style: Style) -> Result<Self, PolicyError> {
        Ok(Self {
            attention: Attention::new(tensors, &format!("{name}.self_attn"), style.heads)?,
            feed_forward: FeedForward::new(tensors, name, style.activation)?,
            pre_norm: style.pre_norm,
            norm1: Norm::new(tensors, &format!("{name}.norm1"))?,
            norm2: Norm::new(tensors, &format!("{name}.norm2"))?,
        })
    }

    /// # Shapes
    /// x `[B, T, D]`, positions `[T, D]`, ignored_keys `[B, T]` → `[B, T, D]`
    pub fn forward(
        &self,
        x: &Tensor,
        positions: &Tensor,
        ignored_keys: Option<Vec<bool>>,
        noise: &mut Noise,
    ) -> Result<Tensor, PolicyError> {
        if self.pre_norm {
            let attended = self.attention.forward_self(&self.norm1.forward(x)?, positions, ignored_keys, noise)?;
            let x = (x + noise.drop(attended)?)?;
            let fed = self.feed_forward.forward(&self.norm2.forward(&x)?, noise)?;
            return Ok((x + fed)?);
        }
        let attended = self.attention.forward_self(x, positions, ignored_keys, noise)?;
        let x = self.norm1.forward_sum(x, &noise.drop(attended)?)?;
        let fed = self.feed_forward.forward(&x, noise)?;
        self.norm2.forward_sum(&x, &fed)
    }
}

/// What the decoder looks at: the encoder's tokens `[B, K, D]` and their positions `[K, D]`.
pub struct Memory {
    /// The encoder's output.
    pub tokens: Tensor,
    /// Added to the keys.
    pub positions: Tensor,
}

/// One layer of the decoder.
pub struct DecoderLayer {
    self_attention: Attention,
    cross_attention: Attention,
    feed_forward: FeedForward,
    norms: [Norm; 3],
    pre_norm: bool,
}

impl DecoderLayer {
    /// Takes the parameters below `name`.
    pub fn new(tensors: &Tensors, name: &str, style: Style) -> Result<Self, PolicyError> {
        let norm = |i: usize| Norm::new(tensors, &format!("{name}.norm{i}"));
        Ok(Self {
            self_attention: Attention::new(tensors, &format!("{name}.self_attn"), style.heads)?,
            cross_attention: Attention::new(tensors, &format!("{name}.multihead_attn"), style.heads)?,
            feed_forward: FeedForward::new(tensors, name, style.activation)?,
            norms: [norm(1)?, norm(2)?, norm(3)?],
            pre_norm: style.pre_norm,
        })
    }

    /// The first layer, whose input is zeros. Without dropout and pre-norm its self-attention is one constant vector,
    /// so the queries are the same for all sequences and are projected once.
    ///
    /// # Shapes
    /// positions `[T, D]` → `[B, T, D]`
    pub fn forward_first(&self, positions: &Tensor, memory: &Memory, noise: &mut Noise) -> Result<Tensor, PolicyError> {
        let (tokens, d) = positions.dims2()?;
        if noise.drops() || self.pre_norm {
            let zeros = Tensor::zeros((memory.tokens.dim(0)?, tokens, d), positions.dtype(), positions.device())?;
            return self.forward(&zeros, positions, memory, noise);
        }
        let x = self.norms[0].forward(&self.self_attention.forward_zeros()?)?;
        let queries = x.broadcast_as((1, tokens, d))?.contiguous()?;
        let attended = self.cross_attention.forward_cross(&queries, positions, memory, noise)?;
        let x = self.norms[1].forward_sum(&x, &attended)?;
        let fed = self.feed_forward.forward(&x, noise)?;
        self.norms[2].forward_sum(&x, &fed)
    }

    /// # Shapes
    /// x `[B, T, D]`, positions `[T, D]` → `[B, T, D]`
    pub fn forward(
        &self,
        x: &Tensor,
        positions: &Tensor,
        memory: &Memory,
        noise: &mut Noise,
    ) -> Result<Tensor, PolicyError> {
        if self.pre_norm {
            return self.forward_pre_norm(x, positions, memory, noise);
        }
        let attended = self.self_attention.forward_self(x, positions, None, noise)?;
        let x = self.norms[0].forward_sum(x, &noise.drop(attended)?)?;
        let attended = self.cross_attention.forward_cross(&x, positions, memory, noise)?;
        let x = self.norms[1].forward_sum(&x, &noise.drop(attended)?)?;
        let fed = self.feed_forward.forward(&x, noise)?;
        self.norms[2].forward_sum(&x, &fed)
    }
}

impl DecoderLayer {
    fn forward_pre_norm(
        &self,
        x: &Tensor,
        positions: &Tensor,
        memory: &Memory,
        noise: &mut Noise,
    ) -> Result<Tensor, PolicyError> {
        let attended = self.self_attention.forward_self(&self.norms[0].forward(x)?, positions, None, noise)?;
        let x = (x + noise.drop(attended)?)?;
        let attended = self.cross_attention.forward_cross(&self.norms[1].forward(&x)?, positions, memory, noise)?;
        let x = (x + noise.drop(attended)?)?;
        let fed = self.feed_forward.forward(&self.norms[2].forward(&x)?, noise)?;
        Ok((x + fed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use crate::policy::config::ActConfig;
    use crate::policy::initial::initial_tensor;
    use crate::policy::ops::testing::random;
    use crate::policy::parameters::parameters;

    fn layer() -> DecoderLayer {
        let mut config = ActConfig::preset("quick", 16, 16, 4, 5).unwrap();
        (config.dim_model, config.dim_feedforward, config.n_heads) = (16, 24, 4);
        let tensors: Tensors = parameters(&config)
            .iter()
            // Biases begin at zero, which would hide a wrong value bias.
            .map(|p| {
                (
                    p.name.clone(),
                    if p.name.contains("in_proj_bias") {
                        random(&p.shape, 5)
                    } else {
                        initial_tensor(p, Seed(1)).unwrap()
                    },
                )
            })
            .collect();
        DecoderLayer::new(&tensors, "model.decoder.layers.0", Style::of(&config)).unwrap()
    }

    #[test]
    fn the_first_layers_short_cut_equals_the_whole_layer_on_zeros() {
        let layer = layer();
        let memory = Memory { tokens: random(&[3, 7, 16], 1), positions: random(&[7, 16], 2) };
        let positions = random(&[5, 16], 3);
        let short = layer.forward_first(&positions, &memory, &mut Noise::none()).unwrap();
        let zeros = random(&[3, 5, 16], 4).zeros_like().unwrap();
        let whole = layer.forward(&zeros, &positions, &memory, &mut Noise::none()).unwrap();
        let distance = (short - whole).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(distance < 1e-5, "{distance}");
    }
}
