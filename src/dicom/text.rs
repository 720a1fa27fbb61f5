//! What every checked text shares: parsing by `FromStr`, and its one spelling in configurations and JSON.

/// Implements `FromStr`, `Serialize` and `Deserialize` for a type that has `parse` and `Display`.
macro_rules! checked_text {
    ($type:ty, $error:ty) => {
        impl std::str::FromStr for $type {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
            }
        }
    };
}

/// The same for a type that wraps its text, which is also how it is printed.
macro_rules! wrapped_text {
    ($type:ty, $error:ty) => {
        $crate::dicom::text::checked_text!($type, $error);

        impl $type {
            /// The text, without padding.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use {checked_text, wrapped_text};

/// A text without its padding. Names in a configuration are UTF-8; where an image has another character set, Latin 1 is
/// what it is most often. Nothing where nothing is left.
#[must_use]
pub fn text_of(value: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    };
    let text = text.trim_matches([' ', '\0']);
    (!text.is_empty()).then(|| text.to_owned())
}
