//! What a predictor's successes say about entropy: the bounds that sections 6.3.7 to 6.3.10 share.

use super::{CONFIDENCE, min_entropy_of};

/// How well a predictor did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Score {
    predictions: usize,
    correct: usize,
    run: usize,
    longest_run: usize,
}

impl Score {
    pub(super) fn note(&mut self, correct: bool) {
        self.predictions += 1;
        self.run = if correct { self.run + 1 } else { 0 };
        self.correct += usize::from(correct);
        self.longest_run = self.longest_run.max(self.run);
    }

    /// Bits of min-entropy for each symbol of `values` values.
    pub(super) fn min_entropy(self, values: usize) -> f64 {
        let chance = self.global().max(self.local()).max(1.0 / values as f64);
        min_entropy_of(chance)
    }

    /// The upper bound from all predictions.
    fn global(self) -> f64 {
        let n = self.predictions as f64;
        if self.correct == 0 {
            return 1.0 - 0.01_f64.powf(1.0 / n);
        }
        let share = self.correct as f64 / n;
        (share + CONFIDENCE * (share * (1.0 - share) / (n - 1.0)).sqrt()).min(1.0)
    }

    /// The chance p at which no run of one more than the longest is seen with a probability of 0.99 (Feller).
    fn local(self) -> f64 {
        let (n, r) = (self.predictions as f64, self.longest_run as f64 + 1.0);
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let p = f64::midpoint(low, high);
            if log_no_run(p, r, n) > 0.99_f64.ln() { low = p } else { high = p }
        }
        low
    }
}

/// The logarithm of the chance of no run of `r` successes among `n`, each with the chance `p`.
fn log_no_run(p: f64, r: f64, n: f64) -> f64 {
    let q = 1.0 - p;
    // The root of 1 - x + q p^r x^(r + 1) near one, by the iteration of the document.
    let mut x = 1.0;
    for _ in 0..65 {
        let next = 1.0 + q * p.powf(r) * x_power(x, r + 1.0);
        if (next - x).abs() < 1e-15 {
            break;
        }
        x = next;
    }
    if !x.is_finite() || r + 1.0 - r * x <= 0.0 {
        // Beyond the root's range a run is certain.
        return f64::NEG_INFINITY;
    }
    (1.0 - p * x).ln() - (r + 1.0 - r * x).ln() - q.ln() - (n + 1.0) * x.ln()
}

fn x_power(x: f64, exponent: f64) -> f64 {
    (exponent * x.ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_predictor_that_is_never_right_leaves_everything() {
        let mut score = Score::default();
        (0..1_000_000).for_each(|_| score.note(false));
        assert!((score.min_entropy(256) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn a_predictor_that_is_always_right_leaves_nothing() {
        let mut score = Score::default();
        (0..10_000).for_each(|_| score.note(true));
        assert!(score.min_entropy(256) < 1e-3);
    }

    #[test]
    fn a_long_run_counts_even_when_the_share_is_small() {
        let mut score = Score::default();
        (0..100_000).for_each(|i| score.note(i < 40));
        assert!(score.min_entropy(256) < 1.0, "{}", score.min_entropy(256));
    }
}
