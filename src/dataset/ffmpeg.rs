//! The ffmpeg program as a source and a sink of frames. Video is for exchange and for people; training reads lossless
//! images. So the codecs are not linked in: whoever wants video has ffmpeg, or is told how to get it.

use super::DatasetError;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

/// Of what ffmpeg complains about, this much is kept.
const MAX_COMPLAINT_BYTES: u64 = 4096;
/// Longest line of a picture's header.
const MAX_HEADER_BYTES: u64 = 64;

/// How frames become video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// H.264 with full colour resolution (yuv444p): small bricks keep their colour.
    #[default]
    H264,
    /// AV1 with half colour resolution (yuv420p), LeRobot's own default: small bricks lose colour.
    Av1,
}

impl Codec {
    /// The name in `meta/info.json`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::H264 => "h264",
            Codec::Av1 => "av1",
        }
    }

    /// The pixel format.
    pub fn pixel_format(self) -> &'static str {
        match self {
            Codec::H264 => "yuv444p",
            Codec::Av1 => "yuv420p",
        }
    }

    /// ffmpeg's encoder with its quality.
    fn encoder(self) -> &'static [&'static str] {
        match self {
            Codec::H264 => &["libx264", "-preset", "veryfast", "-crf", "18", "-bf", "0"],
            Codec::Av1 => &["libsvtav1", "-preset", "8", "-crf", "30"],
        }
    }

    /// Refuses sizes that the pixel format cannot hold.
    ///
    /// # Errors
    /// [`DatasetError::Spec`] with the way out.
    pub fn check_size(self, width: usize, height: usize) -> Result<(), DatasetError> {
        if self == Codec::Av1 && !(width.is_multiple_of(2) && height.is_multiple_of(2)) {
            return Err(DatasetError::Spec(format!(
                "{width}×{height} pixels as {}: both sides must be even; use h264, or make images of even sides",
                self.name()
            )));
        }
        Ok(())
    }
}

/// Whether ffmpeg can be started.
pub fn ffmpeg_is_there() -> bool {
    let mut version = Command::new("ffmpeg");
    version.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn start(mut command: Command, file: &Path) -> Result<(Child, JoinHandle<String>), DatasetError> {
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            DatasetError::NoFfmpeg(file.to_path_buf())
        } else {
            DatasetError::io("start ffmpeg for", file, 0, error)
        }
    })?;
    let stderr = child.stderr.take();
    // Read on the side, so that a long complaint never blocks ffmpeg.
    let complaint = thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            let kept = stderr.by_ref().take(MAX_COMPLAINT_BYTES).read_to_end(&mut text);
            let _ = kept.and_then(|_| std::io::copy(&mut stderr, &mut std::io::sink()).map(|_| 0));
        }
        String::from_utf8_lossy(&text).trim().lines().last().unwrap_or_default().to_owned()
    });
    Ok((child, complaint))
}

/// The frames of a video file, one after another.
pub(super) struct FrameSource {
    path: PathBuf,
    size: (usize, usize),
    child: Child,
    pictures: BufReader<ChildStdout>,
    complaint: Option<JoinHandle<String>>,
}

