//! Phantoms: bodies made of ellipses, so that the trial shows images and no patient is in them.

/// An ellipse: centre, half axes, turn in radians, and what it adds.
type Ellipse = ([f64; 2], [f64; 2], f64, f64);

/// The head of Shepp and Logan (1974), with the contrasts that Toft proposed for looking at.
const HEAD: [Ellipse; 10] = [
    ([0.0, 0.0], [0.69, 0.92], 0.0, 1.0),
    ([0.0, -0.0184], [0.6624, 0.874], 0.0, -0.8),
    ([0.22, 0.0], [0.11, 0.31], -0.314, -0.2),
    ([-0.22, 0.0], [0.16, 0.41], 0.314, -0.2),
    ([0.0, 0.35], [0.21, 0.25], 0.0, 0.1),
    ([0.0, 0.1], [0.046, 0.046], 0.0, 0.1),
    ([0.0, -0.1], [0.046, 0.046], 0.0, 0.1),
    ([-0.08, -0.605], [0.046, 0.023], 0.0, 0.1),
    ([0.0, -0.605], [0.023, 0.023], 0.0, 0.1),
    ([0.06, -0.605], [0.023, 0.046], 0.0, 0.1),
];

/// A chest from the front: trunk, lungs, heart, spine.
const CHEST: [Ellipse; 6] = [
    ([0.0, 0.0], [0.9, 1.1], 0.0, 0.45),
    ([-0.42, 0.05], [0.3, 0.62], 0.08, -0.3),
    ([0.42, 0.05], [0.3, 0.62], -0.08, -0.3),
    ([0.14, -0.2], [0.26, 0.32], 0.5, 0.25),
    ([0.0, 0.0], [0.07, 1.1], 0.0, 0.25),
    ([0.0, -0.95], [0.85, 0.25], 0.0, 0.2),
];

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Head,
    Chest,
    /// A sector of echoes around a vessel; the frame moves its wall.
    Vessel {
        frame: u16,
    },
}

impl Body {
    /// How bright it is at a place, both coordinates from -1 to 1, upwards positive; from 0 to 1.
    pub(super) fn at(self, x: f64, y: f64) -> f64 {
        let sum = |ellipses: &[Ellipse]| ellipses.iter().map(|ellipse| inside(ellipse, x, y)).sum::<f64>();
        let value = match self {
            Self::Head => sum(&HEAD),
            Self::Chest => sum(&CHEST),
            Self::Vessel { frame } => vessel(x, y, frame),
        };
        value.clamp(0.0, 1.0)
    }
}

fn inside(ellipse: &Ellipse, x: f64, y: f64) -> f64 {
    let ([centre_x, centre_y], [wide, high], turn, adds) = *ellipse;
    let (sin, cos) = turn.sin_cos();
    let (dx, dy) = (x - centre_x, y - centre_y);
    let along = (dx * cos + dy * sin) / wide;
    let across = (dy * cos - dx * sin) / high;
    if along * along + across * across <= 1.0 { adds } else { 0.0 }
}

fn vessel(x: f64, y: f64, frame: u16) -> f64 {
    // The probe is above the picture; what lies outside its sector is black.
    let depth = 1.2 - y;
    if x.abs() > depth * 0.55 || x.hypot(depth) > 2.1 {
        return 0.0;
    }
    let radius = 0.28 + 0.04 * f64::from(frame % 4);
    let from_wall = (x.hypot(y + 0.1) - radius).abs();
    let wall = (-from_wall * from_wall * 900.0).exp();
    let tissue = if x.hypot(y + 0.1) < radius { 0.04 } else { 0.4 - 0.12 * depth };
    wall * 0.8 + tissue
}
