//! The optimiser of the paper, Adam, with a state that can be saved and put back.

use tch::{TchError, Tensor};

use super::network::Parameter;

/// The learning rate of the paper.
pub const RATE: f64 = 0.0002;
/// The paper's decay rates of the first and second moments.
pub(super) const BETAS: (f64, f64) = (0.5, 0.999);
/// Guards the division; the usual value, the paper names none.
const EPSILON: f64 = 1e-8;

/// The optimiser as training records have it.
pub(super) fn in_words(rate: f64, batch: u32) -> String {
    format!("Adam, rate {rate}, betas {} and {}, batch {batch}", BETAS.0, BETAS.1)
}

/// Adam (Kingma and Ba, 2015, algorithm 1) over a network's parameters. libtorch's own keeps its moments to itself, and
/// a training that goes on needs them.
#[derive(Debug)]
pub(super) struct Adam {
    rate: f64,
    /// First and second moments, in the order of the parameters.
    pub(super) moments: Vec<(Tensor, Tensor)>,
}

impl Adam {
    /// The state before the first step.
    pub(super) fn new(parameters: &[Parameter], rate: f64) -> Result<Self, TchError> {
        let zeros =
            |p: &Parameter| Ok((p.value.f_zeros_like()?.f_detach()?, p.value.f_zeros_like()?.f_detach()?));
        Ok(Self { rate, moments: parameters.iter().map(zeros).collect::<Result<_, TchError>>()? })
    }

    /// Step number `step`, from 1, along the parameters' gradients, which it clears.
    pub(super) fn step(&mut self, parameters: &mut [Parameter], step: u64) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        let (bias1, bias2) = (1.0 - BETAS.0.powi(exponent), 1.0 - BETAS.1.powi(exponent));
        for (parameter, (first, second)) in parameters.iter_mut().zip(&mut self.moments) {
            let gradient = parameter.value.f_grad()?;
            let _ = first.f_mul_scalar_(BETAS.0)?.f_add_(&gradient.f_mul_scalar(1.0 - BETAS.0)?)?;
            let square = gradient.f_square()?.f_mul_scalar(1.0 - BETAS.1)?;
            let _ = second.f_mul_scalar_(BETAS.1)?.f_add_(&square)?;
            let spread = second.f_div_scalar(bias2)?.f_sqrt()?.f_add_scalar(EPSILON)?;
            let _ = parameter.value.f_sub_(&first.f_div(&spread)?.f_mul_scalar(self.rate / bias1)?)?;
            parameter.value.zero_grad();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loss a^2 + 3 b, from (1, -2): the values of the paper's formulas in double precision, computed apart.
    #[test]
    fn three_steps_are_those_of_the_published_algorithm() {
        let value = Tensor::from_slice(&[1.0_f32, -2.0]).set_requires_grad(true);
        let mut parameters = [Parameter { name: "p".to_owned(), value }];
        let mut adam = Adam::new(&parameters, RATE).unwrap();
        for (step, expected) in [
            (1, [0.999_800_000, -2.000_200_000]),
            (2, [0.999_600_007, -2.000_400_000]),
            (3, [0.999_400_024, -2.000_600_000]),
        ] {
            let p = &parameters[0].value;
            (p.get(0).square() + p.get(1) * 3.0).backward();
            adam.step(&mut parameters, step).unwrap();
            let values = Vec::<f32>::try_from(&parameters[0].value.detach()).unwrap();
            let off = values.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(off < 3e-7, "step {step}: {values:?}, expected {expected:?}");
        }
    }
}
