//! Bodies as they pass through.
