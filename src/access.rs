//! Who may do what: a rule and a visitor make a decision.

pub mod csrf;
pub mod path;
pub mod rules;
