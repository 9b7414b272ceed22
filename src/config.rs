//! Configuration: text becomes all its problems, or a checked Config.
