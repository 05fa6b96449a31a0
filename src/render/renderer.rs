//! From a state of the world to a picture: background, shadows, walls, objects, bytes.

use super::camera::{Camera, View};
use super::canvas::Canvas;
use super::ground::Ground;
use super::solids::Painter;
use super::{background, loader, scene};
use crate::sim::{BrickState, BrickStatus, WorldState};

/// Draws states of the world as one camera sees them. Keeps its buffers; draws on the calling thread only; the same
/// state gives the same bytes.
#[derive(Debug, Clone)]
pub struct Renderer {
    camera: Camera,
    ground: Ground,
    canvas: Canvas,
}

impl Renderer {
    /// Sets up the buffers for this camera.
    pub fn new(camera: Camera) -> Self {
        let canvas = Canvas::new(camera.width_px, camera.height_px, camera.samples);
        Self { camera, ground: Ground::new(&camera), canvas }
    }

    /// `(width, height)` in pixels.
    pub fn size(&self) -> (usize, usize) {
        self.camera.size()
    }

    /// How many bytes a picture has: height · width · 3.
    pub fn frame_len(&self) -> usize {
        self.camera.width_px * self.camera.height_px * 3
    }

    /// Draws `state` into `rgb`: rows from the top, three bytes per pixel.
    ///
    /// # Panics
    ///
    /// When `rgb` is not [`frame_len`](Self::frame_len) bytes long.
    pub fn render(&mut self, state: &WorldState, rgb: &mut [u8]) {
        assert_eq!(rgb.len(), self.frame_len(), "a frame of {:?} pixels needs 3 bytes each", self.size());
        let view = View::new(&self.camera, &state.loader);
        let Self { camera, ground, canvas, .. } = self;
        canvas.clear();
        let wide = canvas.wide;
        wide.run(
            #[inline(always)]
            || {
                ground.turn_to(&view);
                background::paint_sky(canvas, &view, ground);
                background::paint_floor(canvas, ground);
            },
        );
        let hides_bucket = camera.hides_bucket;
        paint_shadows(canvas, &view, ground, state, hides_bucket);
        background::paint_walls(canvas, &view);

        let mut painter = Painter { canvas, view: &view };
        scene::draw_box(&mut painter);
        for brick in shown_bricks(state, &view, hides_bucket) {
            scene::draw_brick(&mut painter, brick);
        }
        if !hides_bucket {
            loader::draw_front(&mut painter, &state.loader);
        }
        if !view.in_cab {
            scene::draw_wall_tops(&mut painter);
            loader::draw_body(&mut painter, &state.loader);
        }
        wide.run(
            #[inline(always)]
            || {
                canvas.resolve();
                canvas.write_rgb(rgb);
            },
        );
    }
}

/// The bricks to draw: a load is hidden with its bucket.
fn shown_bricks<'a>(state: &'a WorldState, view: &'a View, hides_bucket: bool) -> impl Iterator<Item = &'a BrickState> {
    let hidden = move |brick: &BrickState| hides_bucket && brick.status == BrickStatus::Held;
    state.bricks.iter().filter(move |brick| !hidden(brick) && scene::is_drawable(brick, view))
}

fn paint_shadows(canvas: &mut Canvas, view: &View, ground: &Ground, state: &WorldState, hides_bucket: bool) {
    for shadow in scene::wall_shadows().iter().chain(&scene::box_shadows()) {
        shadow.paint(canvas, view, ground);
    }
    scene::paint_box_floor(canvas, view);
    if !hides_bucket {
        loader::bucket_shadow(&state.loader).paint(canvas, view, ground);
    }
    if !view.in_cab {
        for shadow in &loader::body_shadows(&state.loader, scene::sun_shift) {
            shadow.paint(canvas, view, ground);
        }
    }
    for brick in shown_bricks(state, view, hides_bucket) {
        let [thrown, close] = scene::brick_shadows(brick);
        // Inside the box there is no sun.
        if brick.status != BrickStatus::Delivered {
            thrown.paint(canvas, view, ground);
        }
        close.paint(canvas, view, ground);
    }
}

#[cfg(test)]
mod tests {
    use super::super::wide::Wide;
    use super::*;
    use crate::sim::LoaderState;

    const SIZE: (usize, usize) = (96, 72);

    fn brick_at(x_m: f32, z_m: f32) -> BrickState {
        BrickState {
            position_m: [x_m, 0.15, z_m],
            rotation: [0.0, 0.0, 0.0, 1.0],
            half_extents_m: [0.15; 3],
            colour: 0,
            status: BrickStatus::Free,
        }
    }

