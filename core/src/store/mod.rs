//! Where an archive lives.
