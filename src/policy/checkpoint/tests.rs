//! Specifications of a checkpoint folder: it comes back as it was, and what is wrong with it is named.

use super::*;
use crate::policy::Observation;
use crate::policy::testing::{initial_tensors, plain_statistics, tiny_config};
use proptest::prelude::*;

fn policy() -> Policy {
    let config = ActConfig { use_vae: true, ..tiny_config(16, 24, 4, 5) };
    let origin = Origin { seed: 1, samples: 10, datasets: Vec::new() };
    Policy::new(config.clone(), plain_statistics(&config), origin, initial_tensors(&config)).unwrap()
}

/// Rewrites one safetensors file of a checkpoint.
fn change(path: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let mut tensors = read_tensors(path).unwrap();
    change(&mut tensors);
    write_tensors(path, &tensors).unwrap();
}

fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("checkpoint");
    policy().save(&dir).unwrap();
    (folder, dir)
}

#[test]
fn a_policy_comes_back_as_it_was_and_leaves_nothing_beside_it() {
    let (folder, dir) = saved();
    let loaded = Policy::load(&dir).unwrap();
    let policy = policy();
    let observation = [Observation { image: &[77; 16 * 24 * 3], state: &[0.1, 0.2, 0.3, 0.4] }];
    assert_eq!(loaded.act(&observation).unwrap(), policy.act(&observation).unwrap());
    assert_eq!((loaded.config(), loaded.origin()), (policy.config(), policy.origin()));
    assert!(loaded.is_certified());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn convolutions_lie_in_files_as_everybody_has_them() {
    let (_folder, dir) = saved();
    let tensors = read_tensors(&dir.join(MODEL_FILE)).unwrap();
    assert_eq!(tensors["model.backbone.stages.1.conv.weight"].dims(), [8, 8, 3, 3]);
    assert_eq!(tensors["model.encoder_img_feat_input_proj.weight"].dims(), [16, 8, 1, 1]);
    assert_eq!(tensors["model.vae_encoder_pos_enc"].dims(), [1, 7, 16]);
}

/// The night's mistake in a folder: ImageNet's statistics where the training's own had been.
#[test]
fn other_preprocessing_is_refused_by_its_name() {
    let imagenet = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu).unwrap().reshape((3, 1, 1)).unwrap();
    let (_folder, dir) = saved();
    change(&dir.join(lerobot::NORMALIZER_FILE), |tensors| {
        tensors.insert(format!("{}.mean", lerobot::IMAGE_KEY), imagenet([0.485, 0.456, 0.406]));
        tensors.insert(format!("{}.std", lerobot::IMAGE_KEY), imagenet([0.229, 0.224, 0.225]));
    });
    let error = Policy::load(&dir).unwrap_err().to_string();
    assert!(
        error.contains("step \"normalise\"") && error.contains("ImageNet's mean and deviation in place"),
        "{error}"
    );

    let (_folder, dir) = saved();
    let path = dir.join(PREPROCESSOR_FILE);
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let twice = file["steps"][3].clone();
    file["steps"].as_array_mut().unwrap().push(twice);
    fs::write(&path, file.to_string()).unwrap();
    let error = Policy::load(&dir).unwrap_err().to_string();
    assert!(error.contains("step 4, \"normalizer_processor\", is one more"), "{error}");
}

#[test]
fn changed_weights_are_refused_as_the_network_step() {
    let (_folder, dir) = saved();
    change(&dir.join(MODEL_FILE), |tensors| {
        let bias = Tensor::new(&[0.1_f32, 0.2, 0.3, 0.4], &Device::Cpu).unwrap();
        tensors.insert("model.action_head.bias".into(), bias);
    });
    let error = Policy::load(&dir).unwrap_err().to_string();
    assert!(error.contains("step \"network\""), "{error}");
}

#[test]
fn a_folder_without_certificate_loads_but_does_not_drive() {
    let (_folder, dir) = saved();
    fs::remove_file(dir.join(GOLDEN_FILE)).unwrap();
    assert!(Policy::load(&dir).unwrap_err().to_string().contains(GOLDEN_FILE));
    let config = ActConfig { backbone: crate::policy::Backbone::Resnet { depth: 18 }, ..tiny_config(16, 24, 4, 5) };
    let policy =
        Policy::new(config.clone(), plain_statistics(&config), Origin::default(), initial_tensors(&config)).unwrap();
    policy.save(&dir).unwrap();
    fs::remove_file(dir.join(OWN_FILE)).unwrap();
    fs::remove_file(dir.join(GOLDEN_FILE)).unwrap();
    let loaded = Policy::load(&dir).unwrap();
    let error = loaded.check_drivable().unwrap_err().to_string();
    assert!(error.contains("no parity certificate") && !loaded.is_certified(), "{error}");
    loaded.save(&dir).unwrap();
    Policy::load(&dir).unwrap().check_drivable().unwrap();
}

