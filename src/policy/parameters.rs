//! Every parameter of a configuration: name, shape and how it begins. The one place that says what a network holds.
//! Buffers are stored with the parameters, but never trained.
//!
//! In memory a convolution's weight is `[O, K, K, I]` (channels last, as the operation wants it); in files it is
//! `[O, I, K, K]` like everybody's. [`Parameter::conv`] marks those.

use super::PolicyError;
use super::config::{ActConfig, Backbone};
use super::resnet;
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
    /// The fixed positions of a line of tokens; see `positions.rs`.
    Line,
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

impl Parameter {
    /// How many numbers it has, without overflow.
    pub fn numbers(&self) -> u128 {
        self.shape.iter().map(|side| *side as u128).product()
    }

    /// Whether it belongs to the image network, which has a learning rate of its own.
    pub fn is_backbone(&self) -> bool {
        self.name.starts_with("model.backbone.")
    }

    /// Its shape in files, where a convolution's weight is `[O, I, K, K]`.
    pub fn file_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.conv {
            shape[1..].rotate_right(1);
        }
        shape
    }
}

/// All parameters of a configuration, in the order of the forward pass.
pub fn parameters(config: &ActConfig) -> Vec<Parameter> {
    let mut list = List::default();
    let (d, state) = (config.dim_model, config.state_dim);
    if config.use_vae {
        for layer in 0..config.n_vae_encoder_layers {
            list.layer(&format!("model.vae_encoder.layers.{layer}"), config, Owner::Vae);
        }
        if config.pre_norm {
            list.norm("model.vae_encoder.norm", d);
        }
        list.add("model.vae_encoder_cls_embed.weight", &[1, d], Initial::Normal);
        if state > 0 {
            list.linear("model.vae_encoder_robot_state_input_proj", state, d);
        }
        list.linear("model.vae_encoder_action_input_proj", config.action_dim, d);
        list.linear("model.vae_encoder_latent_output_proj", d, 2 * config.latent_dim);
    }
    if !config.cameras.is_empty() {
        list.backbone(&config.backbone);
    }
    for layer in 0..config.n_encoder_layers {
        list.layer(&format!("model.encoder.layers.{layer}"), config, Owner::Encoder);
    }
    if config.pre_norm {
        list.norm("model.encoder.norm", d);
    }
    for layer in 0..config.n_decoder_layers {
        list.layer(&format!("model.decoder.layers.{layer}"), config, Owner::Decoder);
    }
    list.norm("model.decoder.norm", d);
    if state > 0 {
        list.linear("model.encoder_robot_state_input_proj", state, d);
    }
    if config.env_dim > 0 {
        list.linear("model.encoder_env_state_input_proj", config.env_dim, d);
    }
    list.linear("model.encoder_latent_input_proj", config.latent_dim, d);
    if !config.cameras.is_empty() {
        let channels = config.backbone.channels();
        list.conv("model.encoder_img_feat_input_proj.weight", [d, 1, 1, channels], Initial::FanIn(channels));
        list.add("model.encoder_img_feat_input_proj.bias", &[d], Initial::FanIn(channels));
    }
    list.add("model.encoder_1d_feature_pos_embed.weight", &[config.single_tokens(), d], Initial::Normal);
    list.add("model.decoder_pos_embed.weight", &[config.chunk_size, d], Initial::Normal);
    list.linear("model.action_head", d, config.action_dim);
    list.0
}

/// All buffers of a configuration: what frozen batch normalisations hold, and the table of positions that LeRobot
/// stores although it is computed.
pub fn buffers(config: &ActConfig) -> Vec<Parameter> {
    let mut list = List::default();
    if config.use_vae {
        list.add("model.vae_encoder_pos_enc", &[1, config.vae_tokens(), config.dim_model], Initial::Line);
    }
    if let Backbone::Resnet { depth } = config.backbone
        && !config.cameras.is_empty()
    {
        for unit in resnet::units(depth, false) {
            for (name, initial) in [
                ("weight", Initial::Ones),
                ("bias", Initial::Zeros),
                ("running_mean", Initial::Zeros),
                ("running_var", Initial::Ones),
            ] {
                list.add(&format!("model.backbone.{}.{name}", unit.norm), &[unit.outputs], initial);
            }
        }
    }
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
            Backbone::Resnet { depth } => {
                for unit in resnet::units(*depth, false) {
                    let resnet::Unit { inputs, outputs, kernel, .. } = unit;
                    let initial = Initial::KaimingFanOut(outputs * kernel * kernel);
                    self.conv(
                        &format!("model.backbone.{}.weight", unit.conv),
                        [outputs, kernel, kernel, inputs],
                        initial,
                    );
                }
            }
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
    use crate::policy::config::Camera;
    use std::collections::BTreeMap;

    /// What LeRobot's default network with a camera, a state of 4 and chunks of 20 stores, one `name dtype [shape]`
    /// a line.
    const DEFAULT: &str = include_str!("../../tests/fixtures/act_state_dict_default.txt");

    fn stored(config: &ActConfig) -> BTreeMap<String, Vec<usize>> {
        let all = parameters(config).into_iter().chain(buffers(config)).collect::<Vec<_>>();
        let count = all.len();
        let stored: BTreeMap<_, _> = all.into_iter().map(|p| (p.name.clone(), p.file_shape())).collect();
        assert_eq!(stored.len(), count, "names are unique");
        stored
    }

    fn standard() -> ActConfig {
        let camera = Camera { key: "observation.images.ego".into(), height: 72, width: 96 };
        ActConfig { cameras: vec![camera], state_dim: 4, chunk_size: 20, n_action_steps: 20, ..ActConfig::default() }
    }

    #[test]
    fn the_default_network_stores_lerobots_234_tensors() {
        let wanted: BTreeMap<String, Vec<usize>> = DEFAULT
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let name = words.next().filter(|name| name.starts_with("model."))?;
                let shape = &line[line.find('[')? + 1..line.find(']')?];
                Some((name.to_owned(), shape.split(',').map(|side| side.trim().parse().unwrap()).collect()))
            })
            .collect();
        assert_eq!(wanted.len(), 234);
        assert_eq!(stored(&standard()), wanted);
        let numbers: u128 = parameters(&standard()).iter().map(Parameter::numbers).sum();
        assert_eq!((parameters(&standard()).len(), numbers), (153, 51_552_132));
    }

    #[test]
    fn inputs_and_norms_decide_which_tensors_there_are() {
        let names = |change: &dyn Fn(&mut ActConfig)| {
            let mut config = standard();
            change(&mut config);
            stored(&config)
        };
        let pre = names(&|c| c.pre_norm = true);
        assert!(pre.contains_key("model.encoder.norm.weight") && pre.contains_key("model.vae_encoder.norm.bias"));
        let blind = names(&|c| (c.env_dim, c.cameras) = (3, Vec::new()));
        assert!(blind.contains_key("model.encoder_env_state_input_proj.weight"));
        assert!(!blind.keys().any(|name| name.contains("backbone") || name.contains("img_feat")));
        assert_eq!(blind["model.encoder_1d_feature_pos_embed.weight"], [3, 512]);
        let plain = names(&|c| (c.use_vae, c.state_dim) = (false, 0));
        assert!(!plain.keys().any(|name| name.contains("vae") || name.contains("robot_state")));
    }
}
