//! What a dataset promises, from one end to the other: what was written is read back, what was damaged
//! is found, and nothing half-done carries a dataset's name.

use super::episode::tiny_episode;
use super::spec::tiny_spec;
use super::*;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const SIDE_FILE: &str = "ralphton/frames/chunk-000/file-000.parquet";

fn write(dir: &Path, spec: &DatasetSpec, lengths: &[usize], labels: bool) -> DatasetSummary {
    let mut writer = DatasetWriter::create(dir, spec.clone(), &json!({"config": "test"})).unwrap();
    for (seed, &frames) in (0..).zip(lengths) {
        let mut data = tiny_episode(spec, frames, seed);
        if !labels {
            data.frames.iter_mut().for_each(|frame| frame.label = None);
        }
        writer.append(encode_episode(spec, data).unwrap()).unwrap();
    }
    writer.finish(json!({"episodes": lengths.len()})).unwrap()
}

fn dataset(lengths: &[usize], labels: bool) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    write(&dir, &tiny_spec(), lengths, labels);
    (root, dir)
}

fn lines(dir: &Path) -> String {
    check(dir).unwrap().iter().map(|defect| format!("{defect}\n")).collect()
}

#[test]
fn labelled_frames_come_back_with_their_labels() {
    let spec = tiny_spec();
    let (_root, dir) = dataset(&[5, 4], true);
    assert_eq!(lines(&dir), "");
    let set = load_training_set(&[dir], spec.chunk, None).unwrap();
    let expected: Vec<FrameData> = [(5, 0), (4, 1)]
        .into_iter()
        .flat_map(|(frames, seed)| tiny_episode(&spec, frames, seed).frames)
        .filter(|frame| frame.label.is_some())
        .collect();
    assert_eq!(set.len(), expected.len());
    for (sample, frame) in expected.iter().enumerate() {
        assert_eq!(set.image(sample), frame.rgb);
        assert_eq!(set.state(sample), frame.state);
        assert_eq!(set.chunk(sample), frame.label.as_deref().unwrap());
        assert_eq!(usize::from(set.valid[sample]), spec.chunk);
    }
}