    fn cab_picture(state: &WorldState) -> Vec<u8> {
        let mut renderer = Renderer::new(Camera::cab(SIZE.0, SIZE.1));
        let mut rgb = vec![0; renderer.frame_len()];
        renderer.render(state, &mut rgb);
        rgb
    }

    fn pixels_that_differ(a: &[u8], b: &[u8], by: u8) -> usize {
        let far = |(p, q): (&[u8], &[u8])| p.iter().zip(q).any(|(x, y)| x.abs_diff(*y) >= by);
        a.chunks_exact(3).zip(b.chunks_exact(3)).filter(|&pair| far(pair)).count()
    }

    fn with_loader(loader: LoaderState) -> WorldState {
        WorldState { loader, ..WorldState::default() }
    }

    #[test]
    fn the_same_state_gives_the_same_bytes_whatever_was_drawn_before() {
        let state = WorldState { bricks: vec![brick_at(3.0, 0.5), brick_at(-6.0, -6.0)], ..WorldState::default() };
        let other = with_loader(LoaderState { heading_rad: 2.0, lift_m: 1.0, ..LoaderState::default() });
        for camera in [Camera::cab(SIZE.0, SIZE.1), Camera::spectator(120, 80)] {
            let mut used = Renderer::new(camera);
            let mut fresh = Renderer::new(camera);
            let (mut a, mut b) = (vec![0; used.frame_len()], vec![0; used.frame_len()]);
            used.render(&other, &mut a);
            used.render(&state, &mut a);
            fresh.render(&state, &mut b);
            assert_eq!(a, b);
        }
    }

    #[test]
    fn the_bytes_are_the_same_with_and_without_wide_instructions() {
        for (i, camera) in
            [Camera::cab(96, 72), Camera::cab(101, 67), Camera::spectator(150, 100)].into_iter().enumerate()
        {
            let (mut wide, mut plain) = (Renderer::new(camera), Renderer::new(camera));
            plain.canvas.wide = Wide::plain();
            let (mut a, mut b) = (vec![0; wide.frame_len()], vec![0; wide.frame_len()]);
            for turn in 0..12 {
                let angle = 0.6 * turn as f32 + i as f32;
                let lift_m = 0.1 * turn as f32;
                let loader = LoaderState {
                    x_m: 5.0 * angle.sin(),
                    z_m: 2.0,
                    heading_rad: angle,
                    lift_m,
                    tilt: angle.cos(),
                    ..LoaderState::default()
                };
                let bricks = vec![brick_at(3.0, 0.5), brick_at(-5.0, angle)];
                let state = WorldState { loader, bricks, ..WorldState::default() };
                wide.render(&state, &mut a);
                plain.render(&state, &mut b);
                assert_eq!(a, b);
            }
        }
    }

    #[test]
    fn without_its_bucket_the_camera_does_not_tell_lift_tilt_or_load() {
        let with = |lift_m: f32, tilt: f32, status| {
            let brick = BrickState { position_m: [1.6, 0.15 + lift_m, 0.0], status, ..brick_at(0.0, 0.0) };
            let loader = LoaderState { lift_m, tilt, ..LoaderState::default() };
            WorldState { bricks: vec![brick], ..with_loader(loader) }
        };
        let (empty, loaded) = (with_loader(LoaderState::default()), with(1.1, 0.9, BrickStatus::Held));
        let mut blind = Renderer::new(Camera::cab(SIZE.0, SIZE.1).without_bucket());
        let (mut a, mut b) = (vec![0; blind.frame_len()], vec![0; blind.frame_len()]);
        blind.render(&empty, &mut a);
        blind.render(&loaded, &mut b);
        assert_eq!(a, b);
        assert!(pixels_that_differ(&cab_picture(&empty), &cab_picture(&loaded), 24) > 300);
        blind.render(&with(0.0, 0.0, BrickStatus::Free), &mut b);
        assert_ne!(a, b, "a brick on the floor is no load");
    }

    #[test]
    fn a_brick_of_30_cm_leaves_a_trace_at_10_m() {
        let loader = LoaderState { x_m: -6.0, ..LoaderState::default() };
        let empty = with_loader(loader);
        // Wherever it falls between the samples.
        for offset in 0..20 {
            let bricks = vec![brick_at(-5.7 + 10.0, -1.0 + 0.1 * offset as f32)];
            let seen = WorldState { bricks, ..empty.clone() };
            let pixels = pixels_that_differ(&cab_picture(&empty), &cab_picture(&seen), 24);
            assert!(pixels >= 1, "offset {offset}: {pixels} pixels");
        }
    }