impl FrameSource {
    /// Opens `path`, whose frames must have `(width, height)` pixels, at `from_s`.
    ///
    /// # Errors
    /// [`DatasetError::NoFfmpeg`], or what the system says.
    pub fn open(path: &Path, size: (usize, usize), from_s: f64) -> Result<Self, DatasetError> {
        if !path.is_file() {
            return Err(DatasetError::malformed(path, "no such video file"));
        }
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error"]);
        if from_s > 0.0 {
            command.arg("-ss").arg(format!("{from_s:.6}"));
        }
        // Only a local file in the mp4 container: a playlist in disguise is not followed.
        command.args(["-protocol_whitelist", "file,pipe", "-f", "mp4", "-i"]).arg(path);
        command.args(["-map", "0:v:0", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let (mut child, complaint) = start(command, path)?;
        let Some(stdout) = child.stdout.take() else {
            return Err(DatasetError::malformed(path, "ffmpeg has no output"));
        };
        let pictures = BufReader::with_capacity(1 << 18, stdout);
        Ok(Self { path: path.to_path_buf(), size, child, pictures, complaint: Some(complaint) })
    }

    /// Reads the next frame into `rgb` (`H·W·3` bytes); false at the end of the video.
    ///
    /// # Errors
    /// The video is damaged or has another size.
    pub fn read(&mut self, rgb: &mut [u8]) -> Result<bool, DatasetError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |error| DatasetError::io("read frames of", &path, 0, error)
        };
        let mut header = Vec::new();
        for _ in 0..3 {
            let before = header.len();
            let mut line = (&mut self.pictures).take(MAX_HEADER_BYTES);
            line.read_until(b'\n', &mut header).map_err(failed(&self.path))?;
            if header.len() == before {
                return if before == 0 { self.end().map(|()| false) } else { Err(self.cut_off()) };
            }
        }
        let header = String::from_utf8_lossy(&header);
        let mut words = header.split_ascii_whitespace();
        let (kind, width, height, levels) = (words.next(), words.next(), words.next(), words.next());
        let size = (width.and_then(|w| w.parse().ok()), height.and_then(|h| h.parse().ok()));
        if (kind, levels) != (Some("P6"), Some("255")) {
            return Err(DatasetError::malformed(&self.path, "ffmpeg did not answer with pictures"));
        }
        if size != (Some(self.size.0), Some(self.size.1)) {
            let found = (width.unwrap_or_default(), height.unwrap_or_default());
            let problem =
                format!("frames of {}×{} pixels where {}×{} are declared", found.0, found.1, self.size.0, self.size.1);
            return Err(DatasetError::malformed(&self.path, problem));
        }
        match self.pictures.read_exact(rgb) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(self.cut_off()),
            Err(error) => Err(failed(&self.path)(error)),
        }
    }

    fn cut_off(&self) -> DatasetError {
        DatasetError::malformed(&self.path, "ffmpeg stopped in the middle of a frame")
    }

    fn end(&mut self) -> Result<(), DatasetError> {
        let status = self.child.wait().map_err(|error| DatasetError::io("wait for ffmpeg on", &self.path, 0, error))?;
        let complaint = self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() && complaint.is_empty() {
            return Ok(());
        }
        Err(DatasetError::malformed(&self.path, format!("damaged video: {}", said(&complaint))))
    }
}

impl Drop for FrameSource {
    fn drop(&mut self) {
        // Ended already, or no longer wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A video file being written.
pub(super) struct FrameSink {
    path: PathBuf,
    child: Child,
    frames: Option<ChildStdin>,
    complaint: Option<JoinHandle<String>>,
}

impl FrameSink {
    /// Begins a video of `(width, height)` pixels.
    ///
    /// # Errors
    /// [`DatasetError::NoFfmpeg`], or what the system says.
    pub fn create(path: &Path, size: (usize, usize), fps: u32, codec: Codec) -> Result<Self, DatasetError> {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-n", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
        command.arg("-s").arg(format!("{}x{}", size.0, size.1)).arg("-framerate").arg(fps.to_string());
        command.args(["-i", "-", "-an", "-c:v"]).args(codec.encoder());
        // A key frame every other frame, as LeRobot has it: any frame is found quickly.
        command.args(["-pix_fmt", codec.pixel_format(), "-g", "2", "-f", "mp4"]).arg(path);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let (mut child, complaint) = start(command, path)?;
        let frames = child.stdin.take();
        Ok(Self { path: path.to_path_buf(), child, frames, complaint: Some(complaint) })
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// ffmpeg gave up; the message says why.
    pub fn write(&mut self, rgb: &[u8]) -> Result<(), DatasetError> {
        let written = self.frames.as_mut().map_or(Ok(()), |frames| frames.write_all(rgb));
        match written {
            Ok(()) => Ok(()),
            Err(_) => self.end(),
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> Result<(), DatasetError> {
        self.end()?;
        let synced = std::fs::File::open(&self.path).and_then(|file| file.sync_all());
        synced.map_err(|error| DatasetError::io("sync", &self.path, 0, error))
    }

    fn end(&mut self) -> Result<(), DatasetError> {
        drop(self.frames.take());
        let status = self.child.wait().map_err(|error| DatasetError::io("wait for ffmpeg on", &self.path, 0, error))?;
        let complaint = self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(DatasetError::malformed(&self.path, format!("ffmpeg could not encode it: {}", said(&complaint))))
    }
}

impl Drop for FrameSink {
    fn drop(&mut self) {
        drop(self.frames.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(complaint: &str) -> &str {
    if complaint.is_empty() { "it gave no reason" } else { complaint }
}