#[test]
fn without_labels_the_actions_that_followed_are_the_chunk() {
    let spec = tiny_spec();
    let (_root, dir) = dataset(&[5, 4], false);
    let set = load_training_set(&[dir], 3, None).unwrap();
    let second = tiny_episode(&spec, 4, 1).frames;
    assert_eq!(set.len(), 9);
    assert_eq!(set.image(5), second[0].rgb);
    assert_eq!(set.chunk(5), [second[0].action, second[1].action, second[2].action].concat());
    // The last frame but one of the first episode sees two actions; the next episode is none of its business.
    let first = tiny_episode(&spec, 5, 0).frames;
    assert_eq!(set.valid, [3, 3, 3, 2, 1, 3, 3, 2, 1]);
    assert_eq!(set.chunk(3), [first[3].action, first[4].action, first[4].action].concat());
    // What was done before a frame is known within its episode alone.
    assert_eq!((set.previous(4), set.previous(5)), (&first[3].action[..], &[0.0; 4][..]));
    assert_eq!(set.episodes, [0, 0, 0, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn datasets_are_joined_and_thinned_evenly() {
    let (_a, first) = dataset(&[6, 6], false);
    let (_b, second) = dataset(&[8], true);
    let both = [first, second];
    let all = load_training_set(&both, 3, None).unwrap();
    assert_eq!(all.sources, [0..12, 12..16]);
    let half = load_training_set(&both, 3, Some(8)).unwrap();
    assert_eq!(half.sources, [0..6, 6..8]);
    assert_eq!(half.image(7), all.image(15));
    assert_eq!(half.images, load_training_set(&both, 3, Some(8)).unwrap().images);
    assert_eq!(load_training_set(&both, 3, Some(0)).unwrap().len(), 0);
}

#[test]
fn datasets_of_other_shapes_are_not_joined() {
    let (_a, first) = dataset(&[3], false);
    let root = tempfile::tempdir().unwrap();
    let second = root.path().join("other");
    write(&second, &DatasetSpec { width: 10, ..tiny_spec() }, &[3], false);
    let error = load_training_set(&[first, second], 3, None).unwrap_err().to_string();
    assert!(error.contains("10×6 pixels") && error.contains("8×6 pixels"), "{error}");
    assert!(load_training_set(&[], 3, None).unwrap_err().to_string().contains("no dataset was named"));
}

#[test]
fn the_summary_counts_scenarios_labels_and_successes() {
    let root = tempfile::tempdir().unwrap();
    let found = write(&root.path().join("set"), &tiny_spec(), &[5, 4, 3], true);
    assert_eq!((found.episodes, found.frames, found.labelled_frames, found.successes), (3, 12, 7, 2));
    assert_eq!(found.scenarios["open_floor"], Share { episodes: 3, successes: 2 });
    assert_eq!(found.strategies["expert"], Share { episodes: 3, successes: 2 });
    assert!(found.bytes > 1000);
    assert_eq!(origins(&found.dir).unwrap()[1].origin, tiny_episode(&tiny_spec(), 1, 1).origin);
}

#[test]
fn global_statistics_are_those_of_all_frames() {
    let (_root, dir) = dataset(&[5, 4], true);
    let stats: Value = serde_json::from_slice(&fs::read(dir.join("meta/stats.json")).unwrap()).unwrap();
    let set = load_training_set(&[write_unlabelled_twin(&dir)], 1, None).unwrap();
    let expected = statistics(&set);
    let number = |feature: &str, name: &str, at: usize| stats[feature][name][at].as_f64().unwrap() as f32;
    for c in 0..4 {
        assert!((number("action", "mean", c) - expected.action_mean[c]).abs() < 1e-6);
        assert!((number("action", "std", c) - expected.action_std[c]).abs() < 1e-6);
    }
    for c in 0..3 {
        let image = |name: &str| stats["observation.images.ego"][name][c][0][0].as_f64().unwrap() as f32;
        assert!((image("mean") - expected.image_mean[c]).abs() < 1e-6);
        assert!((image("std") - expected.image_std[c]).abs() < 1e-6);
    }
    assert_eq!(stats["index"]["max"], json!([8.0]));
    assert_eq!(stats["observation.images.ego"]["count"], json!([9]));
}

fn write_unlabelled_twin(dir: &Path) -> PathBuf {
    let twin = dir.with_file_name("twin");
    write(&twin, &tiny_spec(), &[5, 4], false);
    twin
}

#[test]
fn the_same_episodes_give_the_same_bytes() {
    let (_a, first) = dataset(&[5, 4], true);
    let (_b, second) = dataset(&[5, 4], true);
    for file in [layout::INFO, layout::STATS, layout::TASKS, layout::EPISODES, SIDE_FILE, layout::ORIGINS] {
        assert_eq!(fs::read(first.join(file)).unwrap(), fs::read(second.join(file)).unwrap(), "{file}");
    }
    let data = layout::FileNumber::default().data_path();
    assert_eq!(fs::read(first.join(&data)).unwrap(), fs::read(second.join(&data)).unwrap());
}

#[test]
fn an_existing_folder_is_refused_untouched() {
    let (_root, dir) = dataset(&[3], true);
    let error = DatasetWriter::create(&dir, tiny_spec(), &Value::Null).err().unwrap();
    assert!(matches!(error, DatasetError::Exists(_)), "{error}");
    assert_eq!(lines(&dir), "");
}

#[test]
fn an_unfinished_dataset_never_carries_the_name() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    let spec = tiny_spec();
    let mut writer = DatasetWriter::create(&dir, spec.clone(), &Value::Null).unwrap();
    writer.append(encode_episode(&spec, tiny_episode(&spec, 3, 0)).unwrap()).unwrap();
    assert!(!dir.exists());
    drop(writer);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left behind");
    let empty = DatasetWriter::create(&dir, spec, &Value::Null).unwrap();
    assert!(empty.finish(Value::Null).unwrap_err().to_string().contains("needs at least one"));
    assert!(!dir.exists());
}

#[test]
fn truncated_and_missing_files_are_found() {
    for file in [layout::TASKS, layout::EPISODES, SIDE_FILE, layout::ORIGINS, "data/chunk-000/file-000.parquet"] {
        let (_root, dir) = dataset(&[5, 4], true);
        let path = dir.join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        assert!(lines(&dir).contains(&format!("{file}: truncated or damaged parquet")), "{file}: {}", lines(&dir));
    }
    for file in [layout::INFO, layout::STATS, layout::TASKS, SIDE_FILE, layout::PROVENANCE] {
        let (_root, dir) = dataset(&[5, 4], true);
        fs::remove_file(dir.join(file)).unwrap();
        let found = lines(&dir);
        let named = found.contains("No such file") || found.contains("no parquet file in it");
        assert!(found.contains(file.trim_end_matches("/chunk-000/file-000.parquet")) && named, "{file}: {found}");
    }
    let (_root, dir) = dataset(&[5, 4], true);
    fs::remove_dir_all(dir.join("data")).unwrap();
    assert!(lines(&dir).contains("its file data/chunk-000/file-000.parquet is missing"));
}

#[test]
fn wrong_counts_and_absent_statistics_are_found() {
    let (_root, dir) = dataset(&[5, 4], true);
    edit(&dir.join(layout::INFO), |info| {
        info["total_frames"] = json!(10);
        info["total_episodes"] = json!(3);
        info["total_tasks"] = json!(1);
    });
    edit(&dir.join(layout::STATS), |stats| {
        stats["action"]["mean"][2] = json!("much");
        stats["index"].as_object_mut().unwrap().remove("std");
    });
    let found = lines(&dir);
    for line in [
        "2 episodes where 3 are declared",
        "9 frames could be read where 10 are declared",
        "2 tasks where 1 are declared",
        "action/mean holds something that is not a number",
        "index/std is missing",
        "frame 5: task 1 of 1",
        "9 rows where the dataset has 10 frames",
    ] {
        assert!(found.contains(line), "{line} not in\n{found}");
    }
}

#[test]
fn a_damaged_image_is_named_by_frame() {
    let (_root, dir) = dataset(&[5, 4], true);
    let path = dir.join("data/chunk-000/file-000.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(4).enumerate().filter(|(_, window)| window == b"IDAT").nth(7).unwrap().0;
    bytes[at + 12] ^= 0x55;
    fs::write(&path, &bytes).unwrap();
    assert!(lines(&dir).contains("frame 7: observation.images.ego: damaged PNG"), "{}", lines(&dir));
    let error = load_training_set(&[dir], 3, None).unwrap_err().to_string();
    assert!(error.contains("frame 7"), "{error}");
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

/// Every file of a dataset, by its place in it.
fn files(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (std::collections::BTreeMap::new(), vec![dir.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn append(writer: &mut DatasetWriter, seeds: std::ops::Range<u64>) {
    let spec = tiny_spec();
    for seed in seeds {
        writer.append(encode_episode(&spec, tiny_episode(&spec, 2, seed)).unwrap()).unwrap();
        writer.note_progress(json!(seed + 1));
    }
}

#[test]
fn a_killed_writer_is_followed_by_one_that_goes_on_to_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let (whole, killed) = (root.path().join("whole"), root.path().join("killed"));
    let begin = |dir: &Path| DatasetWriter::create(dir, tiny_spec(), &json!({"seed": 0.1})).unwrap();
    let mut writer = begin(&whole);
    append(&mut writer, 0..520);
    writer.finish(json!("done")).unwrap();

    let mut writer = begin(&killed);
    append(&mut writer, 0..510);
    // What is on the disk when the process dies here: complete files of 500 episodes, and pieces of the next.
    let (left, copy) = (layout::unfinished(&killed).unwrap(), root.path().join("copy"));
    for (path, bytes) in files(&left) {
        fs::create_dir_all(copy.join(&path).parent().unwrap()).unwrap();
        fs::write(copy.join(path), bytes).unwrap();
    }
    drop(writer);
    assert!(!left.exists(), "a writer that is dropped in order leaves nothing");
    fs::rename(copy, &left).unwrap();

    let other = DatasetWriter::create(&killed, tiny_spec(), &json!({"seed": 0.2})).err().unwrap().to_string();
    assert!(other.contains("seed is 0.1 there, 0.2 is asked for") && left.exists(), "{other}");
    let mut writer = begin(&killed);
    assert_eq!((writer.episodes(), writer.frames(), writer.progress()), (500, 1000, &json!(500)));
    append(&mut writer, 500..520);
    writer.finish(json!("done")).unwrap();
    assert_eq!(lines(&killed), "");
    assert!(files(&whole) == files(&killed));
    let found = finished(&killed, &tiny_spec(), &json!({"seed": 0.1})).unwrap().unwrap();
    assert_eq!((found.summary.episodes, found.result), (520, json!("done")));
    assert!(finished(&killed, &tiny_spec(), &json!({"seed": 0.3})).is_err());
}

#[test]
fn shifted_frames_wrong_statistics_and_moved_files_are_found() {
    let (_root, dir) = dataset(&[5, 4], true);
    edit(&dir.join(layout::STATS), |stats| stats["action"]["mean"][1] = json!(0.9));
    edit(&dir.join(layout::PROVENANCE), |provenance| provenance["made_from"] = json!("something else"));
    let (data, moved) = (dir.join("data/chunk-000/file-000.parquet"), dir.join("data/chunk-000/file-001.parquet"));
    fs::copy(&data, &moved).unwrap();
    let found = lines(&dir);
    for line in ["no episode lies in it", "config_hash is not the hash", "18 frames could be read"] {
        assert!(found.contains(line), "{line} not in\n{found}");
    }
    fs::remove_file(&moved).unwrap();
    assert!(lines(&dir).contains("action/mean says 0.9000 for number 1"), "{}", lines(&dir));
    let (_other, longer) = dataset(&[5, 6], true);
    fs::copy(longer.join("data/chunk-000/file-000.parquet"), &data).unwrap();
    assert!(lines(&dir).contains("11 rows where its episodes 0 to 1 have 9 frames"), "{}", lines(&dir));
    // Without what pandas needs, task texts become row numbers.
    let tasks = dir.join(layout::TASKS);
    let texts = columns::task_batch(&["put the brick in the box".into()], &tasks).unwrap();
    let plain = arrow_array::RecordBatch::try_from_iter(
        texts.schema().fields().iter().map(|f| f.name().clone()).zip(texts.columns().to_vec()),
    );
    fs::remove_file(&tasks).unwrap();
    let mut file = parquet_file::ParquetFile::create(tasks, plain.as_ref().unwrap().schema(), None).unwrap();
    file.append(&plain.unwrap()).unwrap();
    file.close().unwrap();
    assert!(lines(&dir).contains("pandas metadata is missing"), "{}", lines(&dir));
}

#[test]
fn an_episode_is_shown_with_who_acted() {
    let (_root, dir) = dataset(&[5, 4], true);
    let view = read_episode(&dir, 1, 3).unwrap();
    let expected = tiny_episode(&tiny_spec(), 4, 1);
    assert_eq!(view.states, expected.frames.iter().map(|frame| frame.state.clone()).collect::<Vec<_>>());
    assert_eq!(view.notes[3], (Some(Actor::Expert), "carry".to_owned()));
    assert_eq!((view.task, view.origin), (expected.task, Some(expected.origin)));
    assert_eq!(view.key_frames.iter().map(|(frame, _)| *frame).collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!(view.key_frames[2].1, expected.frames[3].rgb);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    /// Whatever somebody wrote over a file, or cut from it: an error or a defect, never a panic.
    #[test]
    fn damage_never_panics(which in 0_usize..7, at in 0.0_f64..1.0, bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..9), cut: bool) {
        let (_root, dir) = dataset(&[3, 2], true);
        let data = "data/chunk-000/file-000.parquet";
        let names = [layout::INFO, layout::STATS, layout::TASKS, layout::EPISODES, data, SIDE_FILE, layout::ORIGINS];
        let path = dir.join(names[which]);
        let mut content = fs::read(&path).unwrap();
        let place = (at * content.len() as f64) as usize;
        if cut {
            content.truncate(place);
        } else {
            let end = (place + bytes.len()).min(content.len());
            content[place..end].copy_from_slice(&bytes[..end - place]);
        }
        fs::write(&path, content).unwrap();
        let defects = check(&dir).unwrap();
        let _ = (load_training_set(std::slice::from_ref(&dir), 3, None), summary(&dir), origins(&dir), read_episode(&dir, 1, 2));
        proptest::prop_assert!(!cut || !defects.is_empty());
    }
}
