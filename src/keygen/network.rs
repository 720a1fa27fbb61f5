//! The shapes of the two networks: section 2 of `docs/GENERATOR.md` as a table.

use std::fmt;
use std::str::FromStr;

use super::error::KeygenError;

/// Which of the two networks a generator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The paper's network.
    Full,
    /// The same with every convolution split into a depthwise and a pointwise half.
    Lite,
}

/// What follows the convolution of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Post {
    /// Instance normalisation and ReLU.
    Normalise,
    /// Instance normalisation, the layer's input added, ReLU.
    Add,
    /// The fold of section 6.
    Fold,
}

/// One layer, as both networks have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Its name in checkpoints.
    pub(crate) name: &'static str,
    pub(crate) kernel: usize,
    /// For a transposed convolution, of its output.
    pub(crate) stride: usize,
    pub(crate) transposed: bool,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Rows and columns of its input, as a part of those of the seed image.
    pub(crate) divisor: usize,
    pub(crate) post: Post,
}

const fn shape(
    name: &'static str,
    (kernel, stride): (usize, usize),
    (inputs, outputs): (usize, usize),
    divisor: usize,
) -> Shape {
    Shape { name, kernel, stride, transposed: false, inputs, outputs, divisor, post: Post::Normalise }
}

const fn block(name: &'static str) -> Shape {
    Shape { post: Post::Add, ..shape(name, (3, 1), (64, 64), 4) }
}

const fn up(name: &'static str, channels: (usize, usize), divisor: usize) -> Shape {
    Shape { transposed: true, ..shape(name, (3, 2), channels, divisor) }
}

/// The layers in their order.
pub(crate) const LAYERS: [Shape; 12] = [
    shape("down1", (7, 1), (3, 16), 1),
    shape("down2", (3, 2), (16, 32), 1),
    shape("down3", (3, 2), (32, 64), 2),
    block("res1"),
    block("res2"),
    block("res3"),
    block("res4"),
    block("res5"),
    block("res6"),
    up("up1", (64, 32), 4),
    up("up2", (32, 16), 2),
    Shape { post: Post::Fold, ..shape("out", (7, 1), (16, 3), 1) },
];

impl Shape {
    /// Zero padding on each side of the input.
    pub(crate) const fn padding(&self) -> usize {
        self.kernel / 2
    }

    /// Rows and columns of its input, for seed images of `side`.
    pub(crate) const fn side_in(&self, side: usize) -> usize {
        side / self.divisor
    }

    /// Rows and columns of its output.
    pub(crate) const fn side_out(&self, side: usize) -> usize {
        if self.transposed { self.side_in(side) * self.stride } else { self.side_in(side) / self.stride }
    }

    /// Weights of the depthwise half, where there is one.
    pub(crate) const fn depthwise_weights(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// The kernel of the part that mixes the channels.
    pub(crate) const fn mixing_kernel(&self, kind: Kind) -> usize {
        match kind {
            Kind::Full => self.kernel,
            Kind::Lite => 1,
        }
    }

    /// Weights of the part that mixes the channels.
    pub(crate) const fn mixing_weights(&self, kind: Kind) -> usize {
        self.inputs * self.outputs * self.mixing_kernel(kind) * self.mixing_kernel(kind)
    }

    /// Multiplications for one image of `side`, borders counted in full.
    const fn multiplications(&self, kind: Kind, side: usize) -> u64 {
        let (input, output) = (self.side_in(side), self.side_out(side));
        // A transposed convolution uses each of its weights once for each pixel of its input.
        let spatial = if self.transposed { input * input } else { output * output };
        let count = match kind {
            Kind::Full => self.mixing_weights(kind) * spatial,
            Kind::Lite => self.depthwise_weights() * spatial + self.mixing_weights(kind) * output * output,
        };
        count as u64
    }
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Full, Self::Lite];

    /// Its number in model files.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Full => 1,
            Self::Lite => 2,
        }
    }

    /// Its name, in checkpoints and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Lite => "lite",
        }
    }

    /// Multiplications for one key image.
    #[must_use]
    pub fn multiplications(self) -> u64 {
        LAYERS.iter().map(|shape| shape.multiplications(self, super::image::SIDE)).sum()
    }

    /// Weights.
    #[must_use]
    pub fn weights(self) -> usize {
        let depthwise = |shape: &Shape| match self {
            Self::Full => 0,
            Self::Lite => shape.depthwise_weights(),
        };
        LAYERS.iter().map(|shape| depthwise(shape) + shape.mixing_weights(self)).sum()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = KeygenError;

    fn from_str(text: &str) -> Result<Self, KeygenError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            KeygenError::Config(format!(
                "{text:?} is no kind of generator: \"full\" or \"lite\" was expected"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_counted_as_in_the_paper() {
        // Table I, line by line; the six blocks together.
        let counts: Vec<_> = LAYERS.iter().map(|shape| shape.mixing_weights(Kind::Full)).collect();
        assert_eq!(counts[..3], [2352, 4608, 18432]);
        assert_eq!(counts[3..9].iter().sum::<usize>(), 221_184);
        assert_eq!(counts[9..], [18432, 4608, 2352]);
    }

    #[test]
    fn the_document_states_the_counts() {
        let document = include_str!("../../docs/GENERATOR.md");
        assert_eq!((Kind::Full.weights(), Kind::Full.multiplications()), (271_968, 1_516_240_896));
        assert!(document.contains("271,968 weights, 1,516,240,896 multiplications"));
        assert_eq!((Kind::Lite.weights(), Kind::Lite.multiplications()), (35_475, 276_627_456));
        assert!(document.contains("35,475 weights, 276,627,456 multiplications"));
    }

    #[test]
    fn each_layer_takes_what_the_one_before_gives() {
        for pair in LAYERS.windows(2) {
            assert_eq!(pair[0].outputs, pair[1].inputs, "{}", pair[1].name);
            assert_eq!(pair[0].side_out(256), pair[1].side_in(256), "{}", pair[1].name);
        }
        assert_eq!((LAYERS[0].side_in(256), LAYERS[11].side_out(256)), (256, 256));
    }
}
