//! The logistic map as a byte source: x -> r x (1 - x).

use super::Source;
use crate::evaluate::Seeded;

/// Close to 4, where the map has no windows of order that a float would fall into soon.
const R: f64 = 3.999_9;

/// Iterations thrown away at the start.
const TRANSIENT: usize = 1_000;

pub(super) struct Logistic(f64);

impl Logistic {
    pub(super) fn new(seeded: &mut Seeded) -> Self {
        let start = (seeded.next_u64() >> 12) as f64 / (1_u64 << 52) as f64;
        let mut map = Self(start.clamp(1e-6, 1.0 - 1e-6));
        (0..TRANSIENT).for_each(|_| map.step());
        map
    }

    fn step(&mut self) {
        self.0 = R * self.0 * (1.0 - self.0);
    }
}

impl Source for Logistic {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.step();
            // Digits far behind the point, as the chaotic papers take them: the first ones are far from even.
            *byte = ((self.0 * 1e10) as u64 % 256) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_stays_between_nought_and_one() {
        let mut map = Logistic::new(&mut Seeded::new(3));
        for _ in 0..100_000 {
            map.step();
            assert!(map.0 > 0.0 && map.0 < 1.0);
        }
    }
}
