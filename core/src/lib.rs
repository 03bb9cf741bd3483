//! dbgraft
