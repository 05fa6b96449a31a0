//! Every parameter of a configuration: name, shape and how it begins. The one place that says what a network holds.
//!
//! In memory a convolution's weight is `[O, K, K, I]` (channels last, as the operation wants it); in files it is
//! `[O, I, K, K]` like everybody's. [`Parameter::conv`] marks those.

use super::PolicyError;
use super::config::{ACTION_DIM, ActConfig, Backbone};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// How a parameter is drawn at the beginning; see `initial.rs`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// Zero.
    Zeros,
    /// One.
    Ones,
    /// Normal with mean 0 and deviation 1: embeddings.
    Normal,
    /// Uniform in ±√(6 / (rows + columns)).
    Xavier,
    /// Uniform in ±1/√fan_in: what torch gives linear and convolution layers, weight and bias.
    FanIn(usize),
    /// Normal with deviation √(2 / fan_out): convolutions before a ReLU.
    KaimingFanOut(usize),
}

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// LeRobot's name.
    pub name: String,
    /// Shape in memory.
    pub shape: Vec<usize>,
    /// Its beginning.
    pub initial: Initial,
    /// Whether it is a convolution's weight, whose shape in files is another.
    pub conv: bool,
}

/// All parameters of a configuration, in the order of the forward pass.
pub fn parameters(config: &ActConfig) -> Vec<Parameter> {
    let mut list = List::default();
    let (d, state) = (config.dim_model, config.state_dim);
    if config.use_vae {
        for layer in 0..config.n_vae_encoder_layers {
            list.layer(&format!("model.vae_encoder.layers.{layer}"), config, Owner::Vae);
        }
        list.add("model.vae_encoder_cls_embed.weight", &[1, d], Initial::Normal);
        list.linear("model.vae_encoder_robot_state_input_proj", state, d);
        list.linear("model.vae_encoder_action_input_proj", ACTION_DIM, d);
        list.linear("model.vae_encoder_latent_output_proj", d, 2 * config.latent_dim);
    }
    list.backbone(&config.backbone);
    for layer in 0..config.n_encoder_layers {
        list.layer(&format!("model.encoder.layers.{layer}"), config, Owner::Encoder);
    }
    for layer in 0..config.n_decoder_layers {
        list.layer(&format!("model.decoder.layers.{layer}"), config, Owner::Decoder);
    }
    list.norm("model.decoder.norm", d);
    list.linear("model.encoder_robot_state_input_proj", state, d);
    list.linear("model.encoder_latent_input_proj", config.latent_dim, d);
    let channels = config.backbone.channels();
    list.conv("model.encoder_img_feat_input_proj.weight", [d, 1, 1, channels], Initial::FanIn(channels));
    list.add("model.encoder_img_feat_input_proj.bias", &[d], Initial::FanIn(channels));
    list.add("model.encoder_1d_feature_pos_embed.weight", &[2, d], Initial::Normal);
    list.add("model.decoder_pos_embed.weight", &[config.chunk_size, d], Initial::Normal);
    list.linear("model.action_head", d, ACTION_DIM);
    list.0
}

/// Which part of the network a layer belongs to: they begin differently.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    /// Torch's defaults.
    Vae,
    /// Xavier for every matrix.
    Encoder,
    /// The same, and a cross-attention.
    Decoder,
}

#[derive(Default)]
struct List(Vec<Parameter>);

impl List {
    fn add(&mut self, name: &str, shape: &[usize], initial: Initial) {
        self.0.push(Parameter { name: name.to_owned(), shape: shape.to_vec(), initial, conv: false });
    }

    fn conv(&mut self, name: &str, shape: [usize; 4], initial: Initial) {
        self.0.push(Parameter { name: name.to_owned(), shape: shape.to_vec(), initial, conv: true });
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.add(&format!("{name}.weight"), &[outputs, inputs], Initial::FanIn(inputs));
        self.add(&format!("{name}.bias"), &[outputs], Initial::FanIn(inputs));
    }

