//! The shape of a dataset: what `meta/info.json` declares and every column follows.
//!
//! Feature order is column order: the three features of ours first, then LeRobot's five defaults.

use super::DatasetError;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Numbers in an action: steering, throttle, bucket, lift.
pub const ACTION_DIM: usize = 4;
/// LeRobot's format version that is written here.
pub(super) const CODEBASE_VERSION: &str = "v3.0";
/// Feature of the state vector.
pub(super) const STATE: &str = "observation.state";
/// Feature of the executed action.
pub(super) const ACTION: &str = "action";
/// The scalar features LeRobot adds to every dataset, in its order; the first is float32, the others int64.
pub(super) const DEFAULTS: [&str; 5] = ["timestamp", "frame_index", "episode_index", "index", "task_index"];
/// Sides an image may have.
const SIDES_PX: std::ops::RangeInclusive<usize> = 1..=4096;
/// Data files of one chunk folder.
pub(super) const FILES_PER_CHUNK: usize = 1000;
/// A new data file begins when this many megabytes are reached.
pub(super) const DATA_FILE_MB: u64 = 100;

/// A new video file begins when this many megabytes are reached.
pub(super) const VIDEO_FILE_MB: u64 = 200;

/// What every frame of a dataset looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSpec {
    /// Frames per second.
    pub fps: u32,
    /// The robot's name, as LeRobot shows it.
    pub robot_type: String,
    /// Feature key of the camera, `observation.images.<name>`.
    pub camera: String,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Names of the state numbers, in order; units belong in the names.
    pub state_names: Vec<String>,
    /// Names of the action numbers, in order.
    pub action_names: Vec<String>,
    /// Actions in an expert label chunk of the side table.
    pub chunk: usize,
}

impl DatasetSpec {
    /// Numbers in a label chunk, `T·A`.
    pub fn label_len(&self) -> usize {
        self.chunk * ACTION_DIM
    }

    /// Bytes of one RGB image, `H·W·3`.
    pub fn image_len(&self) -> usize {
        self.height * self.width * 3
    }

    /// Refuses shapes that LeRobot could not open or that training could not use.
    ///
    /// # Errors
    /// [`DatasetError::Spec`] naming the first field that is wrong.
    pub fn validate(&self) -> Result<(), DatasetError> {
        let refuse = |why: String| Err(DatasetError::Spec(why));
        if self.fps == 0 {
            return refuse("fps must be at least 1".into());
        }
        let camera_ok = self.camera.strip_prefix("observation.images.").is_some_and(|name| !name.is_empty());
        if !camera_ok || self.camera.contains('/') {
            return refuse(format!("camera {:?} must be \"observation.images.<name>\" without a slash", self.camera));
        }
        if !SIDES_PX.contains(&self.height) || !SIDES_PX.contains(&self.width) {
            return refuse(format!("images of {}×{} pixels; each side must be 1 to 4096", self.width, self.height));
        }
        if self.state_names.len() < 2 {
            return refuse("a state needs at least 2 numbers: LeRobot stores a single one in another form".into());
        }
        if self.action_names.len() != ACTION_DIM {
            return refuse(format!("{} action names; an action has {ACTION_DIM} numbers", self.action_names.len()));
        }
        if !(1..=255).contains(&self.chunk) {
            return refuse(format!("label chunks of {} actions; 1 to 255 are possible", self.chunk));
        }
        Ok(())
    }

    pub(super) fn features(&self) -> Features {
        let names = |names: &[String]| Some(serde_json::json!(names));
        let mut features = vec![
            (
                self.camera.clone(),
                Feature {
                    dtype: "image".into(),
                    shape: vec![self.height, self.width, 3],
                    names: Some(serde_json::json!(["height", "width", "channels"])),
                    info: None,
                },
            ),
            (STATE.into(), Feature::vector(self.state_names.len(), names(&self.state_names))),
            (ACTION.into(), Feature::vector(ACTION_DIM, names(&self.action_names))),
        ];
        features.extend(DEFAULTS.iter().enumerate().map(|(index, key)| {
            let dtype = if index == 0 { "float32" } else { "int64" };
            ((*key).to_owned(), Feature { dtype: dtype.into(), shape: vec![1], names: None, info: None })
        }));
        Features(features)
    }
}

