//! The two chaotic maps, and the ranges that their parameters lie in.

/// A chaotic map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// x' = r x (1 - x); three of them, one for each sequence.
    Logistic,
    /// The Lorenz equations, whose three coordinates give the sequences.
    Lorenz,
}

/// How many parameters an instance has: three that govern the map, three where it starts.
pub(super) const COUNT: usize = 6;

/// Where a parameter lies: from `low`, `width` wide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) name: &'static str,
    pub(super) low: f64,
    pub(super) width: f64,
}

const fn range(name: &'static str, low: f64, width: f64) -> Range {
    Range { name, low, width }
}

impl Map {
    /// The ranges of the six parameters.
    ///
    /// The rates of the logistic map are the paper's, 3.57 to 4, without 4 itself, where an orbit can end in 0. The
    /// paper gives none for the Lorenz equations; these surround the classical 10, 28 and 8/3, and everywhere in them
    /// the steady states are unstable: rho is above sigma (sigma + beta + 3) / (sigma - beta - 1), 25.95 at most.
    pub(super) const fn ranges(self) -> [Range; COUNT] {
        match self {
            Self::Logistic => [
                range("rate of x", 3.57, 0.42999),
                range("rate of y", 3.57, 0.42999),
                range("rate of z", 3.57, 0.42999),
                range("start of x", 0.1, 0.8),
                range("start of y", 0.1, 0.8),
                range("start of z", 0.1, 0.8),
            ],
            Self::Lorenz => [
                range("sigma", 9.0, 2.0),
                range("rho", 27.0, 6.0),
                range("beta", 2.5, 0.35),
                range("start of x", -10.0, 20.0),
                range("start of y", -10.0, 20.0),
                range("start of z", 15.0, 20.0),
            ],
        }
    }
}