#[test]
fn missing_extra_and_misshaped_things_are_named() {
    let refused = |file: &str, edit: &dyn Fn(&mut HashMap<String, Tensor>), words: &str| {
        let (_folder, dir) = saved();
        change(&dir.join(file), edit);
        let error = Policy::load(&dir).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let scalar = || Tensor::new(1.0_f32, &Device::Cpu).unwrap();
    let name = "model.action_head.bias";
    refused(MODEL_FILE, &|t| drop(t.remove(name)), "lacks tensor \"model.action_head.bias\"");
    refused(MODEL_FILE, &|t| drop(t.insert("model.more".into(), scalar())), "\"model.more\"");
    refused(MODEL_FILE, &|t| drop(t.insert(name.into(), scalar())), "wanted f32 [4]");
    let large = || Tensor::zeros(1 << 20, DType::F32, &Device::Cpu).unwrap();
    refused(MODEL_FILE, &|t| drop(t.insert("model.more".into(), large())), "bytes, more than");
    let statistic = format!("{}.std", lerobot::STATE_KEY);
    refused(lerobot::NORMALIZER_FILE, &|t| drop(t.remove(&statistic)), "lacks statistic \"observation.state.std\"");
    refused(lerobot::NORMALIZER_FILE, &|t| drop(t.insert(statistic.clone(), scalar())), "observation.state.std");
    refused(lerobot::UNNORMALIZER_FILE, &|t| drop(t.remove("action.mean")), "lacks statistic \"action.mean\"");
    refused(GOLDEN_FILE, &|t| drop(t.insert("more".into(), scalar())), "\"more\"");
}

#[test]
fn broken_files_are_errors() {
    for file in [CONFIG_FILE, OWN_FILE, PREPROCESSOR_FILE, MODEL_FILE, GOLDEN_FILE, lerobot::NORMALIZER_FILE] {
        let (_folder, dir) = saved();
        let bytes = fs::read(dir.join(file)).unwrap();
        fs::write(dir.join(file), &bytes[..bytes.len() / 2]).unwrap();
        assert!(Policy::load(&dir).is_err(), "{file} cut in half");
        fs::remove_file(dir.join(file)).unwrap();
        let error = Policy::load(&dir).unwrap_err().to_string();
        // Without our own file the configuration's backbone has no sizes.
        assert!(error.contains(if file == OWN_FILE { CONFIG_FILE } else { file }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever bytes a file of a checkpoint holds, loading it ends with a policy or an error.
    #[test]
    fn hostile_files_never_panic(
        file in 0_usize..8,
        place in 0.0_f64..1.0,
        garbage in proptest::collection::vec(any::<u8>(), 0..12),
        cut in any::<bool>(),
        near_the_head in any::<bool>(),
    ) {
        let (_folder, dir) = saved();
        let name = [
            CONFIG_FILE, OWN_FILE, PREPROCESSOR_FILE, POSTPROCESSOR_FILE,
            MODEL_FILE, GOLDEN_FILE, lerobot::NORMALIZER_FILE, lerobot::UNNORMALIZER_FILE,
        ][file];
        let mut bytes = fs::read(dir.join(name)).unwrap();
        let reach = if near_the_head { bytes.len().min(256) } else { bytes.len() };
        let at = (place * reach as f64) as usize;
        for (byte, new) in bytes[at..].iter_mut().zip(&garbage) {
            *byte = *new;
        }
        if cut {
            bytes.truncate(at);
        }
        fs::write(dir.join(name), &bytes).unwrap();
        if let Ok(policy) = Policy::load(&dir) {
            let state = vec![0.0; policy.config().state_dim];
            let (height, width) = policy.config().image_size().unwrap_or_default();
            drop(policy.act(&[Observation { image: &vec![0; height * width * 3], state: &state }]));
        }
    }

    /// Tensors with headers that lie about their length are refused before anything of that length is allocated.
    #[test]
    fn lying_headers_never_panic(sides in proptest::collection::vec(any::<u32>(), 0..5), end in any::<u64>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{sides:?},"data_offsets":[0,{end}]}}}}"#);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0; 16]);
        fs::write(&path, &bytes).unwrap();
        drop(read_tensors_within(&path, 1 << 20));
    }
}
