//! Random excursions and their variant: SP 800-22 2.14 and 2.15.

use super::bits::Bits;
use crate::evaluate::special::{erfc, igamc};

/// The states of section 2.14.
pub const STATES: [i32; 8] = [-4, -3, -2, -1, 1, 2, 3, 4];

/// The states of section 2.15.
pub const VARIANT_STATES: [i32; 18] = [-9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Where a random walk has been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Returns to zero, the last one forced by the end (J in the document).
    pub cycles: usize,
    /// Visits to -9 to 9 over all cycles.
    visits: [u64; 19],
    /// Per state of `STATES`: in how many cycles it was visited 0, 1, 2, 3, 4 and more often.
    per_cycle: [[u32; 6]; 8],
}

impl Walk {
    /// Walks through the sequence: a one up, a zero down.
    #[must_use]
    pub fn of(bits: &Bits) -> Self {
        let mut walk = Self { cycles: 0, visits: [0; 19], per_cycle: [[0; 6]; 8] };
        let (mut at, mut seen) = (0_i32, [0_u32; 8]);
        for step in bits.steps() {
            at += step;
            if at == 0 {
                walk.close(&mut seen);
            } else if at.abs() <= 9 {
                walk.visits[(at + 9) as usize] += 1;
                if at.abs() <= 4 {
                    seen[state_index(at)] += 1;
                }
            }
        }
        // 2.14.4 (3): a zero is put behind the last sum, so an open cycle counts.
        if at != 0 {
            walk.close(&mut seen);
        }
        walk
    }

    fn close(&mut self, seen: &mut [u32; 8]) {
        self.cycles += 1;
        for (classes, visits) in self.per_cycle.iter_mut().zip(seen.iter_mut()) {
            classes[(*visits).min(5) as usize] += 1;
            *visits = 0;
        }
    }

    /// Whether there are enough cycles for the tests to mean something, sections 2.14.4 (3) and 3.14.
    #[must_use]
    pub fn is_testable(&self, bits: usize) -> bool {
        self.cycles as f64 >= (0.005 * (bits as f64).sqrt()).max(500.0)
    }

    /// Random excursions test, section 2.14: a P-value for each state.
    #[must_use]
    pub fn excursions(&self) -> [f64; 8] {
        let j = self.cycles as f64;
        std::array::from_fn(|i| {
            let chi_square: f64 = self.per_cycle[i]
                .iter()
                .zip(visit_chances(STATES[i]))
                .map(|(seen, chance)| (f64::from(*seen) - j * chance).powi(2) / (j * chance))
                .sum();
            igamc(2.5, chi_square / 2.0)
        })
    }

    /// Random excursions variant test, section 2.15: a P-value for each state.
    #[must_use]
    pub fn variant(&self) -> [f64; 18] {
        let j = self.cycles as f64;
        VARIANT_STATES.map(|state| {
            let visits = self.visits[(state + 9) as usize] as f64;
            let spread = (2.0 * j * (4.0 * f64::from(state.abs()) - 2.0)).sqrt();
            erfc((visits - j).abs() / spread)
        })
    }
}

fn state_index(state: i32) -> usize {
    if state < 0 { (state + 4) as usize } else { (state + 3) as usize }
}

/// The chances that a cycle visits `state` 0, 1, 2, 3, 4 and more times, section 3.14.
fn visit_chances(state: i32) -> [f64; 6] {
    let x = f64::from(state.abs());
    let stay = 1.0 - 1.0 / (2.0 * x);
    std::array::from_fn(|k| match k {
        0 => stay,
        5 => stay.powi(4) / (2.0 * x),
        k => stay.powi(k as i32 - 1) / (4.0 * x * x),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_walk_has_three_cycles() {
        // 2.14.4: 0110110101, J = 3, and the P-value of state +1 with J = 3 is 0.502529, from rounded chances.
        let walk = Walk::of(&Bits::from_text("0110110101").unwrap());
        assert_eq!(walk.cycles, 3);
        assert!((walk.excursions()[4] - 0.502_529).abs() < 1e-4, "{:?}", walk.excursions());
        // 2.15.4: the P-value of state +1 is 0.683091.
        assert!((walk.variant()[9] - 0.683_091).abs() < 1e-6, "{:?}", walk.variant());
    }

    #[test]
    fn the_chances_of_visits_add_up() {
        for state in STATES {
            assert!((visit_chances(state).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        // Section 3.14, the table's row for state 1 and one entry for 3.
        let row = visit_chances(1);
        assert!(
            (row[0] - 0.5).abs() < 1e-9 && (row[1] - 0.25).abs() < 1e-9 && (row[5] - 0.0312).abs() < 1e-4
        );
        assert!((visit_chances(3)[5] - 0.0804).abs() < 1e-4);
    }
}
