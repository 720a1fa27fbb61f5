//! How a recipient's public key yields a fresh secret, and its private key the same secret again.

pub(crate) mod ecdh;
pub(crate) mod rsa;
pub(crate) mod xwing;

/// An encapsulated key, and the secret that only the private key recovers from it.
pub(crate) type Encapsulated = (Vec<u8>, crate::keys::secret::SharedSecret);