    fn norm(&mut self, name: &str, d: usize) {
        self.add(&format!("{name}.weight"), &[d], Initial::Ones);
        self.add(&format!("{name}.bias"), &[d], Initial::Zeros);
    }

    fn attention(&mut self, name: &str, d: usize, matrix: Initial) {
        self.add(&format!("{name}.in_proj_weight"), &[3 * d, d], Initial::Xavier);
        self.add(&format!("{name}.in_proj_bias"), &[3 * d], Initial::Zeros);
        self.add(&format!("{name}.out_proj.weight"), &[d, d], matrix);
        self.add(&format!("{name}.out_proj.bias"), &[d], Initial::Zeros);
    }

    fn layer(&mut self, name: &str, config: &ActConfig, owner: Owner) {
        let (d, wide) = (config.dim_model, config.dim_feedforward);
        let matrix = |inputs: usize| if owner == Owner::Vae { Initial::FanIn(inputs) } else { Initial::Xavier };
        self.attention(&format!("{name}.self_attn"), d, matrix(d));
        if owner == Owner::Decoder {
            self.attention(&format!("{name}.multihead_attn"), d, matrix(d));
        }
        self.add(&format!("{name}.linear1.weight"), &[wide, d], matrix(d));
        self.add(&format!("{name}.linear1.bias"), &[wide], Initial::FanIn(d));
        self.add(&format!("{name}.linear2.weight"), &[d, wide], matrix(wide));
        self.add(&format!("{name}.linear2.bias"), &[d], Initial::FanIn(wide));
        self.norm(&format!("{name}.norm1"), d);
        self.norm(&format!("{name}.norm2"), d);
        if owner == Owner::Decoder {
            self.norm(&format!("{name}.norm3"), d);
        }
    }

    fn backbone(&mut self, backbone: &Backbone) {
        match backbone {
            Backbone::GroupNormCnn { channels, .. } => {
                let mut inputs = 3;
                for (stage, outputs) in channels.iter().enumerate() {
                    let name = format!("model.backbone.stages.{stage}");
                    let initial = Initial::KaimingFanOut(outputs * 9);
                    self.conv(&format!("{name}.conv.weight"), [*outputs, 3, 3, inputs], initial);
                    self.norm(&format!("{name}.norm"), *outputs);
                    inputs = *outputs;
                }
            }
        }
    }
}

/// Tensors by name, and a place in the tree of names: what a layer is built from.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    prefix: &'a str,
}

impl<'a> Scope<'a> {
    /// The part of the tree below `prefix` (without the dot that follows).
    pub fn new(tensors: &'a BTreeMap<String, Tensor>, prefix: &'a str) -> Self {
        Self { tensors, prefix }
    }

    /// The tensor `prefix.name`.
    pub fn tensor(&self, name: &str) -> Result<Tensor, PolicyError> {
        let full = format!("{}.{name}", self.prefix);
        self.tensors
            .get(&full)
            .cloned()
            .ok_or_else(|| PolicyError::Config(format!("parameter \"{full}\" was not provided")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_lerobot() {
        let mut config = ActConfig::preset("quick", 72, 96, 4, 20).unwrap();
        config.use_vae = true;
        let list = parameters(&config);
        let names: BTreeSet<_> = list.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names.len(), list.len());
        for name in [
            "model.vae_encoder.layers.1.self_attn.in_proj_weight",
            "model.vae_encoder_cls_embed.weight",
            "model.encoder.layers.0.self_attn.out_proj.bias",
            "model.decoder.layers.0.multihead_attn.in_proj_bias",
            "model.decoder.layers.0.norm3.weight",
            "model.decoder.norm.bias",
            "model.encoder_img_feat_input_proj.weight",
            "model.encoder_1d_feature_pos_embed.weight",
            "model.decoder_pos_embed.weight",
            "model.action_head.bias",
        ] {
            assert!(names.contains(name), "{name}");
        }
    }
}
