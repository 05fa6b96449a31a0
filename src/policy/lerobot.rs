//! The JSON files of a LeRobot checkpoint folder, made from a configuration.
//!
//! A backbone that LeRobot does not have is written under its own name, so that LeRobot refuses the folder instead
//! of filling a network of its own with random weights.

use super::config::{ACTION_DIM, ActConfig, Backbone};
use serde_json::{Value, json};

/// The camera's key in datasets and checkpoints.
pub const IMAGE_KEY: &str = "observation.images.ego";
/// The state's key.
pub const STATE_KEY: &str = "observation.state";
/// The action's key.
pub const ACTION_KEY: &str = "action";

/// State file of the normalising step.
pub const NORMALIZER_FILE: &str = "policy_preprocessor_step_3_normalizer_processor.safetensors";
/// State file of the step that undoes it.
pub const UNNORMALIZER_FILE: &str = "policy_postprocessor_step_0_unnormalizer_processor.safetensors";

/// `config.json`.
pub fn config(config: &ActConfig) -> Value {
    let vision_backbone = match &config.backbone {
        Backbone::GroupNormCnn { .. } => "group_norm_cnn",
    };
    let inputs = json!({ IMAGE_KEY: image(config), STATE_KEY: state(config) });
    json!({
        "type": "act",
        "n_obs_steps": 1,
        "input_features": inputs,
        "output_features": { ACTION_KEY: action() },
        "device": "cpu",
        "use_amp": false,
        "push_to_hub": false,
        "chunk_size": config.chunk_size,
        "n_action_steps": config.chunk_size,
        "normalization_mapping": mapping(),
        "vision_backbone": vision_backbone,
        "pretrained_backbone_weights": null,
        "replace_final_stride_with_dilation": false,
        "pre_norm": false,
        "dim_model": config.dim_model,
        "n_heads": config.n_heads,
        "dim_feedforward": config.dim_feedforward,
        "feedforward_activation": "relu",
        "n_encoder_layers": config.n_encoder_layers,
        "n_decoder_layers": config.n_decoder_layers,
        "use_vae": config.use_vae,
        "latent_dim": config.latent_dim,
        "n_vae_encoder_layers": config.n_vae_encoder_layers,
        "temporal_ensemble_coeff": null,
        "dropout": config.dropout,
        "kl_weight": config.kl_weight,
    })
}

/// `policy_preprocessor.json`.
pub fn preprocessor(config: &ActConfig) -> Value {
    let features = json!({ IMAGE_KEY: image(config), STATE_KEY: state(config), ACTION_KEY: action() });
    json!({
        "name": "policy_preprocessor",
        "steps": [
            { "registry_name": "rename_observations_processor", "config": { "rename_map": {} } },
            { "registry_name": "to_batch_processor", "config": {} },
            device_step(),
            {
                "registry_name": "normalizer_processor",
                "config": { "eps": 1e-8, "features": features, "norm_map": mapping() },
                "state_file": NORMALIZER_FILE,
            },
        ],
    })
}

/// `policy_postprocessor.json`.
pub fn postprocessor() -> Value {
    json!({
        "name": "policy_postprocessor",
        "steps": [
            {
                "registry_name": "unnormalizer_processor",
                "config": { "eps": 1e-8, "features": { ACTION_KEY: action() }, "norm_map": mapping() },
                "state_file": UNNORMALIZER_FILE,
            },
            device_step(),
        ],
    })
}

fn image(config: &ActConfig) -> Value {
    json!({ "type": "VISUAL", "shape": [3, config.height, config.width] })
}

fn state(config: &ActConfig) -> Value {
    json!({ "type": "STATE", "shape": [config.state_dim] })
}

fn action() -> Value {
    json!({ "type": "ACTION", "shape": [ACTION_DIM] })
}

fn mapping() -> Value {
    json!({ "VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MEAN_STD" })
}

fn device_step() -> Value {
    json!({ "registry_name": "device_processor", "config": { "device": "cpu", "float_dtype": null } })
}
