//! Estimators that predict: most common in a window, lag, Markov models, LZ78Y (sections 6.3.7 to 6.3.10).

use std::collections::HashMap;

use super::prediction::Score;
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;

/// Window lengths of the MultiMCW estimate.
const WINDOWS: [usize; 4] = [63, 255, 1023, 4095];
/// The farthest lag.
const LAGS: usize = 128;
/// The longest context of the Markov models and of LZ78Y.
const DEPTH: usize = 16;
/// Transitions that one Markov model keeps.
const TRANSITIONS_MAX: usize = 100_000;
/// Contexts that LZ78Y keeps.
const CONTEXTS_MAX: usize = 65_536;

/// Several predictors, of which the one with the best record so far is believed.
struct Contest {
    wins: Vec<usize>,
    winner: usize,
    score: Score,
}

impl Contest {
    fn new(predictors: usize) -> Self {
        Self { wins: vec![0; predictors], winner: 0, score: Score::default() }
    }

    /// Notes what the first `count` predictors said and what came.
    fn note(&mut self, count: usize, prediction: impl Fn(usize) -> Option<u8>, symbol: u8) {
        let believed = if self.winner < count { prediction(self.winner) } else { None };
        self.score.note(believed == Some(symbol));
        for i in 0..count {
            if prediction(i) == Some(symbol) {
                self.wins[i] += 1;
                if self.wins[i] >= self.wins[self.winner] {
                    self.winner = i;
                }
            }
        }
    }
}

/// Multi most common in window prediction estimate, section 6.3.7.
pub fn multi_mcw(symbols: &[u8], values: usize) -> Result<f64, EvaluateError> {
    at_least("the MultiMCW estimate", "symbols", WINDOWS[0] + 2, symbols.len())?;
    let mut windows = WINDOWS.map(Window::new);
    let mut contest = Contest::new(WINDOWS.len());
    for (at, symbol) in symbols.iter().enumerate() {
        if at >= WINDOWS[0] {
            contest.note(WINDOWS.len(), |i| windows[i].prediction(), *symbol);
        }
        windows.iter_mut().for_each(|window| window.push(symbols, at));
    }
    Ok(contest.score.min_entropy(values))
}

/// The last symbols, counted.
struct Window {
    length: usize,
    held: usize,
    counts: [u32; 256],
    last_seen: [usize; 256],
    mode: u8,
}

impl Window {
    fn new(length: usize) -> Self {
        Self { length, held: 0, counts: [0; 256], last_seen: [0; 256], mode: 0 }
    }

    /// The most common symbol, of equals the most recent; none before the window is full.
    fn prediction(&self) -> Option<u8> {
        (self.held == self.length).then_some(self.mode)
    }

    fn push(&mut self, symbols: &[u8], at: usize) {
        if self.held == self.length {
            let leaving = symbols[at - self.length];
            self.counts[usize::from(leaving)] -= 1;
            if leaving == self.mode {
                let best = (0..=255_u8).max_by_key(|s| {
                    let s = usize::from(*s);
                    (self.counts[s], self.last_seen[s])
                });
                self.mode = best.unwrap_or(0);
            }
        } else {
            self.held += 1;
        }
        let symbol = symbols[at];
        self.counts[usize::from(symbol)] += 1;
        self.last_seen[usize::from(symbol)] = at;
        if self.counts[usize::from(symbol)] >= self.counts[usize::from(self.mode)] {
            self.mode = symbol;
        }
    }
}

/// Lag prediction estimate, section 6.3.8.
pub fn lag(symbols: &[u8], values: usize) -> Result<f64, EvaluateError> {
    at_least("the lag estimate", "symbols", 3, symbols.len())?;
    let mut contest = Contest::new(LAGS);
    for at in 1..symbols.len() {
        contest.note(LAGS.min(at), |i| Some(symbols[at - 1 - i]), symbols[at]);
    }
    Ok(contest.score.min_entropy(values))
}

/// How often each symbol followed a context.
#[derive(Default)]
struct Followers {
    counts: Vec<(u8, u32)>,
    best: (u32, u8),
}

