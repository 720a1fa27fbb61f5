//! Which device libtorch computes on, chosen at run time.

use std::fmt;
use std::str::FromStr;

use super::TrainError;

/// A processor or a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device(pub(super) tch::Device);

impl Device {
    /// The processor.
    pub const CPU: Self = Self(tch::Device::Cpu);

    /// The first GPU, if there is one that libtorch can use; else the processor.
    #[must_use]
    pub fn best() -> Self {
        Self(tch::Device::cuda_if_available())
    }

    /// Whether it is a GPU.
    #[must_use]
    pub const fn is_cuda(self) -> bool {
        matches!(self.0, tch::Device::Cuda(_))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            tch::Device::Cuda(n) => write!(f, "cuda:{n}"),
            _ => f.write_str("cpu"),
        }
    }
}

/// `auto`, `cpu`, `cuda` (the first GPU) or `cuda:N`.
impl FromStr for Device {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let refused = |why| TrainError::Device { asked: text.chars().take(40).collect(), why };
        let number = match text {
            "auto" => return Ok(Self::best()),
            "cpu" => return Ok(Self::CPU),
            "cuda" => 0,
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse::<u8>().ok())
                .ok_or_else(|| refused("there are auto, cpu, cuda and cuda:N"))?,
        };
        if i64::from(number) < tch::Cuda::device_count() {
            return Ok(Self(tch::Device::Cuda(usize::from(number))));
        }
        Err(refused("libtorch sees no such GPU; is it a libtorch with CUDA, and is the driver loaded?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_names_what_there_is() {
        assert_eq!("cpu".parse::<Device>().unwrap().to_string(), "cpu");
        for wrong in ["", "gpu", "cuda:", "cuda:256", "cuda:-1"] {
            assert!(wrong.parse::<Device>().unwrap_err().to_string().contains("cuda:N"), "{wrong}");
        }
        assert!("cuda:250".parse::<Device>().unwrap_err().to_string().contains("no such GPU"));
    }
}
