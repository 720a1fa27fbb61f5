//! The two networks: ResNet-18 and MobileNetV2 with all their layers, of 16 to 64 channels in place of 64 to 1280.

use std::fmt;
use std::str::FromStr;

use super::picture::PICTURE_SIDE;

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Residual blocks of two convolutions.
    ResNet18,
    /// Inverted residual blocks with depthwise convolutions and linear bottlenecks.
    MobileNetV2,
}

/// A convolution with everything that follows it: normalisation, what is added, and the activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Each channel by itself.
    pub(crate) depthwise: bool,
    /// Activations from 0 to 127 mean -64 to 63.
    pub(crate) linear: bool,
    /// The tensor that it reads.
    pub(crate) from: usize,
    /// The tensor that is added.
    pub(crate) add: Option<usize>,
}

impl Convolution {
    pub(crate) const fn padding(&self) -> usize {
        self.kernel / 2
    }

    /// Weights of one output.
    pub(crate) const fn weights_each(&self) -> usize {
        let inputs = if self.depthwise { 1 } else { self.inputs };
        inputs * self.kernel * self.kernel
    }

    pub(crate) const fn weights(&self) -> usize {
        self.weights_each() * self.outputs
    }
}

/// One step. Tensor 0 is the picture; step `n` makes tensor `n + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Convolution(Convolution),
    /// The largest of three by three, at every other place.
    Pool {
        from: usize,
    },
}

/// What a tensor is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) side: usize,
    pub(crate) channels: usize,
    /// Activations from 0 to 127 mean -64 to 63.
    pub(crate) linear: bool,
}

impl Topology {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ResNet18, Self::MobileNetV2];

    /// The steps, in order.
    pub(crate) fn steps(self) -> Vec<Step> {
        let mut build = Build(Vec::new());
        match self {
            Self::ResNet18 => build.resnet(),
            Self::MobileNetV2 => build.mobilenet(),
        }
        build.0
    }

    /// The shapes of all tensors.
    pub(crate) fn shapes(self) -> Vec<Shape> {
        let mut shapes = vec![Shape { side: PICTURE_SIDE, channels: 3, linear: false }];
        for step in self.steps() {
            shapes.push(match step {
                Step::Convolution(c) => {
                    Shape { side: shapes[c.from].side / c.stride, channels: c.outputs, linear: c.linear }
                }
                Step::Pool { from } => Shape { side: shapes[from].side / 2, ..shapes[from] },
            });
        }
        shapes
    }

    /// The convolutions, in order.
    pub(crate) fn convolutions(self) -> Vec<Convolution> {
        let convolution = |step| match step {
            Step::Convolution(convolution) => Some(convolution),
            Step::Pool { .. } => None,
        };
        self.steps().into_iter().filter_map(convolution).collect()
    }

    /// Channels of the last tensor, which the head reads.
    pub(crate) fn features(self) -> usize {
        self.convolutions().last().map_or(0, |last| last.outputs)
    }
}

/// Puts steps one behind the other.
struct Build(Vec<Step>);

impl Build {
    fn push(&mut self, convolution: Convolution) -> usize {
        self.0.push(Step::Convolution(convolution));
        self.0.len()
    }

    fn resnet(&mut self) {
        let stem = self.push(plain(7, 2, (3, 16), 0));
        self.0.push(Step::Pool { from: stem });
        let (mut x, mut width) = (self.0.len(), 16);
        for (stage, outputs) in [16, 16, 32, 32].into_iter().enumerate() {
            for block in 0..2 {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let first = self.push(plain(3, stride, (width, outputs), x));
                let shortcut = if stride == 1 {
                    x
                } else {
                    self.push(Convolution { linear: true, ..plain(1, stride, (width, outputs), x) })
                };
                x = self.push(Convolution { add: Some(shortcut), ..plain(3, 1, (outputs, outputs), first) });
                width = outputs;
            }
        }
    }

    fn mobilenet(&mut self) {
        let mut x = self.push(plain(3, 2, (3, 16), 0));
        let mut width = 16;
        // Hidden channels, channels, how many blocks, stride of the first: the published table with other widths.
        let table = [
            (16, 16, 1, 1),
            (64, 16, 2, 2),
            (64, 16, 3, 2),
            (64, 16, 4, 2),
            (64, 32, 3, 1),
            (64, 32, 3, 2),
            (64, 32, 1, 1),
        ];
        for (hidden, outputs, blocks, first_stride) in table {
            for block in 0..blocks {
                let stride = if block == 0 { first_stride } else { 1 };
                let wide = if hidden == width { x } else { self.push(plain(1, 1, (width, hidden), x)) };
                let depthwise = Convolution { depthwise: true, ..plain(3, stride, (hidden, hidden), wide) };
                let depthwise = self.push(depthwise);
                let add = (stride == 1 && width == outputs && hidden != width).then_some(x);
                let narrow = Convolution { linear: true, add, ..plain(1, 1, (hidden, outputs), depthwise) };
                x = self.push(narrow);
                width = outputs;
            }
        }
        self.push(plain(1, 1, (width, 64), x));
    }
}

fn plain(kernel: usize, stride: usize, (inputs, outputs): (usize, usize), from: usize) -> Convolution {
    Convolution { kernel, stride, inputs, outputs, depthwise: false, linear: false, from, add: None }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResNet18 => "resnet18",
            Self::MobileNetV2 => "mobilenetv2",
        })
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::ALL;
        all.into_iter()
            .find(|topology| topology.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no network: \"resnet18\" or \"mobilenetv2\" was expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_have_the_published_layers() {
        // 18 layers with weights, of which the head is one, and three convolutions in shortcuts.
        assert_eq!(Topology::ResNet18.convolutions().len(), 17 + 3);
        // 17 blocks of three convolutions, the first of two; one before and one behind them.
        assert_eq!(Topology::MobileNetV2.convolutions().len(), 17 * 3 - 1 + 2);
        for topology in Topology::ALL {
            let last = *topology.shapes().last().unwrap();
            assert_eq!((last.side, last.channels), (7, topology.features()), "{topology}");
        }
    }
}
