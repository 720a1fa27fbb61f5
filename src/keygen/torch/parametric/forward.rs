//! The network in floating point, with the slopes that training needs, and the loss.

use tch::{Kind as Element, TchError, Tensor};

use crate::keygen::parametric::{Convolution, Step, Topology, carry_of, centre_of, spread_of, zero_of};
use crate::keygen::torch::network::{Parameter, size};

/// Guards divisions by a deviation.
const EPSILON: f64 = 1e-5;

/// The outputs in standard deviations, one row for each picture.
pub(super) fn outputs(
    topology: Topology,
    parameters: &[Parameter],
    pictures: &Tensor,
) -> Result<Tensor, TchError> {
    let shapes = topology.shapes();
    let mut tensors = vec![pictures.shallow_clone()];
    let mut weights = parameters.iter();
    for step in topology.steps() {
        let next = match step {
            Step::Pool { from } => tensors[from].f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?,
            Step::Convolution(c) => {
                let weights = weights.next().expect("weights for each convolution");
                let zero = c.add.map_or(0.0, |add| zero_of(&shapes[add]));
                let added = c.add.map(|add| tensors[add].f_sub_scalar(zero)).transpose()?;
                convolve(&c, &tensors[c.from], &weights.value, added)?
            }
        };
        tensors.push(next);
    }
    let last = tensors.pop().expect("every network has steps");
    let features = last.f_sum_dim_intlist([2_i64, 3].as_slice(), true, Element::Float)?;
    let head = &weights.next().expect("weights of the head").value;
    let sums = features.f_conv2d(head, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)?;
    standardise(&sums.f_flatten(1, -1)?)
}

fn convolve(
    c: &Convolution,
    x: &Tensor,
    weights: &Tensor,
    added: Option<Tensor>,
) -> Result<Tensor, TchError> {
    let groups = if c.depthwise { size(c.inputs) } else { 1 };
    let (stride, padding) = ([size(c.stride); 2], [size(c.padding()); 2]);
    let sums = x.f_conv2d(weights, None::<&Tensor>, stride, padding, [1, 1], groups)?;
    let each = |value| Tensor::f_full([size(c.outputs)], value, (Element::Float, x.device()));
    let (scale, shift, none) = (each(spread_of(c))?, each(centre_of(c))?, None::<&Tensor>);
    let mut x = sums.f_batch_norm(Some(&scale), Some(&shift), none, none, true, 0.0, EPSILON, false)?;
    if let Some(added) = added {
        x = x.f_add(&added.f_mul_scalar(carry_of(c))?)?;
    }
    x.f_clamp(0.0, 127.0)
}

/// Mean 0 and deviation 1 over the batch.
fn standardise(x: &Tensor) -> Result<Tensor, TchError> {
    let over = [0_i64].as_slice();
    let off = x.f_sub(&x.f_mean_dim(over, true, Element::Float)?)?;
    let variance = off.f_square()?.f_mean_dim(over, true, Element::Float)?;
    off.f_div(&variance.f_add_scalar(EPSILON)?.f_sqrt()?)
}

/// What is to become small: how much outputs tell of each other, how much of what they were before one bit of the metadata
/// changed, and how unevenly they are spread. The first half of `z` are the outputs before, the second those after.
pub(super) fn loss(z: &Tensor, pairs: u32) -> Result<Tensor, TchError> {
    let (half, all) = (i64::from(pairs), 2 * i64::from(pairs));
    let count = 2.0 * f64::from(pairs);
    let together = z.f_transpose(0, 1)?.f_matmul(z)?.f_div_scalar(count)?;
    let between = together.f_triu(1)?.f_square()?.f_sum(Element::Float)?;
    let (one, other) = (z.f_narrow(0, 0, half)?, z.f_narrow(0, half, half)?);
    let changed = one.f_mul(&other)?.f_mean_dim([0_i64].as_slice(), false, Element::Float)?;
    let even = z.f_div_scalar(2.0_f64.sqrt())?.f_erf()?.f_add_scalar(1.0)?.f_div_scalar(2.0)?;
    let places =
        Tensor::f_arange(all, (Element::Float, z.device()))?.f_add_scalar(0.5)?.f_div_scalar(count)?;
    let off = even.f_sort(0, false)?.0.f_sub(&places.f_unsqueeze(1)?)?;
    between.f_add(&changed.f_square()?.f_sum(Element::Float)?)?.f_add(&off.f_square()?.f_sum(Element::Float)?)
}
