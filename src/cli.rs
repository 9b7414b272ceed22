//! Commands: what was typed becomes an exit code.
