//! A drawn chest, for pictures that may be shown to anybody and for times that do not depend on whose images there are.

use crate::evaluate::Seeded;
use crate::evaluate::image::Raster;

/// `edge` x `edge` pixels of 8 bits; `number` changes the grain and a little of the shape.
pub(super) fn phantom(edge: usize, number: u64) -> Raster {
    let mut grain = Seeded::new(number);
    let wide = 1.0 + 0.03 * (number % 8) as f64;
    let place = |i: usize| 2.0 * i as f64 / edge as f64 - 1.0;
    let samples = (0..edge * edge).map(|i| {
        let (x, y) = (place(i % edge) * wide, place(i / edge));
        (tissue(x, y) + grain.below(9) as f64 - 4.0).clamp(0.0, 255.0) as u16
    });
    Raster::new(edge, edge, 1, 8, samples.collect()).expect("as many samples as the edge says")
}

/// The same in three equal channels, as a seed image has them.
pub(super) fn in_colour(image: &Raster) -> Raster {
    let samples = image.samples().iter().flat_map(|s| [*s; 3]).collect();
    Raster::new(image.width(), image.height(), 3, image.bits(), samples).expect("three of each")
}

fn tissue(x: f64, y: f64) -> f64 {
    let inside = |cx: f64, cy: f64, rx: f64, ry: f64| ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0;
    if !inside(0.0, 0.0, 0.92, 0.96) {
        return 10.0;
    }
    let rib = if (15.0 * (y + 0.35 * x * x)).sin() > 0.7 { 35.0 } else { 0.0 };
    if x.abs() < 0.08 {
        return 205.0;
    }
    if inside(0.14, 0.25, 0.26, 0.33) {
        return 165.0 + rib / 3.0;
    }
    if inside(0.45, -0.05, 0.32, 0.62) || inside(-0.45, -0.05, 0.32, 0.62) {
        return 48.0 + 30.0 * (y + 1.0) + rib;
    }
    125.0 + 30.0 * y + rib / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::image::{Direction, correlation};

    #[test]
    fn a_phantom_is_smooth_has_many_greys_and_is_never_the_same_twice() {
        let (a, b) = (phantom(128, 0), phantom(128, 1));
        assert!(correlation(&a, Direction::Horizontal).unwrap().coefficient.unwrap() > 0.9);
        assert_ne!(a, b);
        assert_eq!(a, phantom(128, 0));
        assert_eq!(in_colour(&a).samples()[..6].iter().filter(|s| **s == a.samples()[0]).count() >= 3, true);
    }
}
