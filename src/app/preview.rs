//! `generate --preview`: what the scenario families look like, before anything is made of them.
//!
//! One scene of each family as a picture, all of them on a sheet, and the expert driving each in a short clip.

use super::cli::say;
use crate::base::{Rng, Seed};
use crate::render::{Card, Clip, Picture, RolloutView, contact_sheet, encode_png, scene_picture};
use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{self, Catalogue, Family, World};
use anyhow::{Context, bail};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Size of a clip: what a phone shows without scaling down.
const CLIP_PX: (usize, usize) = (480, 320);
/// One control step in this many becomes a frame, and the clip shows as many seconds in one.
const STEPS_PER_FRAME: u32 = 4;
const TIME_LAPSE: f32 = 4.0;
/// A clip ends after this much of the scene's time, done or not.
const CLIP_MAX_S: f32 = 90.0;

/// What to show.
#[derive(Debug, Clone, Copy)]
pub struct Preview<'a> {
    /// Where the files go; made when it is not there.
    pub dir: &'a Path,
    /// The families there are.
    pub catalogue: &'a Catalogue,
    /// Families to show; none means all.
    pub families: &'a [String],
    /// Bricks in each scene.
    pub bricks: usize,
    /// Where the scenes come from.
    pub seed: Seed,
    /// Leave out the clips.
    pub stills_only: bool,
}

/// Writes the sheet, a picture of each family, and its clips.
///
/// # Errors
/// When a family is unknown, a scene cannot begin, or a file cannot be written.
pub fn run(preview: &Preview<'_>) -> anyhow::Result<()> {
    let families: Vec<&Family> = match preview.families {
        [] => preview.catalogue.families().iter().collect(),
        names => names.iter().map(|name| preview.catalogue.family(name)).collect::<Result<_, _>>()?,
    };
    std::fs::create_dir_all(preview.dir).with_context(|| format!("{} cannot be made", preview.dir.display()))?;
    let mut worlds = Vec::with_capacity(families.len());
    for family in &families {
        let mut rng: Rng = preview.seed.child(&format!("preview-{}", family.name), 0).rng();
        worlds.push(World::new(&family.sample(preview.bricks, &mut rng)?)?);
    }
    let cards: Vec<Card<'_>> = families
        .iter()
        .zip(&worlds)
        .map(|(family, world)| Card { title: &family.title, purpose: &family.purpose, state: world.state() })
        .collect();
    for (family, card) in families.iter().zip(&cards) {
        write_png(&preview.dir.join(format!("{}.png", family.name)), &scene_picture(card.state))?;
    }
    let note =
        format!("{} bricks per scene · seed {} · left the cab's view, right the arena", preview.bricks, preview.seed.0);
    let sheet = contact_sheet("Ralphton's scenario families", &note, &cards)?;
    let path = preview.dir.join("contact-sheet.png");
    write_png(&path, &sheet)?;
    say(&format!("{}: {} families", path.display(), families.len()));
    if preview.stills_only {
        return Ok(());
    }
    let mut ffmpeg = Ffmpeg::Untried;
    for (family, world) in families.iter().zip(worlds) {
        let (clip, ending) = film(&family.title, world)?;
        let gif = clip.to_gif()?;
        let path = preview.dir.join(format!("{}.gif", family.name));
        std::fs::write(&path, &gif).with_context(|| format!("{} cannot be written", path.display()))?;
        say(&format!("{}: {:.2} MB, {ending}", path.display(), gif.len() as f64 / 1e6));
        ffmpeg.write(&clip, &path.with_extension("mp4"))?;
    }
    Ok(())
}

fn write_png(path: &Path, picture: &Picture) -> anyhow::Result<()> {
    let png = encode_png(&picture.rgb, picture.width, picture.height)?;
    std::fs::write(path, png).with_context(|| format!("{} cannot be written", path.display()))
}