/// One entry of `features` in `meta/info.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Feature {
    pub dtype: String,
    pub shape: Vec<usize>,
    /// A list of names, or something else in datasets from elsewhere.
    #[serde(default)]
    pub names: Option<serde_json::Value>,
    /// Of a video: how it is encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<serde_json::Value>,
}

impl Feature {
    fn vector(len: usize, names: Option<serde_json::Value>) -> Self {
        Self { dtype: "float32".into(), shape: vec![len], names, info: None }
    }

    pub fn is_image(&self) -> bool {
        self.dtype == "image" || self.dtype == "video"
    }

    /// Height and width of an image; nothing when it has no three channels or a side that no camera has.
    pub fn image_size(&self) -> Option<(usize, usize)> {
        match *self.shape.as_slice() {
            [height, width, 3] if SIDES_PX.contains(&height) && SIDES_PX.contains(&width) => Some((height, width)),
            _ => None,
        }
    }

    /// Numbers a row has of this feature; an image counts by its channels, as its statistics do.
    pub fn channels(&self) -> usize {
        if self.is_image() {
            self.shape.last().copied().unwrap_or(0)
        } else {
            self.shape.iter().copied().fold(1, usize::saturating_mul)
        }
    }
}

/// The features, written and read in their own order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Features(pub Vec<(String, Feature)>);

impl Features {
    pub fn get(&self, key: &str) -> Option<&Feature> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, feature)| feature)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, feature)| (key, feature)))
    }
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Features;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("features by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Features, A::Error> {
                let mut features = Features::default();
                while let Some(entry) = map.next_entry()? {
                    features.0.push(entry);
                }
                Ok(features)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// `meta/info.json`. What a dataset from elsewhere may leave out has a default; other keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Info {
    pub codebase_version: String,
    #[serde(default)]
    pub robot_type: Option<String>,
    pub total_episodes: usize,
    pub total_frames: usize,
    #[serde(default)]
    pub total_tasks: usize,
    #[serde(default)]
    pub chunks_size: usize,
    #[serde(default)]
    pub data_files_size_in_mb: u64,
    #[serde(default)]
    pub video_files_size_in_mb: u64,
    pub fps: u32,
    #[serde(default)]
    pub splits: BTreeMap<String, String>,
    #[serde(default)]
    pub data_path: String,
    #[serde(default)]
    pub video_path: Option<String>,
    pub features: Features,
}

impl Info {
    pub fn new(spec: &DatasetSpec, episodes: usize, frames: usize, tasks: usize) -> Self {
        Self {
            codebase_version: CODEBASE_VERSION.into(),
            robot_type: Some(spec.robot_type.clone()),
            total_episodes: episodes,
            total_frames: frames,
            total_tasks: tasks,
            chunks_size: FILES_PER_CHUNK,
            data_files_size_in_mb: DATA_FILE_MB,
            video_files_size_in_mb: VIDEO_FILE_MB,
            fps: spec.fps,
            splits: BTreeMap::from([("train".into(), format!("0:{episodes}"))]),
            data_path: "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet".into(),
            video_path: None,
            features: spec.features(),
        }
    }
}

#[cfg(test)]
pub(super) fn tiny_spec() -> DatasetSpec {
    DatasetSpec {
        fps: 10,
        robot_type: "wheel_loader".into(),
        camera: "observation.images.ego".into(),
        height: 6,
        width: 8,
        state_names: ["x_m", "z_m", "heading_rad"].map(String::from).to_vec(),
        action_names: ["steering", "throttle", "bucket", "lift"].map(String::from).to_vec(),
        chunk: 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_written_in_column_order() {
        let text = serde_json::to_string(&Info::new(&tiny_spec(), 1, 2, 1)).unwrap();
        let at = |key: &str| text.find(&format!("\"{key}\":{{")).unwrap();
        assert!(at("observation.images.ego") < at(STATE) && at(STATE) < at(ACTION) && at(ACTION) < at("timestamp"));
        assert!(at("timestamp") < at("frame_index") && at("index") < at("task_index"));
    }

    #[test]
    fn impossible_shapes_are_refused_by_name() {
        let bad = DatasetSpec { camera: "observation.images.a/b".into(), ..tiny_spec() };
        assert!(bad.validate().unwrap_err().to_string().contains("without a slash"));
        let bad = DatasetSpec { chunk: 256, ..tiny_spec() };
        assert!(bad.validate().unwrap_err().to_string().contains("256 actions"));
        tiny_spec().validate().unwrap();
    }
}
