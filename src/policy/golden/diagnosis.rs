//! Which mistake explains an image that is normalised otherwise than it was: each known one is made on purpose and
//! compared with what came out.

use super::{Golden, INPUTS, ROUNDING, Step, difference};
use crate::policy::normalise::Scale;

/// What torchvision's pretrained networks were trained with.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// The deviation that goes with it.
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A value's place: which channel it is of, and the pixel's three bytes.
struct Place<'a> {
    channel: usize,
    pixel: &'a [u8],
}

type Mistake<'a> = Box<dyn Fn(&Place<'_>) -> f32 + 'a>;

/// The step at fault and a sentence about it. `recorded` is the normalisation that was certified.
pub fn of_image(golden: &Golden, camera: usize, got: &[f32], recorded: Option<&Scale>) -> (Step, String) {
    let unknown = || (Step::Normalise, "the statistics are not those it was trained with".to_owned());
    let Some(scale) = recorded.filter(|scale| scale.columns() == 3) else { return unknown() };
    let images = &golden.images[camera];
    let len = images.len() / INPUTS;
    for (step, what, mistake) in mistakes(scale) {
        let made: Vec<f32> = images
            .chunks_exact(len)
            .flat_map(|image| {
                image.chunks_exact(3).flat_map(|pixel| (0..3).map(move |channel| Place { channel, pixel }))
            })
            .map(|place| mistake(&place))
            .collect();
        let made = golden.probes_of(camera, &made);
        // A mistake may be made in another order of the same arithmetic.
        if difference(got, &made, 10.0 * ROUNDING).is_none() {
            return (step, what.to_owned());
        }
    }
    unknown()
}

fn mistakes(own: &Scale) -> Vec<(Step, &'static str, Mistake<'_>)> {
    let imagenet = |channel: usize, x: f32| (x - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel];
    let byte = |place: &Place<'_>| f32::from(place.pixel[place.channel]);
    let unit = move |place: &Place<'_>| byte(place) / 255.0;
    vec![
        (
            Step::Normalise,
            "that is ImageNet's mean and deviation applied before the checkpoint's own normalisation; training did not",
            Box::new(move |p: &Place<'_>| own.apply(p.channel, imagenet(p.channel, unit(p)))),
        ),
        (
            Step::Normalise,
            "that is ImageNet's mean and deviation applied after the checkpoint's own normalisation; training did not",
            Box::new(move |p: &Place<'_>| imagenet(p.channel, own.apply(p.channel, unit(p)))),
        ),
        (
            Step::Normalise,
            "that is ImageNet's mean and deviation in place of the checkpoint's own",
            Box::new(move |p: &Place<'_>| imagenet(p.channel, unit(p))),
        ),
        (Step::Normalise, "the image is only scaled to [0, 1], not normalised", Box::new(unit)),
        (
            Step::ChannelOrder,
            "red and blue are swapped",
            Box::new(move |p: &Place<'_>| own.apply(p.channel, f32::from(p.pixel[2 - p.channel]) / 255.0)),
        ),
        (
            Step::Scale,
            "bytes were not divided by 255 before they were normalised",
            Box::new(move |p: &Place<'_>| own.apply(p.channel, byte(p))),
        ),
        (
            Step::Scale,
            "bytes were divided by 255 twice",
            Box::new(move |p: &Place<'_>| own.apply(p.channel, unit(p) / 255.0)),
        ),
        (
            Step::Scale,
            "bytes were scaled to [−1, 1], not to [0, 1]",
            Box::new(move |p: &Place<'_>| own.apply(p.channel, 2.0 * unit(p) - 1.0)),
        ),
    ]
}
