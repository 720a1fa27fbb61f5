//! How much the scanner takes before it refuses.

/// The scanner's limits. What it holds in memory is at most `element_bytes_max`, some 150 bytes for each level of
/// `depth_max`, and some 16 for each of `top_elements_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sequences inside each other.
    pub depth_max: usize,
    /// A top-level element of up to so many bytes is held until it is complete; larger ones stream through.
    pub element_bytes_max: usize,
    /// All elements told as `Element` together: what a caller that keeps them has to keep.
    pub header_bytes_max: u64,
    /// Elements at the top level.
    pub top_elements_max: u64,
    /// Elements, items and fragments at all levels.
    pub elements_max: u64,
    /// Irregularities kept for the log; more are only counted.
    pub irregularities_max: usize,
    /// Preamble and file meta information of a file.
    pub meta_bytes_max: usize,
}

impl Default for Limits {
    /// Far above what real instances need: a slide of a million frames has some 30 million nested elements.
    fn default() -> Self {
        Self {
            depth_max: 64,
            element_bytes_max: 64 * 1024,
            header_bytes_max: 8 * 1024 * 1024,
            top_elements_max: 32 * 1024,
            elements_max: 64 * 1024 * 1024,
            irregularities_max: 16,
            meta_bytes_max: 256 * 1024,
        }
    }
}
