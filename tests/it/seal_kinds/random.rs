//! Random data sets.
