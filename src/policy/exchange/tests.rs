//! Golden cases: what LeRobot 0.4.4 computes for the same weights and inputs, of every shape of network.
//!
//! The weights of a case follow from its seed and their names by a formula that `scripts/lerobot_act.py` shares, so
//! that a whole ResNet need not be stored. The script writes the cases anew.

use super::*;
use crate::policy::config::NormMode;
use crate::policy::inference::Origin;
use crate::policy::lerobot::{ConfigFile, ENV_KEY, STATE_KEY};
use crate::policy::normalise::Statistics;
use crate::policy::parameters::{Initial, Parameter, buffers, parameters};
use candle_core::{Device, Tensor};
use serde_json::Value;

/// Numbers may differ by this much, absolute or relative to their size.
const TOLERANCE: f64 = 2e-5;
/// The optimiser's steps multiply differences.
const LOSS_TOLERANCE: f64 = 1e-4;

/// Numbers in [−1, 1) that depend on the name alone.
fn numbers(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let state = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    (1..=count as u64).map(move |i| {
        let z = state.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

fn weight(parameter: &Parameter, seed: u64) -> Tensor {
    let (name, shape) = (&parameter.name, parameter.file_shape());
    let spread = (3.0 / shape[1..].iter().product::<usize>().max(1) as f64).sqrt();
    let number = |v: f64| match () {
        () if name.ends_with("running_var") => 1.0 + 0.5 * v,
        () if shape.len() == 1 && name.ends_with("weight") => 1.0 + 0.3 * v,
        () if shape.len() == 1 => 0.1 * v,
        () if name.ends_with("embed.weight") => v,
        () => v * spread,
    };
    let values: Vec<f32> =
        numbers(&format!("{seed}/{name}"), shape.iter().product()).map(|v| number(v) as f32).collect();
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    if parameter.conv { tensor.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap() } else { tensor }
}

fn scale(key: &str, columns: usize, mode: NormMode, seed: u64) -> Scale {
    let Some([low, high]) = mode.statistics().filter(|_| columns > 0) else { return Scale::identity(columns) };
    let column = |statistic: &str| {
        let number = |v: f64| match statistic {
            "mean" => 0.3 * v,
            "std" => 1.0 + 0.5 * v,
            "min" => 0.5 * v - 2.0,
            "max" => 0.5 * v + 2.0,
            "q01" => 0.5 * v - 1.5,
            "q99" => 0.5 * v + 1.5,
            "q10" => 0.5 * v - 1.0,
            _ => 0.5 * v + 1.0,
        };
        numbers(&format!("{seed}/{key}.{statistic}"), columns).map(|v| number(v) as f32).collect()
    };
    Scale { mode, low: column(low), high: column(high) }
}

fn policy(config: ActConfig, seed: u64) -> Policy {
    let modes = config.normalization.clone();
    let statistics = Statistics {
        images: config.cameras.iter().map(|camera| scale(&camera.key, 3, modes.visual, seed)).collect(),
        state: scale(STATE_KEY, config.state_dim, modes.state, seed),
        env: scale(ENV_KEY, config.env_dim, modes.env, seed),
        action: scale("action", config.action_dim, modes.action, seed),
    };
    let tensors = parameters(&config)
        .into_iter()
        .chain(buffers(&config))
        .map(|parameter| {
            let tensor = if parameter.initial == Initial::Line {
                crate::policy::initial::initial_tensor(&parameter, crate::base::Seed(0)).unwrap()
            } else {
                weight(&parameter, seed)
            };
            (parameter.name, tensor)
        })
        .collect();
    Policy::new(config, statistics, Origin::default(), tensors).unwrap()
}

fn close(name: &str, got: f64, wanted: f64, tolerance: f64) {
    assert!((got - wanted).abs() <= tolerance * wanted.abs().max(1.0), "{name}: {got}, LeRobot has {wanted}");
}

fn same_arrays(kind: &str, got: &Value, wanted: &Value) {
    let names = |value: &Value| -> Vec<String> {
        let arrays = value.as_object().unwrap().iter().filter(|(_, value)| value.get("data").is_some());
        arrays.map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(got), names(wanted), "{kind}");
    for name in names(wanted) {
        assert_eq!(got[&name]["shape"], wanted[&name]["shape"], "{name}");
        let list = |value: &Value| -> Vec<f64> {
            value[&name]["data"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        for (i, (got, wanted)) in list(got).into_iter().zip(list(wanted)).enumerate() {
            close(&format!("{name}[{i}]"), got, wanted, TOLERANCE);
        }
    }
}

fn check(policy: &Policy, text: &str) {
    let wanted: Value = serde_json::from_str(text).unwrap();
    let wanted = &wanted["outputs"];
    let steps = wanted["losses"].as_array().map_or(0, Vec::len);
    let file: Given = serde_json::from_str(text).unwrap();
    let got = run(policy, file, RunOptions { steps, optimiser: StepRecipe::Config, ..RunOptions::default() }).unwrap();
    let got = serde_json::to_value(got).unwrap();
    let got = &got["outputs"];
    same_arrays("outputs", got, wanted);
    for (name, norm) in wanted["grad_norm"].as_object().into_iter().flatten() {
        close(name, got["grad_norm"][name].as_f64().unwrap(), norm.as_f64().unwrap(), TOLERANCE);
    }
    assert_eq!(
        got["grad_norm"].as_object().map_or(0, serde_json::Map::len),
        wanted["grad_norm"].as_object().map_or(0, serde_json::Map::len)
    );
    for (step, loss) in wanted["losses"].as_array().into_iter().flatten().enumerate() {
        close(&format!("loss {step}"), got["losses"][step].as_f64().unwrap(), loss.as_f64().unwrap(), LOSS_TOLERANCE);
    }
    if let Some(ensemble) = wanted.get("ensemble") {
        let only_out = |value: &Value| serde_json::json!({ "out": value["out"] });
        same_arrays("ensemble", &only_out(&got["ensemble"]), &only_out(ensemble));
    }
}

/// Configuration, normalised and raw case of a folder.
macro_rules! case {
    ($name:ident, $seed:literal) => {
        #[test]
        fn $name() {
            const CONFIG: &str =
                include_str!(concat!("../../../tests/fixtures/golden/", stringify!($name), "/config.json"));
            const NORMALISED: &str =
                include_str!(concat!("../../../tests/fixtures/golden/", stringify!($name), "/golden.json"));
            const RAW: &str =
                include_str!(concat!("../../../tests/fixtures/golden/", stringify!($name), "/golden_raw.json"));
            let config = serde_json::from_str::<ConfigFile>(CONFIG).unwrap().config(None).unwrap();
            let policy = policy(config, $seed);
            check(&policy, NORMALISED);
            check(&policy, RAW);
        }
    };
}

case!(post_norm, 1);
case!(pre_norm_gelu, 2);
case!(two_cameras_env, 3);
case!(no_vae_no_state, 4);
case!(blind, 5);
case!(min_max, 6);
case!(resnet50_dilated, 7);

const BLIND: &str = include_str!("../../../tests/fixtures/golden/blind/golden.json");

fn blind_policy() -> Policy {
    const CONFIG: &str = include_str!("../../../tests/fixtures/golden/blind/config.json");
    policy(serde_json::from_str::<ConfigFile>(CONFIG).unwrap().config(None).unwrap(), 5)
}

#[test]
fn the_mean_is_asked_for_or_follows_from_the_file() {
    assert_eq!(
        (l1_mean_of("0.4.4"), l1_mean_of("0.6.1"), l1_mean_of("1.0")),
        (L1Mean::All, L1Mean::Valid, L1Mean::Valid)
    );
    let policy = blind_policy();
    let run = |l1_mean| {
        let file = run(
            &policy,
            serde_json::from_str(BLIND).unwrap(),
            RunOptions { l1_mean, steps: 0, ..RunOptions::default() },
        )
        .unwrap();
        let number = |name: &str| file.outputs.arrays[name].data[0];
        (number("train.l1_loss"), number("train.l1_loss_all"), number("train.l1_loss_valid"), file.l1_mean)
    };
    let (l1, all, valid, mean) = run(None);
    assert!(l1 == all && all < valid && mean == Some(L1Mean::All));
    let (l1, _, valid, mean) = run(Some(L1Mean::Valid));
    assert!(l1 == valid && mean == Some(L1Mean::Valid));
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let policy = blind_policy();
    let refused = |change: &dyn Fn(&mut Value), words: &str| {
        let mut value: Value = serde_json::from_str(BLIND).unwrap();
        change(&mut value);
        let file = serde_json::from_value::<Given>(value).map_err(|error| error.to_string());
        let result = file.and_then(|f| run(&policy, f, RunOptions::default()).map_err(|error| error.to_string()));
        let error = result.unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    let array = || serde_json::json!({ "shape": [2, 4], "data": [0, 0, 0, 0, 0, 0, 0, 0] });
    refused(&|v| drop(v["inputs"].as_object_mut().unwrap().remove("observation.state")), "lack \"observation.state\"");
    refused(&|v| drop(v["inputs"].as_object_mut().unwrap().remove("latent_eps")), "lack \"latent_eps\"");
    refused(&|v| drop(v["inputs"].as_object_mut().unwrap().remove("action_is_pad")), "lack \"action_is_pad\"");
    refused(
        &|v| drop(v["inputs"].as_object_mut().unwrap().insert("observation.more".into(), array())),
        "observation.more",
    );
    refused(
        &|v| v["inputs"]["observation.state"]["shape"] = serde_json::json!([4, 2]),
        "has shape [4, 2], wanted [2, 4]",
    );
    refused(&|v| v["inputs"]["observation.state"]["data"] = serde_json::json!([1.0]), "has 1 numbers");
    refused(&|v| v["inputs"]["action_is_pad"]["data"][0] = serde_json::json!(0.5), "holds 0.5");
    refused(&|v| v["inputs"]["observation.state"]["data"][0] = serde_json::json!(1e300), "not finite");
    refused(&|v| v["outputs"]["ensemble"]["chunks"]["shape"] = serde_json::json!([9, 1, 7, 2]), "ensemble.chunks");
    refused(&|v| v["space"] = "cooked".into(), "cooked");
    refused(&|v| drop(v.as_object_mut().unwrap().insert("more".into(), 1.into())), "unknown field `more`");
}