impl Followers {
    /// Counts `symbol`, if it is known or `may_add`; says whether it was added.
    fn count(&mut self, symbol: u8, may_add: bool) -> Option<Added> {
        let (added, count) = if let Some(entry) = self.counts.iter_mut().find(|(known, _)| *known == symbol) {
            entry.1 += 1;
            (Added::No, entry.1)
        } else if may_add {
            self.counts.push((symbol, 1));
            (Added::Yes, 1)
        } else {
            return None;
        };
        // Of equally frequent symbols the largest is predicted.
        self.best = self.best.max((count, symbol));
        Some(added)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Added {
    Yes,
    No,
}

/// The `length` symbols before `end`, packed.
fn context(symbols: &[u8], end: usize, length: usize) -> u128 {
    symbols[end - length..end].iter().fold(0, |key, symbol| key << 8 | u128::from(*symbol))
}

/// Multi Markov model with counting prediction estimate, section 6.3.9.
pub fn multi_mmc(symbols: &[u8], values: usize) -> Result<f64, EvaluateError> {
    at_least("the MultiMMC estimate", "symbols", 4, symbols.len())?;
    let mut models: Vec<(HashMap<u128, Followers>, usize)> =
        (0..DEPTH).map(|_| (HashMap::new(), 0)).collect();
    let mut contest = Contest::new(DEPTH);
    for at in 2..symbols.len() {
        for (length, (model, held)) in (1..at).zip(models.iter_mut()) {
            if !learn(model, held, context(symbols, at - 1, length), symbols[at - 1]) {
                // A model with longer contexts is full earlier and knows no context whose end is unknown here.
                break;
            }
        }
        let mut predictions = [None; DEPTH];
        for (length, (model, _)) in (1..=at).zip(models.iter()) {
            let Some(followers) = model.get(&context(symbols, at, length)) else { break };
            predictions[length - 1] = Some(followers.best.1);
        }
        contest.note(DEPTH, |i| predictions[i], symbols[at]);
    }
    Ok(contest.score.min_entropy(values))
}

/// Counts a transition, if it is known or there is room; says whether it was counted.
fn learn(model: &mut HashMap<u128, Followers>, held: &mut usize, context: u128, symbol: u8) -> bool {
    let may_add = *held < TRANSITIONS_MAX;
    let followers = if may_add { Some(model.entry(context).or_default()) } else { model.get_mut(&context) };
    match followers.and_then(|followers| followers.count(symbol, may_add)) {
        Some(Added::Yes) => *held += 1,
        Some(Added::No) => {}
        None => return false,
    }
    true
}

/// LZ78Y prediction estimate, section 6.3.10.
pub fn lz78y(symbols: &[u8], values: usize) -> Result<f64, EvaluateError> {
    at_least("the LZ78Y estimate", "symbols", DEPTH + 3, symbols.len())?;
    let mut dictionary: Vec<HashMap<u128, Followers>> = (0..DEPTH).map(|_| HashMap::new()).collect();
    let mut held = 0;
    let mut score = Score::default();
    for at in DEPTH + 1..symbols.len() {
        for length in (1..=DEPTH).rev() {
            let key = context(symbols, at - 1, length);
            let known = &mut dictionary[length - 1];
            if held < CONTEXTS_MAX && !known.contains_key(&key) {
                known.insert(key, Followers::default());
                held += 1;
            }
            if let Some(followers) = known.get_mut(&key) {
                followers.count(symbols[at - 1], true);
            }
        }
        score.note(predict(&dictionary, symbols, at) == Some(symbols[at]));
    }
    Ok(score.min_entropy(values))
}

/// The most frequent follower of all contexts that end at `at`; of equals that of the longest context.
fn predict(dictionary: &[HashMap<u128, Followers>], symbols: &[u8], at: usize) -> Option<u8> {
    let mut best: Option<(u32, u8)> = None;
    for length in (1..=DEPTH).rev() {
        let found = dictionary[length - 1].get(&context(symbols, at, length)).map(|followers| followers.best);
        if let Some(found) = found.filter(|found| best.is_none_or(|best| found.0 > best.0)) {
            best = Some(found);
        }
    }
    best.map(|(_, symbol)| symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence that repeats after `period` symbols.
    fn periodic(period: usize) -> Vec<u8> {
        (0..20_000).map(|i| (i % period * 37 % 251) as u8).collect()
    }

    #[test]
    fn periods_are_found_by_those_that_remember() {
        for period in [2, 7, 100] {
            let symbols = periodic(period);
            assert!(lag(&symbols, 256).unwrap() < 0.1, "lag, period {period}");
            assert!(multi_mmc(&symbols, 256).unwrap() < 0.1, "MMC, period {period}");
            assert!(lz78y(&symbols, 256).unwrap() < 0.1, "LZ78Y, period {period}");
        }
    }

    #[test]
    fn a_common_value_is_found_by_the_windows() {
        let symbols: Vec<u8> =
            (0..20_000_u32).map(|i| if i % 4 == 0 { (i / 4 % 256) as u8 } else { 9 }).collect();
        let found = multi_mcw(&symbols, 256).unwrap();
        assert!(found < 0.5 && found > 0.3, "{found}");
    }
}
