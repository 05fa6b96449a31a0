//! Datasets that LeRobot 0.6.1 wrote, read back: 2 episodes of 30 and 24 frames, as images and as video.

use super::*;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn close(found: &[f32], expected: [f32; 4]) -> bool {
    found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn its_images_and_numbers_are_read_equal() {
    let dir = fixture("lerobot_image");
    assert_eq!(check(&dir).unwrap(), vec![]);
    let set = load_training_set(std::slice::from_ref(&dir), 20, None).unwrap();
    assert_eq!((set.len(), set.width, set.height, set.state_dim), (54, 96, 72, 4));
    // Every byte of every image, as Pillow decodes them, in one weighted sum.
    let weighted =
        |image: &[u8]| image.iter().zip(0_u64..).map(|(&level, at)| u64::from(level) * (1 + at % 7)).sum::<u64>();
    assert_eq!((0..54).map(|sample| weighted(set.image(sample))).sum::<u64>(), 465_815_409);
    assert!(close(set.state(3), [0.9035, 0.0940, -0.7435, -0.9217]), "{:?}", set.state(3));
    assert_eq!(set.valid[29], 1, "the first episode ends with frame 29");
    let view = read_episode(&dir, 1, 5).unwrap();
    assert_eq!((view.states.len(), view.key_frames.len(), view.task.as_str()), (24, 5, "pull the block"));
    assert_eq!(view.key_frames[4].1, set.image(53));
    assert!(read_episode(&dir, 2, 5).unwrap_err().to_string().contains("episodes 0 to 1"));
}

#[test]
fn its_video_is_read_frame_by_frame() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = fixture("lerobot_video");
    assert_eq!(check(&dir).unwrap(), vec![]);
    let set = load_training_set(std::slice::from_ref(&dir), 20, None).unwrap();
    let images = load_training_set(&[fixture("lerobot_image")], 20, None).unwrap();
    assert_eq!((set.len(), set.states), (54, images.states.clone()));
    for sample in 0..54 {
        let pairs = || set.images[sample * set_len()..(sample + 1) * set_len()].iter().zip(images.image(sample));
        let off = pairs().map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / set_len() as f64;
        assert!(off < 12.0, "frame {sample} is off by {off} levels on average");
    }
    let view = read_episode(&dir, 1, 3).unwrap();
    assert_eq!(view.key_frames[0].1, set.images[30 * set_len()..31 * set_len()]);
    let few = load_training_set(&[dir], 20, Some(6)).unwrap();
    assert_eq!(few.image(5), &set.images[53 * set_len()..]);
}

fn set_len() -> usize {
    96 * 72 * 3
}

#[test]
fn an_export_to_video_is_a_dataset_that_is_found_again() {
    if !ffmpeg_is_there() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("video");
    let export = |codec| export_video(&fixture("lerobot_image"), &to, codec, &mut |_| ());
    let summary = export(Codec::H264).unwrap();
    assert_eq!((summary.episodes, summary.frames), (2, 54));
    assert_eq!(check(&to).unwrap(), vec![]);
    let (video, images) = (
        load_training_set(std::slice::from_ref(&to), 4, None),
        load_training_set(&[fixture("lerobot_image")], 4, None),
    );
    let (video, images) = (video.unwrap(), images.unwrap());
    assert_eq!(video.chunks, images.chunks);
    let off = video.images.iter().zip(&images.images).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
    assert!(off / (video.images.len() as f64) < 3.0, "{}", off / video.images.len() as f64);
    assert_eq!(export(Codec::H264).unwrap(), summary);
    assert!(export(Codec::Av1).unwrap_err().to_string().contains("codec is \"h264\" there"));
    std::fs::write(to.join("videos/observation.images.ego/chunk-000/file-000.mp4"), b"cut").unwrap();
    assert!(check(&to).unwrap().iter().any(|defect| defect.problem.contains("damaged video")));
}
