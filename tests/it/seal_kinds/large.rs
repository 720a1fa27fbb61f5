//! Images larger than memory.
