//! Who wrote a message or a file: the UID and the name by which this program makes itself known.

/// Our implementation class UID: a UUID of our own as PS3.5 annex B.2 makes a UID of it.
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.319356651900048721231927874169036838714";
/// Our implementation version name.
pub const IMPLEMENTATION_VERSION_NAME: &str = "SEALGATE_0_1";