/// The expert drives a scene to its end.
fn film(title: &str, mut world: World) -> anyhow::Result<(Clip, String)> {
    let mut view = RolloutView::new(CLIP_PX.0, CLIP_PX.1);
    let (width, height) = view.size();
    let mut clip = Clip::new(width, height, TIME_LAPSE / (CONTROL_STEP_S * STEPS_PER_FRAME as f32));
    let mut frame = vec![0; view.frame_len()];
    let most = (CLIP_MAX_S / CONTROL_STEP_S) as u32;
    loop {
        let state = world.state();
        let (all, seconds) = (state.bricks.len(), state.step as f32 * CONTROL_STEP_S);
        let delivered = all - state.remaining();
        let over = world.is_done() || state.step >= most;
        if over || state.step.is_multiple_of(STEPS_PER_FRAME) {
            let caption = format!("{title} · {seconds:.0} s · {delivered}/{all} in the box");
            view.draw(state, Some(&caption), &mut frame)?;
            clip.push(&frame)?;
        }
        if over {
            return Ok((clip, format!("{delivered} of {all} bricks in the box after {seconds:.0} s")));
        }
        world.step(sim::expert(world.state()));
    }
}

/// The program that makes MP4 files, as far as it is known whether it is there.
enum Ffmpeg {
    Untried,
    Missing,
}

impl Ffmpeg {
    /// Writes the clip as MP4; says once when there is no `ffmpeg`.
    fn write(&mut self, clip: &Clip, path: &Path) -> anyhow::Result<()> {
        if matches!(self, Ffmpeg::Missing) {
            return Ok(());
        }
        let (width, height, frame_s) = clip.format();
        let size = format!("{width}x{height}");
        let rate = format!("{:.3}", 1.0 / frame_s);
        let spawned = Command::new("ffmpeg")
            .args([
                "-y",
                "-loglevel",
                "error",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "rgb24",
                "-s",
                &size,
                "-r",
                &rate,
                "-i",
                "-",
            ])
            .args(["-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                *self = Ffmpeg::Missing;
                say("no MP4 files: ffmpeg is not installed; GIF files only");
                return Ok(());
            }
            Err(error) => return Err(error).context("ffmpeg cannot be started"),
        };
        let written = child.stdin.take().map_or(Ok(()), |mut pipe| clip.frames().try_for_each(|f| pipe.write_all(&f)));
        let status = child.wait().context("ffmpeg cannot be waited for")?;
        if !status.success() {
            bail!("ffmpeg could not write {} ({status}); its reason stands above", path.display());
        }
        written.with_context(|| format!("{} cannot be written", path.display()))?;
        say(&format!("{}", path.display()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handbook_of_scenarios_shows_every_family_as_it_is() {
        let handbook = include_str!("../../docs/scenarios.md");
        for family in sim::families() {
            let picture = format!("img/scenarios/{}.png", family.name);
            for part in [&family.title, &family.purpose, &picture] {
                assert!(handbook.contains(part.as_str()), "docs/scenarios.md lacks {part:?}");
            }
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(&picture).exists(), "{picture}");
        }
        for line in include_str!("../sim/scenarios.toml").lines().filter(|line| line.contains("place =")) {
            assert!(handbook.contains(line), "docs/scenarios.md lacks the ranges {line:?}");
        }
    }

    #[test]
    fn stills_of_a_family_are_written_and_an_unknown_family_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["pocket".to_owned()];
        let catalogue = Catalogue::default();
        let (catalogue, dir) = (&catalogue, dir.path());
        let preview = Preview { dir, catalogue, families: &names, bricks: 1, seed: Seed(1), stills_only: true };
        run(&preview).unwrap();
        for file in ["contact-sheet.png", "pocket.png"] {
            assert!(dir.join(file).exists(), "{file}");
        }
        let names = ["poket".to_owned()];
        assert!(run(&Preview { families: &names, ..preview }).unwrap_err().to_string().contains("pocket"));
    }
}
