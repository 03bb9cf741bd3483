//! Archives: clones at rest.