    #[test]
    fn the_bucket_is_seen_low_and_high_and_its_tilt_too() {
        let picture =
            |lift_m: f32, tilt: f32| cab_picture(&with_loader(LoaderState { lift_m, tilt, ..LoaderState::default() }));
        let low = picture(0.0, 0.0);
        let lip_row = &low[58 * 96 * 3..66 * 96 * 3];
        let steel = lip_row.chunks_exact(3).filter(|p| p[0] < 130 && p[0].abs_diff(p[2]) < 24).count();
        assert!(steel >= 40, "lowered bucket: {steel} dark pixels where its floor is");
        for (lift_m, tilt) in [(0.0, 1.0), (0.4, 0.0), (1.2, 0.0), (1.2, 1.0), (1.2, -1.0)] {
            let pixels = pixels_that_differ(&low, &picture(lift_m, tilt), 30);
            assert!(pixels > 100, "lift {lift_m} m, tilt {tilt}: {pixels} pixels");
        }
        let pixels = pixels_that_differ(&picture(1.2, 0.0), &picture(1.2, -1.0), 30);
        assert!(pixels > 100, "tipping out when raised: {pixels} pixels");
    }

    #[test]
    fn a_held_brick_is_seen_in_the_bucket() {
        let empty = with_loader(LoaderState { lift_m: 0.8, tilt: 0.6, ..LoaderState::default() });
        let mut held = brick_at(1.4, 0.0);
        held.position_m[1] = 1.1;
        held.status = BrickStatus::Held;
        let loaded = WorldState { bricks: vec![held], ..empty.clone() };
        assert!(pixels_that_differ(&cab_picture(&empty), &cab_picture(&loaded), 60) > 30);
    }

    #[test]
    fn headings_and_places_can_be_told_apart() {
        let at =
            |x_m, heading_rad| cab_picture(&with_loader(LoaderState { x_m, heading_rad, ..LoaderState::default() }));
        let quarter = std::f32::consts::FRAC_PI_2;
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let pixels = pixels_that_differ(&at(0.0, a as f32 * quarter), &at(0.0, b as f32 * quarter), 12);
            assert!(pixels > 400, "{a} and {b} quarter turns: {pixels} pixels");
        }
        assert!(pixels_that_differ(&at(0.0, 0.0), &at(0.3, 0.0), 6) > 400);
    }

    #[test]
    fn every_place_of_loader_and_brick_can_be_drawn() {
        let (mut cab, mut above) = (Renderer::new(Camera::cab(64, 48)), Renderer::new(Camera::spectator(60, 40)));
        let (mut seen, mut watched) = (vec![0; cab.frame_len()], vec![0; above.frame_len()]);
        for i in 0..3000_u32 {
            let part = |k: u32| (i.wrapping_mul(k) % 1009) as f32 / 504.5 - 1.0;
            let (x_m, z_m, heading_rad) = (9.0 * part(613), 9.0 * part(271), 3.2 * part(97));
            let loader = LoaderState {
                x_m,
                z_m,
                heading_rad,
                lift_m: 1.3 * part(31).abs(),
                tilt: part(53),
                ..LoaderState::default()
            };
            // From under the eye to far behind it.
            let bricks =
                vec![brick_at(x_m + 3.0 * part(733), z_m + 3.0 * part(389)), brick_at(9.0 * part(11), 9.0 * part(7))];
            let state = WorldState { loader, bricks, ..WorldState::default() };
            cab.render(&state, &mut seen);
            if i % 10 == 0 {
                above.render(&state, &mut watched);
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_left_out_and_odd_sizes_are_drawn() {
        let mut state = WorldState { bricks: vec![brick_at(f32::NAN, 0.0)], ..WorldState::default() };
        assert_eq!(cab_picture(&state), cab_picture(&WorldState::default()));
        state.loader.x_m = f32::NAN;
        for (width, height) in [(1, 1), (7, 300), (301, 5)] {
            for camera in [Camera::cab(width, height), Camera::spectator(width, height)] {
                let mut renderer = Renderer::new(camera);
                let mut rgb = vec![0; renderer.frame_len()];
                renderer.render(&state, &mut rgb);
            }
        }
    }
}
